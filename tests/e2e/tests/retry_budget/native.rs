//! The same load through Envoy's own retry budget, side by side.

use std::time::Duration;

use meshpack_e2e::retry::{cluster, hop, virtual_host};
use meshpack_e2e::undisturbed;
use meshpack_harness::{Behavior, Cluster, Envoy, Listener, Request, Upstream};
use serde_json::json;

/// Latency of the failing upstream and requests a second.
const LATENCIES: [(u64, f64); 3] = [(1, 100.0), (100, 100.0), (1000, 60.0)];

/// Upstream requests per request of the user, for each latency: with Envoy's
/// budget and with ours, both of 20 %.
async fn side_by_side() -> Vec<(u64, f64, f64)> {
    let mut envoy = Envoy::builder();
    let mut upstreams = Vec::new();
    for (latency, _) in LATENCIES {
        for kind in ["native", "ours"] {
            let name = format!("{kind}-{latency}");
            let slow = Behavior::status(503).delay(Duration::from_millis(latency));
            let upstream = Upstream::start_with(&name, slow).await.unwrap();
            let listener = if kind == "ours" {
                // A floor that the share exceeds, as the native one's default
                // of three concurrent retries is meant to be.
                let config = json!({"budgets": [{
                    "name": name, "budget": {"percent": 20, "interval": "10s"},
                    "minRetryRate": {"count": 3, "interval": "1s"},
                }]});
                envoy = envoy.cluster(cluster(&name, upstream.address()));
                hop(&name, &config, &name).unwrap()
            } else {
                envoy = envoy.cluster(Cluster::new(&name).endpoint(upstream.address()).merge(json!({
                    "circuit_breakers": {"thresholds": [{
                        "max_requests": u32::MAX, "max_connections": u32::MAX,
                        "max_pending_requests": u32::MAX,
                        "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3},
                    }]},
                })));
                Listener::new(&name).virtual_host(virtual_host(&name))
            };
            // Envoy's default pause between attempts, on which its budget depends.
            envoy = envoy.listener(listener);
            upstreams.push((kind, latency, upstream));
        }
    }
    let envoy = envoy
        .edit(|bootstrap| {
            for listener in bootstrap["static_resources"]["listeners"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
                let route = &mut manager["route_config"]["virtual_hosts"][0]["routes"][0];
                route["route"]["retry_policy"]["retry_back_off"] =
                    json!({"base_interval": "0.025s", "max_interval": "0.25s"});
            }
        })
        .start()
        .await
        .unwrap();
    let mut loads = tokio::task::JoinSet::new();
    for (latency, rate) in LATENCIES {
        for kind in ["native", "ours"] {
            let client = envoy.client(&format!("{kind}-{latency}"));
            loads.spawn(async move {
                let outcomes = client
                    .rate(rate, Duration::from_secs(12), |_| Request::get("/"))
                    .await;
                (kind, latency, outcomes.len())
            });
        }
    }
    let sent = loads.join_all().await;
    let factor = |kind: &str, latency: u64| {
        let sent = sent.iter().find(|(k, l, _)| (*k, *l) == (kind, latency));
        let got = upstreams
            .iter()
            .find(|(k, l, _)| (*k, *l) == (kind, latency));
        got.unwrap().2.requests() as f64 / sent.unwrap().2 as f64
    };
    LATENCIES
        .iter()
        .map(|&(latency, _)| (latency, factor("native", latency), factor("ours", latency)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_native_budget_depends_on_latency_and_ours_does_not() {
    undisturbed(attempt_the_native_budget_depends_on_latency_and_ours_does_not).await;
}

async fn attempt_the_native_budget_depends_on_latency_and_ours_does_not() {
    let results = side_by_side().await;
    eprintln!("everything fails, 20 % each, upstream requests per request:");
    for (latency, native, ours) in &results {
        eprintln!("  latency {latency:>4} ms: Envoy {native:.3}, ours {ours:.3}");
    }
    for (latency, _, ours) in &results {
        assert!(
            (1.17..=1.2).contains(ours),
            "{latency} ms: {ours}, {results:?}"
        );
    }
    let native: Vec<f64> = results.iter().map(|(_, native, _)| *native).collect();
    let most = native.iter().copied().fold(f64::MIN, f64::max);
    let least = native.iter().copied().fold(f64::MAX, f64::min);
    assert!(
        most > 1.5,
        "at some latency it lets far more through: {native:?}"
    );
    assert!(most - least > 0.2, "it depends on latency: {native:?}");
}
