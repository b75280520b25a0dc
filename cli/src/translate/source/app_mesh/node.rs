//! A virtual node: where a service is, and when its endpoints are ejected.

use super::super::Resource;
use super::route::duration;
use crate::translate::ledger::Field;
use crate::translate::model::traffic::{Backend, Destination, Limits, Outlier};

/// A virtual node.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) destination: Destination,
    pub(super) backend: Backend,
}

impl Node {
    pub(super) fn read(resource: &Resource<'_>) -> Self {
        let name = resource
            .field
            .text_at("virtualNodeName")
            .unwrap_or(&resource.name)
            .to_owned();
        let mut destination = Self::unknown(&name);
        let mut outlier = None;
        let mut limits = Limits::default();
        let mut http2 = false;
        if let Some(spec) = resource.field.get("spec") {
            destination.host = host(&spec).unwrap_or(destination.host);
            read_backends(&spec);
            spec.lose(
                "backendDefaults",
                "TLS between workloads is the mesh's business",
            );
            spec.lose("logging", "access logs are the telemetry filter's business");
            for (index, listener) in spec.list("listeners").iter().enumerate() {
                if index > 0 {
                    listener.lost("the first listener of a node counts");
                    continue;
                }
                let mapping = listener.get("portMapping");
                if let Some(mapping) = &mapping {
                    destination.port = mapping.get("port").and_then(|port| port.port());
                    let protocol = mapping.get("protocol");
                    let name = protocol.as_ref().and_then(Field::text);
                    http2 = matches!(name, Some("http2" | "grpc"));
                    if let Some(protocol) = protocol.filter(|_| !http2 && name != Some("http")) {
                        protocol.lost("the filters work on HTTP");
                    }
                }
                outlier = listener
                    .get("outlierDetection")
                    .map(|outlier| read_outlier(&outlier));
                limits = listener
                    .get("connectionPool")
                    .map(|pool| read_limits(&pool))
                    .unwrap_or_default();
                listener.lose(
                    "healthCheck",
                    "active health checks are the mesh's business",
                );
                listener.lose("tls", "TLS between workloads is the mesh's business");
                listener.lose("timeout", "the routes have the timeouts");
            }
        }
        let mut backend = Backend::new(destination.host.clone(), &resource.namespace, None);
        backend.address = destination
            .port
            .map(|port| (destination.host.clone(), port));
        backend.outlier = outlier;
        backend.limits = limits;
        backend.http2 = http2;
        Self {
            name,
            destination,
            backend,
        }
    }

    /// Where a node of which only the name is known may be.
    pub(super) fn unknown(name: &str) -> Destination {
        Destination {
            host: name.to_owned(),
            subset: None,
            port: None,
        }
    }
}

/// The domain name by which the node's endpoints are found.
fn host(spec: &Field<'_>) -> Option<String> {
    let discovery = spec.get("serviceDiscovery")?;
    if let Some(dns) = discovery.get("dns") {
        if let Some(kind) = dns.get("responseType")
            && kind.text() != Some("ENDPOINTS")
        {
            kind.note("all addresses behind the name are endpoints here, as with ENDPOINTS");
        }
        lose_preference(&dns);
        return dns.text_at("hostname").map(str::to_owned);
    }
    let map = discovery.any(&["awsCloudMap", "awsCloudmap"])?;
    map.lose("attributes", "endpoints are not chosen by attributes");
    lose_preference(&map);
    Some(format!(
        "{}.{}",
        map.text_at("serviceName")?,
        map.text_at("namespaceName")?
    ))
}

fn lose_preference(discovery: &Field<'_>) {
    discovery.lose(
        "ipPreference",
        "which addresses of a name are taken is left to Envoy's resolver",
    );
}

/// Whom the node calls.
fn read_backends(spec: &Field<'_>) {
    let backends = spec.list("backends");
    for backend in &backends {
        if let Some(service) = backend.get("virtualService") {
            service.lose(
                "clientPolicy",
                "TLS between workloads is the mesh's business",
            );
        }
        backend.take();
    }
    if !backends.is_empty()
        && let Some(list) = spec.get("backends")
    {
        list.note("which services a node may call is not restricted here, whatever the mesh's egress filter says");
    }
}

fn read_outlier(field: &Field<'_>) -> Outlier {
    let count = |key: &str| {
        let value = field.get(key)?.integer()?;
        u32::try_from(value).ok()
    };
    Outlier {
        consecutive_5xx: count("maxServerErrors"),
        interval: field.get("interval").and_then(|time| duration(&time)),
        base_ejection_time: field
            .get("baseEjectionDuration")
            .and_then(|time| duration(&time)),
        max_ejection_percent: count("maxEjectionPercent"),
        ..Outlier::default()
    }
}

fn read_limits(field: &Field<'_>) -> Limits {
    let count = |path: &[&str]| {
        let value = field.at(path)?.integer()?;
        u32::try_from(value).ok()
    };
    field.lose("tcp", "the filters work on HTTP");
    Limits {
        connections: count(&["http", "maxConnections"]),
        pending_requests: count(&["http", "maxPendingRequests"]),
        requests: count(&["http2", "maxRequests"]).or_else(|| count(&["grpc", "maxRequests"])),
        ..Limits::default()
    }
}
