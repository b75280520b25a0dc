//! Overrides of labels, with Istio's precedence.
//!
//! Entries apply in the order given and a later one wins per label; within one
//! entry `labels` wins over `remove`. A label that a metric has is replaced or
//! removed in place, a new one is appended. (Istio's `MetricOverrides::overrideTags`.)

use meshpack_sdk::config::Value;
use meshpack_sdk::texts::Texts;

use super::expression::{Expression, Use};
use super::read::{LabelNames, MAX_LABELS};
use super::{GOLDEN_METRICS, GoldenMetric, GoldenSource, Label, Metric, MetricKind};
use crate::policy::labels::GOLDEN_LABELS;

/// Key of the entry that concerns every golden metric.
const ALL_GOLDEN: &str = "golden";

struct Override<'a> {
    remove: Vec<&'a str>,
    labels: Vec<(&'a str, Value<'a>)>,
    disabled: bool,
}

/// Applies `tagOverrides` to the metrics.
pub(super) fn apply(
    value: &Value<'_>,
    golden: &mut Vec<GoldenMetric>,
    metrics: &mut Vec<Metric>,
    names: &LabelNames<'_>,
) -> Option<()> {
    let mut clean = Some(());
    // Names are there once, or it has been noted that they are not.
    let mut places = Texts::default();
    for metric in metrics.iter() {
        places.insert(metric.name.as_bytes());
    }
    let mut disabled = Texts::default();
    for (target, entry) in value.entries()? {
        let applied = match read_override(&entry, names) {
            None => None,
            Some(change) if target == ALL_GOLDEN || GOLDEN_METRICS.contains(&target) => {
                apply_golden(&entry, target, &change, golden)
            }
            Some(change) => {
                if change.disabled {
                    disabled.insert(target.as_bytes());
                }
                let place = places.number(target.as_bytes());
                let metric = place.and_then(|at| metrics.get_mut(at));
                apply_custom(&entry, target, &change, metric)
            }
        };
        clean = clean.and(applied);
    }
    metrics.retain(|metric| disabled.number(metric.name.as_bytes()).is_none());
    clean
}

fn read_override<'a>(entry: &Value<'a>, names: &LabelNames<'_>) -> Option<Override<'a>> {
    let mut fields = entry.object()?;
    let remove = match fields.get("remove") {
        Some(list) => list.list_of(Value::non_empty_string),
        None => Some(Vec::new()),
    };
    let labels = match fields.get("labels") {
        Some(labels) => labels.entries(),
        None => Some(Vec::new()),
    };
    let disabled = fields.get("disabled").map_or(Some(false), |v| v.boolean());
    let labels = labels?;
    let mut clean = Some(());
    for (name, value) in &labels {
        clean = clean.and(names.allow(value, name));
    }
    if labels.len() > MAX_LABELS {
        clean = entry.problem(format!("has more than {MAX_LABELS} labels"));
    }
    clean?;
    Some(Override {
        remove: remove?,
        labels,
        disabled: disabled?,
    })
}

fn apply_golden(
    entry: &Value<'_>,
    target: &str,
    change: &Override<'_>,
    golden: &mut Vec<GoldenMetric>,
) -> Option<()> {
    let concerns = |metric: &GoldenMetric| {
        target == ALL_GOLDEN || GOLDEN_METRICS.get(metric.which) == Some(&target)
    };
    for name in &change.remove {
        let standard = GOLDEN_LABELS.iter().any(|label| label.name() == *name);
        let added = golden
            .iter()
            .any(|m| concerns(m) && m.labels.iter().any(|l| l.name == *name));
        if !standard && !added {
            return entry.problem(format!("remove: {name:?} is not a label of {target}"));
        }
    }
    if change.disabled {
        golden.retain(|metric| !concerns(metric));
    }
    let mut labels = Vec::new();
    for (name, value) in &change.labels {
        let expression = Expression::read(value, Use::Show, false)?;
        labels.push((*name, GoldenSource::Expression(expression)));
    }
    for metric in golden.iter_mut().filter(|metric| concerns(metric)) {
        change_labels(&mut metric.labels, &change.remove, &labels);
    }
    Some(())
}

fn apply_custom(
    entry: &Value<'_>,
    target: &str,
    change: &Override<'_>,
    metric: Option<&mut Metric>,
) -> Option<()> {
    let Some(metric) = metric else {
        return entry.problem(format!(
            "there is no metric {target:?}: use \"golden\", a golden metric or a metric of this configuration"
        ));
    };
    for name in &change.remove {
        if !metric.labels.iter().any(|label| label.name == *name) {
            return entry.problem(format!("remove: {name:?} is not a label of {target}"));
        }
    }
    let at_start = metric.kind == MetricKind::Gauge;
    let mut labels = Vec::new();
    for (name, value) in &change.labels {
        labels.push((*name, Expression::read(value, Use::Show, at_start)?));
    }
    change_labels(&mut metric.labels, &change.remove, &labels);
    Some(())
}

fn change_labels<S: Clone>(labels: &mut Vec<Label<S>>, remove: &[&str], set: &[(&str, S)]) {
    labels.retain(|label| {
        !remove.contains(&label.name.as_str()) || set.iter().any(|(name, _)| *name == label.name)
    });
    for (name, source) in set {
        match labels.iter_mut().find(|label| label.name == *name) {
            Some(label) => label.source = source.clone(),
            None => labels.push(Label {
                name: (*name).to_owned(),
                source: source.clone(),
            }),
        }
    }
}
