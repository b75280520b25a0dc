//! WasmPlugin resources around the configurations, and what they need beside them.

use std::collections::BTreeSet;

use meshpack_sdk::config::Node;

use super::envoy::PEER_ADDRESS;
use super::http_route::http_route;
use super::virtual_service::virtual_service;
use super::{budget, duration, integer, placement, split, text};
use crate::filters::Filter;
use crate::json::object;
use crate::translate::ledger::Ledger;
use crate::translate::model::acting::{self, Mark, Plan, Planned, Side};
use crate::translate::model::attachment::plugin_name;
use crate::translate::model::traffic::{Backend, Outlier, Routes};
use crate::translate::model::{Mesh, Scope, telemetry};
use crate::translate::options::Options;

/// All resources, plugins first.
pub(crate) fn resources(mesh: &Mesh, options: &Options, ledger: &Ledger) -> Vec<Node> {
    let mut plugins = Vec::new();
    let mut services = Vec::new();
    for placement in placement::of_routes(mesh, options, ledger) {
        let routes: Vec<&Routes> = placement.routes.iter().collect();
        let scope = |name: &str| Scope {
            name: plugin_name(name, &placement.scope.selector),
            ..placement.scope.clone()
        };
        // The split is decided before the budget looks at the request.
        let canary = split::canary(&routes, &options.sticky_by, ledger)
            .map(|config| (Filter::CanarySplit, "canary-split", config, 20));
        let retry = budget::retry(&routes, mesh, ledger)
            .map(|config| (Filter::RetryBudget, "retry-budget", config, 10));
        for (filter, name, config, priority) in canary.into_iter().chain(retry) {
            let plugin = Plugin::outbound(filter, scope(name), config, priority).node(options);
            let rules = routes.iter().filter_map(|routes| routes.rules.first());
            rules.for_each(|rule| ledger.carry(&rule.spot, &title(&plugin)));
            plugins.push(plugin);
        }
    }
    let plan = acting::plan(&mesh.guards, &mesh.layout);
    for (spot, what) in &plan.unreached {
        if let Some(spot) = spot {
            ledger.lost(spot, what);
        }
    }
    for planned in &plan.plugins {
        let plugin = authz(planned, options);
        for spot in &planned.spots {
            ledger.carry(spot, &title(&plugin));
        }
        plugins.push(plugin);
    }
    plugins.extend(peer_addresses(&plan, &mesh.layout.root));
    plugins.extend(plan.marks.iter().map(mark));
    for planned in telemetry::plan(&mesh.telemetry, &mesh.layout, ledger) {
        let plugin_scope = planned.scope.clone();
        let plugin = Plugin {
            filter: Filter::Telemetry,
            scope: planned.scope,
            config: planned.config,
            priority: None,
            mode: None,
        };
        let plugin = plugin.node(options);
        let here = |one: &&telemetry::Telemetry| mesh.layout.covers(&plugin_scope, &one.scope);
        for one in mesh.telemetry.iter().filter(here) {
            ledger.carry(&one.spot, &title(&plugin));
        }
        plugins.push(plugin);
    }
    for routes in mesh.routes.iter().filter(|routes| !routes.unwritten) {
        let written: Vec<Node> = match routes.http_routes.as_slice() {
            [] => vec![virtual_service(routes)],
            written => written.iter().map(|one| http_route(routes, one)).collect(),
        };
        for node in written {
            if let Some(rule) = routes.rules.first() {
                ledger.carry(&rule.spot, &title(&node));
            }
            services.push(node);
        }
    }
    let rules = mesh.backends.iter().filter(|_| mesh.kept.is_empty());
    services.extend(rules.filter_map(|backend| destination_rule(backend, options)));
    plugins.extend(services);
    plugins.extend(mesh.kept.iter().cloned());
    plugins
}

/// `WasmPlugin shop/canary-split`
fn title(resource: &Node) -> String {
    let text = |node: Option<&Node>| match node {
        Some(Node::String(text)) => text.clone(),
        _ => String::new(),
    };
    let metadata = entry(resource, "metadata");
    let of = |key: &str| text(metadata.and_then(|metadata| entry(metadata, key)));
    format!(
        "{} {}/{}",
        text(entry(resource, "kind")),
        of("namespace"),
        of("name")
    )
}

fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match node {
        Node::Object(entries) => entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, node)| node),
        _ => None,
    }
}

struct Plugin {
    filter: Filter,
    scope: Scope,
    config: Node,
    priority: Option<i64>,
    /// CLIENT for calls that leave the workload, SERVER for those that reach it.
    mode: Option<&'static str>,
}

impl Plugin {
    fn outbound(filter: Filter, scope: Scope, config: Node, priority: i64) -> Self {
        Self {
            filter,
            scope,
            config,
            priority: Some(priority),
            mode: Some("CLIENT"),
        }
    }

    fn node(&self, options: &Options) -> Node {
        let mut spec: Vec<(String, Node)> = Vec::new();
        let mut add = |key: &str, node: Node| spec.push((key.to_owned(), node));
        if let Some((key, selector)) = &self.scope.selector {
            add(key, selector.clone());
        }
        let image = self.filter.name();
        add(
            "url",
            text(format!("{}/{image}:{}", options.registry, options.tag)),
        );
        if let Some(phase) = self.filter.istio_phase() {
            add("phase", text(phase));
        }
        if let Some(priority) = self.priority {
            add("priority", integer(priority));
        }
        add("failStrategy", text(self.filter.failure_policy().name()));
        if let Some(mode) = self.mode {
            let mut traffic = vec![("mode", text(mode))];
            if let Some(port) = self.scope.port {
                let port = object([("number", integer(port))]);
                traffic.push(("ports", Node::List(vec![port])));
            }
            add("match", Node::List(vec![object(traffic)]));
        }
        add("pluginConfig", self.config.clone());
        object([
            ("apiVersion", text("extensions.istio.io/v1alpha1")),
            ("kind", text("WasmPlugin")),
            (
                "metadata",
                object([
                    ("name", text(&self.scope.name)),
                    ("namespace", text(&self.scope.namespace)),
                ]),
            ),
            ("spec", object(spec)),
        ])
    }
}

fn authz(planned: &Planned, options: &Options) -> Node {
    let mut entries = Vec::new();
    if planned.needs_peer_address {
        let filter_state = object([("filterState", text(PEER_ADDRESS))]);
        entries.push(("directRemoteIp", filter_state));
    }
    let domain = options.trust_domain.as_ref();
    entries.extend(domain.map(|domain| ("trustDomain", text(domain))));
    entries.push(("policies", Node::List(planned.policies.clone())));
    let mode = match planned.side {
        Side::Inbound => "SERVER",
        Side::Gateway => "CLIENT",
    };
    let plugin = Plugin {
        filter: Filter::AuthzPolicy,
        scope: planned.scope.clone(),
        config: object(entries),
        priority: None,
        mode: Some(mode),
    };
    plugin.node(options)
}

/// What publishes the TCP peer's address where a policy asks for it: without it such
/// a policy refuses every request that it looks at. One for each namespace and side,
/// as two on one proxy would be one too many.
fn peer_addresses(plan: &Plan, root: &str) -> Vec<Node> {
    let asking = plan
        .plugins
        .iter()
        .filter(|planned| planned.needs_peer_address);
    let places: BTreeSet<(&str, Side)> = asking
        .map(|planned| (planned.scope.namespace.as_str(), planned.side))
        .collect();
    let everywhere = |side: Side| places.contains(&(root, side));
    let needed = places
        .iter()
        .filter(|(namespace, side)| *namespace == root || !everywhere(*side));
    let filter = |(namespace, side): &(&str, Side)| {
        let side_name = context(*side).to_ascii_lowercase().replace('_', "-");
        let name = format!("publish-peer-address-{side_name}");
        let value = super::envoy::peer_address();
        envoy_filter(&name, namespace, *side, None, value)
    };
    needed.map(filter).collect()
}

/// Marks the requests of the workloads that a policy selects, for a plugin that more
/// workloads load.
fn mark(mark: &Mark) -> Node {
    let selector = (!mark.labels.is_empty()).then(|| {
        object([(
            "labels",
            object(
                mark.labels
                    .iter()
                    .map(|(key, value)| (key.clone(), text(value))),
            ),
        )])
    });
    let value = super::envoy::set_metadata(&mark.metadata(), Mark::KEY, Mark::VALUE);
    envoy_filter(
        &mark.resource_name(),
        &mark.namespace,
        mark.side,
        selector,
        value,
    )
}

