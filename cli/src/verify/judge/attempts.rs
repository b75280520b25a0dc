//! How often requests were tried.

use super::check::{Bar, Chart, Check, Requests};
use crate::verify::suite::bounds::{Bounds, number};
use crate::verify::suite::expect::Expect;

const NO_ATTEMPTS: &str =
    "no attempt at all: no request reached an upstream, so nothing was tried again";

pub(super) fn judge(expect: &Expect, requests: &Requests<'_>, checks: &mut Vec<Check>) {
    // No attempt is fewer than any number: what holds because nothing came through says
    // nothing about retries.
    let nothing = requests.seen.attempts() == 0;
    let vacuous = |bounds: &Bounds| nothing && bounds.at_most != Some(0.0);
    if let Some(bounds) = &expect.attempts {
        if vacuous(bounds) {
            checks.push(Check::new(
                "attempts per request",
                false,
                bounds.to_string(),
                NO_ATTEMPTS,
            ));
        } else {
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
    }
    if let Some(bounds) = &expect.amplification {
        let (all, attempts) = (requests.seen.answers.len(), requests.seen.attempts());
        let factor = attempts as f64 / all.max(1) as f64;
        // As exact as a ratio of whole numbers written in decimals can be.
        let passed =
            !vacuous(bounds) && (bounds.hold(factor) || bounds.hold((factor * 1e6).round() / 1e6));
        let mut check = Check::new(
            "amplification",
            passed,
            bounds.words(|n| format!("{} attempts per request", number(n))),
            if vacuous(bounds) {
                NO_ATTEMPTS.to_owned()
            } else {
                format!(
                    "{} ({attempts} attempts for {all} requests)",
                    number(factor)
                )
            },
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
