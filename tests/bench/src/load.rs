//! From the start of loading to the first request served, and memory.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use meshpack_harness::{Client, Port, Request};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use crate::chain::{AUTHORITY, Chain, PATH, Routes};
use crate::ours;
use crate::running::Running;

/// Starts of each module; the fastest counts, the others were disturbed.
const STARTS: usize = 3;

/// Workers of the larger of two Envoys, whose difference is the cost of a VM.
const WORKERS: u32 = 9;

/// One module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Loaded {
    pub(crate) name: String,
    /// From Envoy's beginning to load its listener, which loads the module, to the
    /// first answer.
    pub(crate) first_request_ms: f64,
    /// Memory of an Envoy with one worker over the same without a filter.
    pub(crate) first_mib: f64,
    /// What each further worker adds over the same without a filter.
    pub(crate) per_vm_mib: f64,
}

/// Measures every module that ships.
pub(crate) async fn run() -> Result<Vec<Loaded>> {
    let plain = || Chain::on(Routes::Plain);
    let chains = [
        ("no filter", plain()),
        (
            "empty, stock SDK",
            plain().wasm("bench/stock_empty", json!({})),
        ),
        (
            "empty, meshpack-sdk",
            plain().wasm("examples/empty", json!({})),
        ),
        (
            "authz_policy",
            plain().wasm("authz_policy", ours::authz_allowing()),
        ),
        (
            "authz_policy, 10,000 policies",
            plain().wasm("authz_policy", ours::authz_denying(10_000)),
        ),
        (
            "canary_split",
            Chain::on(Routes::Canary).wasm("canary_split", ours::canary(1)),
        ),
        (
            "retry_budget",
            Chain::on(Routes::Retry).wasm("retry_budget", ours::retry()),
        ),
        ("telemetry", plain().wasm("telemetry", ours::telemetry(0))),
        (
            "meshpack",
            Chain::on(Routes::CanaryRetry).wasm("meshpack", ours::pack()),
        ),
    ];
    let mut lines: Vec<Loaded> = Vec::new();
    let mut none = None;
    for (name, chain) in chains {
        let mut fastest = f64::INFINITY;
        for _ in 0..STARTS {
            fastest = fastest.min(
                first_request(&chain)
                    .await
                    .with_context(|| name.to_owned())?,
            );
        }
        let one = memory(&chain.clone()).await?;
        let many = memory(&chain.workers(WORKERS)).await?;
        let (none_one, none_many) = *none.get_or_insert((one, many));
        let further = (many - one) - (none_many - none_one);
        let line = Loaded {
            name: name.to_owned(),
            first_request_ms: round(fastest),
            first_mib: round(one - none_one),
            per_vm_mib: round(further / f64::from(WORKERS - 1)),
        };
        eprintln!(
            "[load] {name}: {:.0} ms, {:+.1} MiB, {:+.1} MiB per VM",
            line.first_request_ms, line.first_mib, line.per_vm_mib
        );
        lines.push(line);
    }
    Ok(lines)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Milliseconds from the log line before the listener is loaded to the first answer.
async fn first_request(chain: &Chain) -> Result<f64> {
    // A port of our own, so that a client can knock before Envoy says it is ready.
    let port = Port::hold()?;
    let knock = async {
        let client = Client::http1(port.address());
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = client
                .send(
                    Request::get(PATH)
                        .authority(AUTHORITY)
                        .header("x-user-id", "user-4711"),
                )
                .await;
            if let Ok(answer) = answer {
                return Ok((answer.status, SystemTime::now()));
            }
            ensure!(Instant::now() < deadline, "no answer within a minute");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let start = Running::start_on(chain, Some(&port), |envoy| {
        // Seconds since the epoch with milliseconds, to compare with our clock.
        envoy.arg("--log-format").arg("%E.%e %v")
    });
    let (running, answered) = tokio::join!(start, knock);
    let (running, (status, at)) = (running?, answered?);
    ensure!(status == 200, "the first request was answered {status}");
    let log = running.envoy.log();
    let began =
        loading_began(&log).context("Envoy's log does not say when it loaded its listener")?;
    let at = at.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    Ok((at - began) * 1000.0)
}

/// When Envoy began to load its listeners, in seconds since the epoch.
fn loading_began(log: &str) -> Option<f64> {
    let line = log
        .lines()
        .find(|line| line.ends_with("loading 1 listener(s)"))?;
    line.split(' ').next()?.parse().ok()
}

/// MiB resident after some requests on every worker.
async fn memory(chain: &Chain) -> Result<f64> {
    let running = Running::start(chain, |envoy| envoy).await?;
    running.send(200 * chain.workers as usize, None).await?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid()?))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<f64>().ok())
        .context("the kernel does not say how much memory Envoy has")?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_when_loading_began() {
        let log = "1700000000.100 loading 2 cluster(s)\n1700000000.250 loading 1 listener(s)\n";
        assert_eq!(loading_began(log), Some(1_700_000_000.25));
        assert_eq!(loading_began("nothing"), None);
    }
}
