//! What Envoy counted and logged.

use super::check::Check;
use crate::verify::run::metrics::{holds, judged};
use crate::verify::run::seen::{Measured, Seen};
use crate::verify::suite::bounds::number;
use crate::verify::suite::expect::{Expect, Metric, Series};

pub(super) fn judge(expect: &Expect, seen: &Seen, checks: &mut Vec<Check>) {
    for (metric, measured) in expect.metrics.iter().zip(&seen.metrics) {
        checks.push(check(metric, measured));
    }
    for text in &expect.log {
        let found = seen.log.contains(text.as_str());
        let words = if found { "there" } else { "not there" };
        checks.push(Check::new(
            "log",
            found,
            format!("{text:?} in Envoy's log"),
            words,
        ));
    }
}

fn check(metric: &Metric, measured: &Measured) -> Check {
    let kind = if metric.increase { "grows by " } else { "" };
    let seen = match (measured.after, metric.increase) {
        (None, _) => "no such series".to_owned(),
        (Some(after), false) => number(after),
        (Some(after), true) => format!(
            "grew by {} (from {} to {})",
            number(judged(metric, measured)),
            number(measured.before.unwrap_or(0.0)),
            number(after)
        ),
    };
    let passed = holds(metric, measured);
    let mut check = Check::new(
        format!("metric {}", name(&metric.series)),
        passed,
        format!("{kind}{}", metric.bounds),
        seen,
    );
    if !passed && !measured.similar.is_empty() {
        check.evidence.push("there are:".to_owned());
        let similar = measured.similar.iter().map(|name| format!("  {name}"));
        check.evidence.extend(similar);
    }
    check
}

fn name(series: &Series) -> String {
    match series {
        Series::Stat(name) => name.clone(),
        Series::Labelled { name, labels } if labels.is_empty() => name.clone(),
        Series::Labelled { name, labels } => {
            let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
            format!("{name}{{{}}}", labels.join(", "))
        }
    }
}
