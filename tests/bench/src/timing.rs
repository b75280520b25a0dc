//! Processor time per request and latency at a fixed rate.
//!
//! On a shared machine these are ratios at best: the chains run side by side, take
//! turns in short rounds, and the medians of the rounds are compared.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshpack_harness::{Envoy, Listener, Route};
use serde::{Deserialize, Serialize};

use crate::callgrind::median;
use crate::chain::{AUTHORITY, Chain, PATH};
use crate::rows::{self, BASELINE};

/// Rows that take part, beside no filter.
const TIMED: [&str; 11] = [
    "native RBAC, 1 policy",
    "canary in Lua, hash and set header",
    "native file access log, the same fields",
    "empty filter, stock SDK",
    "empty filter, meshpack-sdk",
    "authz_policy, 1 policy, path and method",
    "canary_split, sticky by header",
    "retry_budget, reserve mode, healthy traffic",
    "telemetry, golden metrics, all labels, warm",
    rows::STOCK_CHAINED,
    rows::PACK,
];

const CONNECTIONS: usize = 4;
const PER_SECOND: usize = 1000;
const SECONDS: usize = 2;
const ROUNDS: usize = 5;

/// The table and how it was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timed {
    pub(crate) tool: String,
    pub(crate) per_second: usize,
    pub(crate) seconds: usize,
    pub(crate) rounds: usize,
    /// No filter first.
    pub(crate) lines: Vec<Line>,
}

/// One chain; all in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// One round of one chain: processor time per request and the latencies, sorted.
struct Round {
    cpu_us: f64,
    latencies_us: Vec<f64>,
}

/// Measures all chains in turns.
pub(crate) async fn run() -> Result<Timed> {
    let h2load = Command::new("h2load").arg("--version").output().is_ok();
    if !h2load {
        eprintln!(
            "h2load is missing: install nghttp2-client ('apt-get install nghttp2-client') for steadier latencies; the harness's own client takes its place"
        );
    }
    // An Envoy that answers by itself: an upstream must not be the slow part.
    let upstream = Envoy::builder()
        .listener(Listener::new("up").route(Route::direct(200, "ok")))
        .quiet()
        .start()
        .await?;
    let table = rows::all();
    let mut chains = Vec::new();
    for name in [BASELINE].iter().chain(&TIMED) {
        let row = table.iter().find(|row| row.name == *name);
        let chain = row
            .with_context(|| format!("no row {name:?}"))?
            .chain
            .clone();
        let folder = tempfile::tempdir()?;
        let mut builder = Envoy::builder()
            .listener(chain.listener("in", folder.path())?)
            .quiet();
        for cluster in chain.clusters(upstream.address("up")) {
            builder = builder.cluster(cluster);
        }
        let envoy = builder
            .start()
            .await
            .with_context(|| format!("row {name:?}"))?;
        chains.push((*name, chain, envoy, folder, Vec::new()));
    }
    // The first round warms up.
    for round in 0..=ROUNDS {
        eprintln!("[time] round {round} of {ROUNDS}");
        for (name, chain, envoy, folder, rounds) in &mut chains {
            let one = one_round(chain, envoy, folder.path(), h2load)
                .await
                .with_context(|| format!("row {name:?}"))?;
            if round > 0 {
                rounds.push(one);
            }
        }
    }
    let lines = chains.iter().map(|(name, _, _, _, rounds)| {
        let of = |value: &dyn Fn(&Round) -> f64| {
            median(&mut rounds.iter().map(value).collect::<Vec<_>>())
        };
        Line {
            name: (*name).to_owned(),
            cpu_us: of(&|round| round.cpu_us),
            p50_us: of(&|round| percentile(&round.latencies_us, 50)),
            p99_us: of(&|round| percentile(&round.latencies_us, 99)),
        }
    });
    Ok(Timed {
        tool: if h2load {
            "h2load"
        } else {
            "the harness's client"
        }
        .to_owned(),
        per_second: PER_SECOND,
        seconds: SECONDS,
        rounds: ROUNDS,
        lines: lines.collect(),
    })
}

