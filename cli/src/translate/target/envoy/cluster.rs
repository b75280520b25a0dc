//! Envoy clusters.

use meshpack_sdk::config::Node;

use crate::json::object;
use crate::translate::ledger::Ledger;
use crate::translate::model::Mesh;
use crate::translate::model::traffic::{Destination, Limits, Outlier};
use crate::translate::options::Options;
use crate::translate::target::{integer, seconds, text};

/// No limit. Meshes set this, so that Envoy's own default of three concurrent
/// retries does not add itself to a budget.
const UNLIMITED: u32 = u32::MAX;

/// The cluster of a service or a subset.
pub(super) fn of_destination(
    to: &Destination,
    namespace: &str,
    mesh: &Mesh,
    options: &Options,
    ledger: &Ledger,
) -> Node {
    let of_host = mesh.backends_of(&to.host, namespace);
    let of_subset = |subset: &Option<String>| {
        let mut found = of_host.iter().filter(|backend| backend.subset == *subset);
        found.next().copied()
    };
    let whole = of_subset(&None);
    let own = to.subset.as_ref().and_then(|_| of_subset(&to.subset));
    let name = to.cluster();
    let given = options
        .endpoint
        .iter()
        .find(|endpoint| endpoint.cluster == name);
    let addresses = match given {
        Some(endpoint) => endpoint.addresses.clone(),
        None => {
            let known = own.or(whole).and_then(|backend| backend.address.clone());
            let (host, port) = known.unwrap_or_else(|| (to.host.clone(), to.port.unwrap_or(80)));
            if let Some(subset) = &to.subset {
                let spot = mesh
                    .routes
                    .iter()
                    .flat_map(|routes| &routes.rules)
                    .find(|rule| rule.arms.iter().any(|arm| arm.to == *to))
                    .map(|rule| &rule.spot);
                if let Some(spot) = spot {
                    ledger.note(
                        spot,
                        format!("the cluster {name} reaches all of {host}, as labels of pods mean nothing outside Kubernetes: name the endpoints of {subset} with --endpoint {name}=HOST:PORT"),
                    );
                }
            }
            vec![(host, port)]
        }
    };
    let outlier = own
        .and_then(|backend| backend.outlier.as_ref())
        .or_else(|| whole.and_then(|backend| backend.outlier.as_ref()));
    let limits = own
        .map(|backend| &backend.limits)
        .filter(|limits| **limits != Limits::default())
        .or_else(|| whole.map(|backend| &backend.limits));
    let http2 = own.or(whole).is_some_and(|backend| backend.http2);
    cluster(&name, &addresses, outlier, limits, http2)
}

/// The cluster of the workload beside this Envoy.
pub(super) fn local(name: &str, port: u16, options: &Options) -> Node {
    let given = options
        .endpoint
        .iter()
        .find(|endpoint| endpoint.cluster == name);
    let addresses = given.map_or_else(
        || vec![("127.0.0.1".to_owned(), port)],
        |endpoint| endpoint.addresses.clone(),
    );
    cluster(name, &addresses, None, None, false)
}

fn cluster(
    name: &str,
    addresses: &[(String, u16)],
    outlier: Option<&Outlier>,
    limits: Option<&Limits>,
    http2: bool,
) -> Node {
    let none = Limits::default();
    let limits = limits.unwrap_or(&none);
    let connect = limits
        .connect_timeout
        .unwrap_or(std::time::Duration::from_secs(10));
    let endpoints = addresses.iter().map(|(host, port)| {
        let socket = object([("address", text(host)), ("port_value", integer(*port))]);
        let address = object([("socket_address", socket)]);
        object([("endpoint", object([("address", address)]))])
    });
    let endpoints = object([("lb_endpoints", Node::List(endpoints.collect()))]);
    let mut entries = vec![
        ("name", text(name)),
        ("type", text("STRICT_DNS")),
        ("connect_timeout", seconds(connect)),
        ("circuit_breakers", circuit_breakers(limits)),
        (
            "load_assignment",
            object([
                ("cluster_name", text(name)),
                ("endpoints", Node::List(vec![endpoints])),
            ]),
        ),
    ];
    if let Some(outlier) = outlier {
        entries.push(("outlier_detection", outlier_detection(outlier)));
        let threshold = object([("value", integer(outlier.min_health_percent.unwrap_or(0)))]);
        entries.push((
            "common_lb_config",
            object([("healthy_panic_threshold", threshold)]),
        ));
    }
    let per_connection = limits.requests_per_connection;
    if http2 || per_connection.is_some() {
        entries.push((
            "typed_extension_protocol_options",
            protocol(http2, per_connection),
        ));
    }
    object(entries)
}

fn circuit_breakers(limits: &Limits) -> Node {
    let limit = |value: Option<u32>| integer(value.unwrap_or(UNLIMITED));
    let thresholds = object([
        ("max_connections", limit(limits.connections)),
        ("max_pending_requests", limit(limits.pending_requests)),
        ("max_requests", limit(limits.requests)),
        ("max_retries", integer(UNLIMITED)),
    ]);
    object([("thresholds", Node::List(vec![thresholds]))])
}

/// As Istio sets it: by consecutive errors only, never by success rate. A
/// cluster of few endpoints may lose one, whatever its percentage.
fn outlier_detection(outlier: &Outlier) -> Node {
    let mut entries = vec![("enforcing_success_rate", integer(0))];
    if let Some(count) = outlier.consecutive_5xx {
        if count > 0 {
            entries.push(("consecutive_5xx", integer(count)));
        }
        let share = if count > 0 { 100 } else { 0 };
        entries.push(("enforcing_consecutive_5xx", integer(share)));
    }
    if let Some(count) = outlier.consecutive_gateway_errors {
        if count > 0 {
            entries.push(("consecutive_gateway_failure", integer(count)));
        }
        let share = if count > 0 { 100 } else { 0 };
        entries.push(("enforcing_consecutive_gateway_failure", integer(share)));
    }
    entries.extend(outlier.interval.map(|value| ("interval", seconds(value))));
    let base = outlier.base_ejection_time;
    entries.extend(base.map(|value| ("base_ejection_time", seconds(value))));
    let most = outlier.max_ejection_percent;
    entries.extend(most.map(|value| ("max_ejection_percent", integer(value))));
    entries.push(("always_eject_one_host", Node::Bool(true)));
    object(entries)
}

fn protocol(http2: bool, requests_per_connection: Option<u32>) -> Node {
    let http = if http2 {
        "http2_protocol_options"
    } else {
        "http_protocol_options"
    };
    let mut entries = vec![(
        "@type",
        text("type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
    )];
    if let Some(count) = requests_per_connection {
        let common = object([("max_requests_per_connection", integer(count))]);
        entries.push(("common_http_protocol_options", common));
    }
    let explicit = object([(http, Node::Object(Vec::new()))]);
    entries.push(("explicit_http_config", explicit));
    object([(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        object(entries),
    )])
}
