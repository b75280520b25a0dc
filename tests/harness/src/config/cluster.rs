//! Upstream clusters.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::{HttpFilter, merge, socket_address};

/// A static cluster; one without endpoints answers 503 with flag `UH`.
#[derive(Clone, Debug)]
pub struct Cluster {
    cluster: Value,
    endpoints: Vec<Value>,
    http2: bool,
    filters: Vec<Value>,
}

impl Cluster {
    /// An empty cluster.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            cluster: json!({"name": name.into(), "type": "STATIC", "connect_timeout": "2s"}),
            endpoints: Vec::new(),
            http2: false,
            filters: Vec::new(),
        }
    }

    /// Adds an endpoint.
    pub fn endpoint(self, address: SocketAddr) -> Self {
        self.endpoint_with(address, json!({}))
    }

    /// Adds an endpoint that listens on the Unix socket `path` (Linux: at most 107 bytes).
    pub fn unix_endpoint(mut self, path: &Path) -> Self {
        self.endpoints
            .push(json!({"endpoint": {"address": {"pipe": {"path": path}}}}));
        self
    }

    /// Adds an endpoint with further fields of `LbEndpoint`, such as `metadata`.
    pub fn endpoint_with(mut self, address: SocketAddr, patch: Value) -> Self {
        let mut endpoint = json!({"endpoint": {"address": socket_address(address)}});
        merge(&mut endpoint, patch);
        self.endpoints.push(endpoint);
        self
    }

    /// Speaks HTTP/2 to the endpoints, as gRPC needs.
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Adds an upstream HTTP filter, which runs once per attempt.
    pub fn upstream_filter(mut self, filter: impl Into<HttpFilter>) -> Self {
        self.filters.push(filter.into().into());
        self
    }

    /// Merges `patch` into the cluster: load balancing, health checks, outlier
    /// detection, circuit breakers, TLS.
    pub fn merge(mut self, patch: Value) -> Self {
        merge(&mut self.cluster, patch);
        self
    }
}

impl From<Cluster> for Value {
    fn from(cluster: Cluster) -> Self {
        let Cluster {
            mut cluster,
            endpoints,
            http2,
            mut filters,
        } = cluster;
        let name = cluster["name"].clone();
        merge(
            &mut cluster,
            json!({"load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": endpoints}],
            }}),
        );
        if http2 || !filters.is_empty() {
            let protocol = if http2 {
                "http2_protocol_options"
            } else {
                "http_protocol_options"
            };
            let kind = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
            let mut options = json!({"@type": kind, "explicit_http_config": {protocol: {}}});
            if !filters.is_empty() {
                filters.push(HttpFilter::upstream_codec().into());
                options["http_filters"] = Value::Array(filters);
            }
            merge(
                &mut cluster,
                json!({"typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options,
                }}),
            );
        }
        cluster
    }
}