async fn one_round(chain: &Chain, envoy: &Envoy, folder: &Path, h2load: bool) -> Result<Round> {
    let pid = envoy
        .pid()
        .context("Envoy has no process id here; unset ENVOY_BACKEND")?;
    let before = cpu_ns(pid)?;
    let mut latencies_us = if h2load {
        by_h2load(chain, envoy, folder).await?
    } else {
        by_harness(chain, envoy).await?
    };
    let spent = cpu_ns(pid)? - before;
    ensure!(
        latencies_us.len() >= PER_SECOND * SECONDS / 2,
        "only {} requests were answered: this machine is too busy for {PER_SECOND} a second",
        latencies_us.len()
    );
    latencies_us.sort_unstable_by(f64::total_cmp);
    Ok(Round {
        cpu_us: spent as f64 / 1000.0 / latencies_us.len() as f64,
        latencies_us,
    })
}

async fn by_h2load(chain: &Chain, envoy: &Envoy, folder: &Path) -> Result<Vec<f64>> {
    let log = folder.join("h2load.log");
    let _ = std::fs::remove_file(&log);
    let mut command = tokio::process::Command::new("h2load");
    command
        .args(["--h1", "-t1", "-c", &CONNECTIONS.to_string()])
        .args(["-D", &SECONDS.to_string()])
        .args(["--rps", &(PER_SECOND / CONNECTIONS).to_string()])
        .arg(format!("--log-file={}", log.display()))
        .args(["-H", &format!("host: {AUTHORITY}")]);
    for (name, value) in chain.headers(None) {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    let done = command
        .arg(format!("http://{}{PATH}", envoy.address("in")))
        .output()
        .await?;
    ensure!(
        done.status.success(),
        "h2load failed: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    latencies(&std::fs::read_to_string(&log)?)
}

/// The third column of h2load's log; every status must be 200.
fn latencies(log: &str) -> Result<Vec<f64>> {
    log.lines()
        .map(|line| {
            let mut columns = line.split('\t').skip(1);
            let status = columns.next().context("h2load's log has no status")?;
            ensure!(
                status == "200",
                "a request was answered {status} instead of 200"
            );
            let micros = columns.next().context("h2load's log has no time")?;
            Ok(micros.parse()?)
        })
        .collect()
}

async fn by_harness(chain: &Chain, envoy: &Envoy) -> Result<Vec<f64>> {
    let (rate, seconds) = (PER_SECOND as f64, Duration::from_secs(SECONDS as u64));
    let outcomes = envoy
        .client("in")
        .rate(rate, seconds, |_| chain.request(None))
        .await;
    ensure!(
        outcomes.with_status(200) == outcomes.len(),
        "a request was not answered 200"
    );
    Ok(outcomes
        .iter()
        .map(|outcome| outcome.latency.as_secs_f64() * 1e6)
        .collect())
}

/// Nanoseconds that all threads of a process have run.
fn cpu_ns(pid: u32) -> Result<u64> {
    let mut total = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split(' ').next().unwrap_or_default();
        total += first.parse::<u64>().context("schedstat is no number")?;
    }
    Ok(total)
}

/// Of sorted values the smallest that `percent` of them do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 50), 50.0);
        assert_eq!(percentile(&hundred, 99), 99.0);
        assert_eq!(percentile(&[7.0], 99), 7.0);
    }

    #[test]
    fn a_failed_request_spoils_the_round() {
        assert_eq!(
            latencies("17\t200\t150\n18\t200\t90\n").unwrap(),
            [150.0, 90.0]
        );
        assert!(latencies("17\t503\t150\n").is_err());
        assert!(latencies("17\n").is_err());
    }

    #[test]
    fn every_timed_row_is_in_the_table() {
        let table = rows::all();
        for name in TIMED {
            assert!(table.iter().any(|row| row.name == name), "{name}");
        }
    }
}
