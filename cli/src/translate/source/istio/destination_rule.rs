//! DestinationRule: what is known about a service and its subsets.

use meshpack_sdk::config::Node;

use super::super::{Context, Resource, as_written};
use crate::translate::ledger::Field;
use crate::translate::model::Mesh;
use crate::translate::model::traffic::{
    Arm, Backend, Budget, Destination, Limits, Outlier, Retry, Routes, Rule, full_name,
};
use crate::translate::options::Target;

pub(super) fn read(resource: &Resource<'_>, cx: &Context<'_>, mesh: &mut Mesh) {
    let Some(spec) = resource.field.get("spec") else {
        return;
    };
    let Some(host) = spec.text_at("host") else {
        return;
    };
    let mut whole = Backend::new(host, &resource.namespace, None);
    if let Some(policy) = spec.get("trafficPolicy") {
        read_policy(&policy, cx, &mut whole);
    }
    for subset in spec.list("subsets") {
        let mut backend = Backend::new(
            host,
            &resource.namespace,
            subset.text_at("name").map(str::to_owned),
        );
        if let Some(policy) = subset.get("trafficPolicy") {
            read_policy(&policy, cx, &mut backend);
        }
        // Which pods these are is between Istio and Kubernetes.
        subset.skip("labels");
        mesh.backends.push(backend);
    }
    for key in ["exportTo", "workloadSelector"] {
        if let Some(field) = spec.get(key) {
            cx.leave_to_istio(&field);
        }
    }
    if cx.options.to == Target::Wasmplugin {
        let title = format!("DestinationRule {}/{}", resource.namespace, resource.name);
        cx.ledger.carry(&resource.field.spot(), &title);
    }
    mesh.backends.push(whole);
    if cx.options.to == Target::Wasmplugin {
        // It is written again, with all that Istio makes of it.
        spec.take();
    }
    mesh.kept
        .push(without_retry_budget(&as_written(resource.field.node())));
}

/// Routes to a service that no route among the files leads to: what the rule says about it
/// holds all the same.
pub(super) fn route_alone(resource: &Resource<'_>, cx: &Context<'_>, mesh: &mut Mesh) {
    let Some(host) = resource.field.at(&["spec", "host"]) else {
        return;
    };
    let Ok(name) = host.raw_text() else { return };
    let arms = |routes: &Routes| {
        let arms = routes.rules.iter().flat_map(|rule| &rule.arms);
        let mut names = arms.map(|arm| full_name(&arm.to.host, &routes.namespace));
        names.any(|known| match name.strip_prefix('*') {
            Some(suffix) => known.ends_with(suffix),
            None => known == full_name(name, &resource.namespace),
        })
    };
    let routed = mesh.routes.iter().any(arms);
    let has_budget = mesh.backends.iter().any(|backend| {
        backend.host == name && backend.namespace == resource.namespace && backend.budget.is_some()
    });
    if routed || (cx.options.to == Target::Wasmplugin && !has_budget) {
        return;
    }
    if name.starts_with('*') {
        host.lost("is for services that no route among these files leads to, and their names are not known: add their VirtualServices");
        return;
    }
    mesh.routes.push(Routes {
        name: name.to_owned(),
        namespace: resource.namespace.clone(),
        hosts: vec![name.to_owned()],
        rules: vec![Rule {
            matches: Vec::new(),
            delegated: None,
            delegate: None,
            arms: vec![Arm {
                to: Destination {
                    host: name.to_owned(),
                    subset: None,
                    port: None,
                },
                weight: 1.0,
                kept: Vec::new(),
            }],
            retry: Retry::Default,
            timeout: None,
            kept: Vec::new(),
            group: 0,
            spot: host.spot(),
        }],
        unwritten: true,
        ..Routes::default()
    });
}

