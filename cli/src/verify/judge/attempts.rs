//! How often requests were tried.

use super::check::{Bar, Chart, Check, Requests};
use crate::verify::suite::bounds::number;
use crate::verify::suite::expect::Expect;

pub(super) fn judge(expect: &Expect, requests: &Requests<'_>, checks: &mut Vec<Check>) {
    if let Some(bounds) = &expect.attempts {
        checks.push(
            requests.each("attempts per request", bounds.to_string(), |answer| {
                let attempts = answer.attempts.len();
                let word = match attempts {
                    1 => "1 attempt".to_owned(),
                    n => format!("{n} attempts"),
                };
                (word, bounds.hold(attempts as f64))
            }),
        );
    }
    if let Some(bounds) = &expect.amplification {
        let (all, attempts) = (requests.seen.answers.len(), requests.seen.attempts());
        let factor = attempts as f64 / all.max(1) as f64;
        // As exact as a ratio of whole numbers written in decimals can be.
        let passed = bounds.hold(factor) || bounds.hold((factor * 1e6).round() / 1e6);
        let mut check = Check::new(
            "amplification",
            passed,
            bounds.words(|n| format!("{} attempts per request", number(n))),
            format!(
                "{} ({attempts} attempts for {all} requests)",
                number(factor)
            ),
        );
        if !passed {
            let most = requests
                .seen
                .answers
                .iter()
                .max_by_key(|a| a.attempts.len());
            check.evidence = most.map_or(Vec::new(), |answer| requests.example(answer));
        }
        check.chart = Some(Chart {
            title: "amplification: attempts per request".to_owned(),
            unit: "x",
            bars: vec![Bar {
                label: "all upstreams".to_owned(),
                seen: factor,
                low: bounds.at_least,
                high: bounds.at_most,
            }],
        });
        checks.push(check);
    }
}
