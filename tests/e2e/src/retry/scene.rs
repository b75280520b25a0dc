//! One hop: a listener with the filter, a route with retries, and what it counted.

use anyhow::Result;
use meshpack_harness::{AdminError, Cluster, Envoy, Listener, Recorded, WasmFilter, wasm_module};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// retry_budget with this configuration.
///
/// # Errors
/// The module was not built.
pub fn filter(config: &Value) -> Result<WasmFilter> {
    Ok(WasmFilter::new("retry_budget", wasm_module("retry_budget")?).config(config))
}

/// A virtual host that sends everything to `cluster`, retries failures twice with
/// hardly any pause, and tells the upstream which attempt it gets.
#[must_use]
pub fn virtual_host(cluster: &str) -> Value {
    json!({
        "name": "all",
        "domains": ["*"],
        "include_request_attempt_count": true,
        "routes": [{
            "match": {"prefix": "/"},
            "route": {
                "cluster": cluster,
                "timeout": "30s",
                "retry_policy": {
                    "retry_on": "5xx,reset,connect-failure",
                    "num_retries": 2,
                    "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
                },
            },
        }],
    })
}

/// A cluster without the limit of three concurrent retries that Envoy has by
/// default and Istio lifts.
#[must_use]
pub fn cluster(name: &str, endpoint: SocketAddr) -> Cluster {
    let unlimited = json!({"circuit_breakers": {"thresholds": [{
        "max_retries": u32::MAX, "max_requests": u32::MAX,
        "max_connections": u32::MAX, "max_pending_requests": u32::MAX,
    }]}});
    Cluster::new(name).endpoint(endpoint).merge(unlimited)
}

/// A listener with retry_budget in front of `cluster`.
///
/// # Errors
/// The module was not built.
pub fn hop(name: &str, config: &Value, cluster: &str) -> Result<Listener> {
    Ok(Listener::new(name)
        .filter(filter(config)?)
        .virtual_host(virtual_host(cluster)))
}

/// Which attempt of its request an upstream got; 1 is the first.
#[must_use]
pub fn attempt(request: &Recorded) -> u32 {
    let count = request.header_text("x-envoy-attempt-count");
    count.and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// Whether an upstream got a retry.
#[must_use]
pub fn is_retry(request: &Recorded) -> bool {
    attempt(request) > 1
}

/// What the filter counted for one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Requests under the budget.
    pub requests: u64,
    /// Retries made.
    pub retries: u64,
    /// Retries wanted and refused.
    pub denied: u64,
    /// Retries left.
    pub balance: u64,
}

impl Stats {
    /// Reads the metrics of a budget; counters reach Envoy once a second.
    ///
    /// # Errors
    /// The admin interface does not answer.
    pub async fn read(envoy: &Envoy, budget: &str) -> std::result::Result<Self, AdminError> {
        let stats = envoy
            .admin()
            .stats_starting_with("wasmcustom.meshpack_retry_")
            .await?;
        let value = |metric: &str| {
            let name = format!("wasmcustom.meshpack_retry_{metric}budget=.={budget};.;");
            stats.get(&name).copied().unwrap_or(0)
        };
        Ok(Self {
            requests: value("requests_total"),
            retries: value("retries_total"),
            denied: value("denied_total"),
            balance: value("balance"),
        })
    }
}
