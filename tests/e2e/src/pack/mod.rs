//! The pack for the end-to-end tests: one module or four in a row with the same
//! configuration, in front of services that fail as a request asks.

pub mod traffic;

use anyhow::{Context, Result};
use meshpack_harness::{Cluster, EnvoyBuilder, Listener, Upstream, WasmFilter, wasm_module};
use serde_json::{Value, json};

use crate::authz::surroundings;
use crate::canary::HEADER;
use crate::telemetry::envoy_with_labels;

/// The parts in their order: key in the pack's configuration, and module.
pub const PARTS: [(&str, &str); 4] = [
    ("authz", "authz_policy"),
    ("canary", "canary_split"),
    ("retry", "retry_budget"),
    ("telemetry", "telemetry"),
];

/// One module with this configuration.
///
/// # Errors
/// The module was not built.
pub fn composed(config: &Value) -> Result<Vec<WasmFilter>> {
    let module = wasm_module("meshpack")?;
    Ok(vec![WasmFilter::new("meshpack", module).config(config)])
}

/// A module for each part of a pack's configuration.
///
/// # Errors
/// A module was not built.
pub fn chained(config: &Value) -> Result<Vec<WasmFilter>> {
    let parts = PARTS.iter().filter(|(key, _)| config.get(key).is_some());
    parts
        .map(|(key, name)| Ok(WasmFilter::new(*name, wasm_module(name)?).config(&config[key])))
        .collect()
}

/// The services behind the proxies of these tests.
pub struct Services {
    /// The first arm.
    pub v1: Upstream,
    /// The second.
    pub v2: Upstream,
    /// Takes log records.
    pub collector: Upstream,
}

impl Services {
    /// Starts them.
    ///
    /// # Errors
    /// No port was free.
    pub async fn start() -> Result<Self> {
        let arm = |name| Upstream::start_with(name, traffic::script());
        Ok(Self {
            v1: arm("v1").await.context("v1")?,
            v2: arm("v2").await.context("v2")?,
            collector: Upstream::start_with("collector", meshpack_harness::Behavior::status(200))
                .await
                .context("collector")?,
        })
    }
}

/// A proxy with these filters before the services: it retries what fails, routes
/// by the steering header, and knows a cluster that nobody serves and one that
/// refuses connections.
#[must_use]
pub fn proxy(filters: Vec<WasmFilter>, services: &Services) -> EnvoyBuilder {
    let listener = surroundings()
        .into_iter()
        .fold(Listener::new("in"), Listener::filter);
    let listener = filters.into_iter().fold(listener, Listener::filter);
    let address = |service: &Upstream| service.address();
    let (v1, v2) = (address(&services.v1), address(&services.v2));
    envoy_with_labels(&["operation", "tenant", "arm_sent"])
        .merge(json!({
            "node": {"id": "sidecar~10.0.0.7~shop.shop-ns~shop-ns.svc.cluster.local", "cluster": "shop", "metadata": {
                "NAMESPACE": "shop-ns", "WORKLOAD_NAME": "shop", "LABELS": {"app": "shop", "version": "v1"},
            }},
            "stats_flush_interval": "0.2s",
        }))
        .listener(
            listener
                .merge(json!({"traffic_direction": "INBOUND"}))
                .merge_manager(json!({
                    "preserve_external_request_id": true,
                    "normalize_path": true,
                    "max_request_headers_kb": 96,
                    "common_http_protocol_options": {"max_headers_count": 500},
                }))
                .virtual_host(json!({
                    "name": "all",
                    "domains": ["*"],
                    "include_request_attempt_count": true,
                    "routes": [
                        route("/nobody", None, "nobody"),
                        route("/refused", None, "refused"),
                        route("/", Some("gone"), "nobody"),
                        route("/grpc.Echo/", Some("v2"), "grpc-v2"),
                        route("/grpc.Echo/", None, "grpc-v1"),
                        route("/", Some("v2"), "v2"),
                        route("/", None, "v1"),
                    ],
                })),
        )
        .cluster(unlimited(Cluster::new("v1").endpoint(v1)))
        .cluster(unlimited(Cluster::new("v2").endpoint(v2)))
        .cluster(unlimited(Cluster::new("grpc-v1").endpoint(v1).http2()))
        .cluster(unlimited(Cluster::new("grpc-v2").endpoint(v2).http2()))
        .cluster(unlimited(Cluster::new("nobody")))
        // Port 1 of this machine: nothing listens there.
        .cluster(unlimited(
            Cluster::new("refused").endpoint(([127, 0, 0, 1], 1).into()),
        ))
        .cluster(Cluster::new("otel-collector").endpoint(address(&services.collector)))
}

fn route(prefix: &str, arm: Option<&str>, cluster: &str) -> Value {
    let mut matching = json!({"prefix": prefix});
    if let Some(arm) = arm {
        matching["headers"] = json!([{"name": HEADER, "string_match": {"exact": arm}}]);
    }
    json!({
        "match": matching,
        "route": {
            "cluster": cluster,
            "timeout": "20s",
            "retry_policy": {
                "retry_on": "5xx,reset,connect-failure,unavailable",
                "num_retries": 2,
                "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
            },
        },
    })
}

/// Without Envoy's own limits on concurrency, which depend on timing.
fn unlimited(cluster: Cluster) -> Cluster {
    cluster.merge(json!({"circuit_breakers": {"thresholds": [{
        "max_retries": u32::MAX, "max_requests": u32::MAX,
        "max_connections": u32::MAX, "max_pending_requests": u32::MAX,
    }]}}))
}