/// Where Istio has the listeners of a side.
fn context(side: Side) -> &'static str {
    match side {
        Side::Inbound => "SIDECAR_INBOUND",
        Side::Gateway => "GATEWAY",
    }
}

/// An EnvoyFilter that puts an HTTP filter before all others.
fn envoy_filter(
    name: &str,
    namespace: &str,
    side: Side,
    selector: Option<Node>,
    filter: Node,
) -> Node {
    let manager = text("envoy.filters.network.http_connection_manager");
    let chain = object([("filter", object([("name", manager)]))]);
    let matched = object([
        ("context", text(context(side))),
        ("listener", object([("filterChain", chain)])),
    ]);
    let patch = object([("operation", text("INSERT_FIRST")), ("value", filter)]);
    let patch = object([
        ("applyTo", text("HTTP_FILTER")),
        ("match", matched),
        ("patch", patch),
    ]);
    let mut spec: Vec<(&str, Node)> = Vec::new();
    spec.extend(selector.map(|selector| ("workloadSelector", selector)));
    spec.push(("configPatches", Node::List(vec![patch])));
    object([
        ("apiVersion", text("networking.istio.io/v1alpha3")),
        ("kind", text("EnvoyFilter")),
        (
            "metadata",
            object([("name", text(name)), ("namespace", text(namespace))]),
        ),
        ("spec", object(spec)),
    ])
}

/// What a source other than Istio says about a service, for Istio.
fn destination_rule(backend: &Backend, options: &Options) -> Option<Node> {
    let mut policy = Vec::new();
    let limits = connection_pool(backend);
    policy.extend(limits.map(|limits| ("connectionPool", limits)));
    let outlier = backend.outlier.as_ref().map(outlier_detection);
    policy.extend(outlier.map(|outlier| ("outlierDetection", outlier)));
    if policy.is_empty() || backend.subset.is_some() {
        return None;
    }
    Some(object([
        ("apiVersion", text("networking.istio.io/v1")),
        ("kind", text("DestinationRule")),
        (
            "metadata",
            object([
                ("name", text(backend.host.replace('.', "-"))),
                ("namespace", text(&options.namespace)),
            ]),
        ),
        (
            "spec",
            object([
                ("host", text(&backend.host)),
                ("trafficPolicy", object(policy)),
            ]),
        ),
    ]))
}

fn connection_pool(backend: &Backend) -> Option<Node> {
    let limits = &backend.limits;
    let mut tcp = Vec::new();
    tcp.extend(
        limits
            .connections
            .map(|value| ("maxConnections", integer(value))),
    );
    tcp.extend(
        limits
            .connect_timeout
            .map(|value| ("connectTimeout", duration(value))),
    );
    let mut http = Vec::new();
    http.extend(
        limits
            .pending_requests
            .map(|value| ("http1MaxPendingRequests", integer(value))),
    );
    http.extend(
        limits
            .requests
            .map(|value| ("http2MaxRequests", integer(value))),
    );
    let per_connection = limits.requests_per_connection;
    http.extend(per_connection.map(|value| ("maxRequestsPerConnection", integer(value))));
    let mut pool = Vec::new();
    if !tcp.is_empty() {
        pool.push(("tcp", object(tcp)));
    }
    if !http.is_empty() {
        pool.push(("http", object(http)));
    }
    (!pool.is_empty()).then(|| object(pool))
}

fn outlier_detection(outlier: &Outlier) -> Node {
    let mut entries = Vec::new();
    entries.extend(
        outlier
            .consecutive_5xx
            .map(|value| ("consecutive5xxErrors", integer(value))),
    );
    let gateway = outlier.consecutive_gateway_errors;
    entries.extend(gateway.map(|value| ("consecutiveGatewayErrors", integer(value))));
    entries.extend(outlier.interval.map(|value| ("interval", duration(value))));
    let base = outlier.base_ejection_time;
    entries.extend(base.map(|value| ("baseEjectionTime", duration(value))));
    let most = outlier.max_ejection_percent;
    entries.extend(most.map(|value| ("maxEjectionPercent", integer(value))));
    let healthy = outlier.min_health_percent;
    entries.extend(healthy.map(|value| ("minHealthPercent", integer(value))));
    object(entries)
}