fn read_policy(policy: &Field<'_>, cx: &Context<'_>, backend: &mut Backend) {
    if let Some(pool) = policy.get("connectionPool") {
        backend.limits = read_pool(&pool, cx);
    }
    backend.outlier = policy
        .get("outlierDetection")
        .map(|outlier| read_outlier(&outlier, cx));
    if let Some(budget) = policy.get("retryBudget") {
        let percent = budget.get("percent").and_then(|percent| percent.number());
        backend.budget = Some(Budget {
            percent: percent.unwrap_or(20.0),
            ..Budget::default()
        });
        let known = ["percent", "minRetryConcurrency", "budgetInterval"];
        let unknown = budget.unread().into_iter();
        for (_, unknown) in unknown.filter(|(key, _)| !known.contains(key)) {
            unknown.lost("means nothing to this translation, and Istio's own budget is left out");
        }
        budget.lose(
            "minRetryConcurrency",
            "is a number of concurrent retries; the budget's floor is a rate (minRetryRate: 10 per second)",
        );
        budget.lose("budgetInterval", "counts retries under way against requests of an interval, which limits nothing; the budget here counts both over 10s");
    }
    for key in [
        "loadBalancer",
        "tls",
        "portLevelSettings",
        "tunnel",
        "proxyProtocol",
    ] {
        if let Some(field) = policy.get(key) {
            if key == "loadBalancer" && field.get("consistentHash").is_some() {
                field.note("consistentHash keeps a client on an endpoint of its subset, not on the subset: --sticky-by does that");
            }
            cx.leave_to_istio(&field);
        }
    }
}

fn read_pool(pool: &Field<'_>, cx: &Context<'_>) -> Limits {
    let count = |path: &[&str]| {
        let value = pool.at(path)?.integer()?;
        u32::try_from(value).ok().filter(|value| *value > 0)
    };
    let limits = Limits {
        connections: count(&["tcp", "maxConnections"]),
        connect_timeout: pool
            .at(&["tcp", "connectTimeout"])
            .and_then(|time| time.duration()),
        pending_requests: count(&["http", "http1MaxPendingRequests"]),
        requests: count(&["http", "http2MaxRequests"]),
        requests_per_connection: count(&["http", "maxRequestsPerConnection"]),
    };
    for path in [
        ["tcp", "tcpKeepalive"],
        ["tcp", "maxConnectionDuration"],
        ["tcp", "idleTimeout"],
        ["http", "maxRetries"],
        ["http", "idleTimeout"],
        ["http", "h2UpgradePolicy"],
        ["http", "useClientProtocol"],
        ["http", "maxConcurrentStreams"],
        ["http", "http2KeepAlive"],
    ] {
        if let Some(field) = pool.at(&path) {
            cx.leave_to_istio(&field);
        }
    }
    limits
}

fn read_outlier(field: &Field<'_>, cx: &Context<'_>) -> Outlier {
    let count = |key: &str| {
        let value = field.get(key)?.integer()?;
        u32::try_from(value).ok()
    };
    let outlier = Outlier {
        consecutive_5xx: count("consecutive5xxErrors").or_else(|| count("consecutiveErrors")),
        consecutive_gateway_errors: count("consecutiveGatewayErrors"),
        interval: field.get("interval").and_then(|time| time.duration()),
        base_ejection_time: field
            .get("baseEjectionTime")
            .and_then(|time| time.duration()),
        max_ejection_percent: count("maxEjectionPercent"),
        min_health_percent: count("minHealthPercent"),
    };
    for key in [
        "splitExternalLocalOriginErrors",
        "consecutiveLocalOriginFailures",
    ] {
        if let Some(field) = field.get(key) {
            cx.leave_to_istio(&field);
        }
    }
    outlier
}

/// Istio's own budget would limit retries a second time, by their concurrency. A traffic
/// policy that said nothing else is gone with it: Istio refuses empty ones.
fn without_retry_budget(node: &Node) -> Node {
    match node {
        Node::Object(entries) => {
            let has_budget = |node: &Node| {
                matches!(node, Node::Object(entries) if entries.len() == 1
                    && entries.iter().all(|(key, _)| key == "retryBudget"))
            };
            let entries = entries.iter().filter(|(key, value)| {
                key != "retryBudget" && !(key == "trafficPolicy" && has_budget(value))
            });
            let mapped = entries.map(|(key, value)| (key.clone(), without_retry_budget(value)));
            Node::Object(mapped.collect())
        }
        Node::List(items) => Node::List(items.iter().map(without_retry_budget).collect()),
        other => other.clone(),
    }
}
