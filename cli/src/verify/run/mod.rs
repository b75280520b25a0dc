//! Running a scenario.

mod access;
mod hops;
pub(crate) mod metrics;
mod progress;
pub(crate) mod seen;
mod stage;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshpack_harness::Outcomes;
use meshpack_harness::envoy::EnvoyBuilder;

use crate::verify::suite::traffic::{NUMBER_HEADER, Pace, Traffic};
use crate::verify::suite::{Scenario, Step};
use metrics::Snapshot;
use seen::{Answer, Attempt, Seen};
use stage::Stage;

pub(crate) use progress::Progress;
pub(crate) use stage::StageError;

/// How long Envoy may take to write its access log.
const LOG_PATIENCE: Duration = Duration::from_secs(3);

/// Starts a scenario, does its steps in turn and hands what each showed to `judge`.
pub(crate) async fn scenario(
    scenario: &Scenario,
    folder: &Path,
    pick: impl Fn(EnvoyBuilder) -> EnvoyBuilder,
    progress: &Progress,
    mut judge: impl FnMut(&str, &Step, Seen),
) -> Result<(), StageError> {
    let mut stage = Stage::set(scenario, folder, pick).await?;
    let version = stage.envoy.admin().version().await;
    let version = version.map_err(|error| StageError::Refused(error.to_string()))?;
    for current in &scenario.steps {
        let seen = step(&mut stage, current, progress).await?;
        let dead = !stage.envoy.is_running().await;
        judge(&version, current, seen);
        if dead {
            return Err(StageError::Refused(format!(
                "Envoy died during this step; the end of its log:\n{}",
                tail(&stage.envoy.log())
            )));
        }
    }
    Ok(())
}

async fn step(stage: &mut Stage, step: &Step, progress: &Progress) -> Result<Seen, StageError> {
    let refused = |error: &dyn std::error::Error| StageError::Refused(error.to_string());
    for (name, conduct) in &step.upstreams {
        let changed = stage.change(name, conduct).await;
        changed.map_err(|error| refused(&error))?;
    }
    tokio::time::sleep(step.pause).await;
    for upstream in stage.upstreams() {
        upstream.forget();
    }
    let measures = !step.expect.metrics.is_empty();
    let before = if measures {
        let snapshot = Snapshot::take(&stage.envoy).await;
        snapshot.map_err(|error| refused(&error))?
    } else {
        Snapshot::default()
    };
    let log_before = stage.envoy.log().len();
    let started = Instant::now();
    let outcomes = match &step.traffic {
        Some(traffic) => send(stage, traffic, progress).await?,
        None => Outcomes::default(),
    };
    let took = started.elapsed();
    let metrics = if measures {
        let measured = metrics::measure(&stage.envoy, &step.expect.metrics, &before).await;
        measured.map_err(|error| refused(&error))?
    } else {
        Vec::new()
    };
    let (mut access, log) = read_log(stage, step, log_before, outcomes.len()).await;
    let mut attempts = attempts(stage);
    let answers = outcomes.into_iter().map(|outcome| {
        let n = outcome.index + 1;
        Answer {
            n,
            latency: outcome.latency,
            result: outcome.result,
            attempts: attempts.remove(&n).unwrap_or_default(),
            access: access.remove(&n),
        }
    });
    Ok(Seen {
        answers: answers.collect(),
        took,
        log,
        metrics,
    })
}

async fn send(
    stage: &Stage,
    traffic: &Traffic,
    progress: &Progress,
) -> Result<Outcomes, StageError> {
    let client = stage.client(traffic)?;
    let shown = progress.begin(traffic.pace.requests());
    let traffic = Arc::new(traffic.clone());
    let request = {
        let (traffic, count) = (traffic.clone(), shown.counter());
        move |index: usize| {
            count();
            traffic.request(index + 1)
        }
    };
    Ok(match traffic.pace {
        Pace::Count { count, concurrency } => client.load(count, concurrency, request).await,
        Pace::Rate {
            per_second,
            lasting,
        } => client.rate(per_second, lasting, request).await,
    })
}

/// Envoy's words on each request, and the rest of its log since `from`; waits for
/// what is expected of them.
async fn read_log(
    stage: &Stage,
    step: &Step,
    from: usize,
    requests: usize,
) -> (HashMap<usize, seen::Access>, String) {
    let started = Instant::now();
    loop {
        let log = stage.envoy.log();
        let (entries, rest) = access::split(log.get(from..).unwrap_or_default());
        let complete = entries.len() >= requests
            && step
                .expect
                .log
                .iter()
                .all(|text| rest.contains(text.as_str()));
        if complete || started.elapsed() >= LOG_PATIENCE {
            return (entries, rest);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What arrived upstream, by the number of the request.
fn attempts(stage: &Stage) -> HashMap<usize, Vec<Attempt>> {
    let mut all: Vec<(usize, Attempt)> = Vec::new();
    for upstream in stage.upstreams() {
        for request in upstream.recorded() {
            let number = request.header_text(NUMBER_HEADER);
            if let Some(n) = number.and_then(|text| text.parse().ok()) {
                let upstream = upstream.name().to_owned();
                all.push((n, Attempt { upstream, request }));
            }
        }
    }
    all.sort_by_key(|(_, attempt)| attempt.request.arrived);
    let mut by_number: HashMap<usize, Vec<Attempt>> = HashMap::new();
    for (n, attempt) in all {
        by_number.entry(n).or_default().push(attempt);
    }
    by_number
}

fn tail(log: &str) -> String {
    let (_, rest) = access::split(log);
    let lines: Vec<&str> = rest.lines().collect();
    lines
        .get(lines.len().saturating_sub(15)..)
        .unwrap_or_default()
        .join("\n")
}
