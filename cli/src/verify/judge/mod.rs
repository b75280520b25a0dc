//! Comparing what a step showed with what it should have shown.

mod answers;
mod attempts;
mod check;
mod metrics;
mod shares;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::run::seen::Seen;
use super::suite::Step;

pub(crate) use check::{Bar, Chart, Check};

/// What a step came to.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepReport {
    pub(crate) name: String,
    pub(crate) requests: usize,
    pub(crate) attempts: usize,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(crate) took: Duration,
    pub(crate) statuses: BTreeMap<String, usize>,
    pub(crate) upstreams: BTreeMap<String, usize>,
    pub(crate) checks: Vec<Check>,
    /// What Envoy and its plugins complained about; only where a check failed.
    pub(crate) log: Vec<String>,
}

impl StepReport {
    pub(crate) fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

fn seconds<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((took.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Judges one step.
pub(crate) fn step(step: &Step, seen: &Seen) -> StepReport {
    let mut checks = Vec::new();
    if let Some(traffic) = &step.traffic {
        let requests = check::Requests { seen, traffic };
        answers::judge(&step.expect, &requests, &mut checks);
        shares::judge(&step.expect, &requests, &mut checks);
        attempts::judge(&step.expect, &requests, &mut checks);
    }
    metrics::judge(&step.expect, seen, &mut checks);
    leave_out_repeated(&mut checks);
    let failed = checks.iter().any(|check| !check.passed);
    StepReport {
        name: step.name.clone(),
        requests: seen.answers.len(),
        attempts: seen.attempts(),
        took: seen.took,
        statuses: seen.statuses(),
        upstreams: seen.upstreams(),
        checks,
        log: if failed {
            complaints(&seen.log)
        } else {
            Vec::new()
        },
    }
}

/// One example is enough for the expectations that it fails together.
fn leave_out_repeated(checks: &mut [Check]) {
    let mut told: Vec<Vec<String>> = Vec::new();
    for check in checks {
        if told.contains(&check.evidence) {
            check.evidence.clear();
        } else if !check.evidence.is_empty() {
            told.push(check.evidence.clone());
        }
    }
}

/// The lines of a log that may explain a failure: what plugins said, and warnings.
fn complaints(log: &str) -> Vec<String> {
    const MOST: usize = 8;
    let telling = |line: &&str| {
        ["][critical]", "][error]", "][warning]"]
            .iter()
            .any(|level| line.contains(level))
            || line.contains("][wasm]")
    };
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines().filter(telling) {
        // Without time, thread, source file and names of plugin and VM, equal lines
        // are seen to be equal.
        let words = line.split_once("] wasm log").map_or(line, |(_, said)| {
            said.split_once(": ").map_or(said, |(_, words)| words)
        });
        let words = words.to_owned();
        if !lines.contains(&words) {
            lines.push(words);
        }
    }
    if lines.len() > MOST {
        let more = lines.len() - MOST;
        lines.truncate(MOST);
        lines.push(format!("… and {more} more lines"));
    }
    lines
}
