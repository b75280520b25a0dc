//! DestinationRule: what is known about a service and its subsets.

use meshpack_sdk::config::Node;

use super::super::{Context, Resource};
use crate::translate::ledger::Field;
use crate::translate::model::Mesh;
use crate::translate::model::traffic::{Backend, Budget, Limits, Outlier};

pub(super) fn read(resource: &Resource<'_>, cx: &Context<'_>, mesh: &mut Mesh) {
    let Some(spec) = resource.field.get("spec") else {
        return;
    };
    let Some(host) = spec.text_at("host") else {
        return;
    };
    let mut whole = Backend::new(host, None);
    if let Some(policy) = spec.get("trafficPolicy") {
        read_policy(&policy, cx, &mut whole);
    }
    for subset in spec.list("subsets") {
        let mut backend = Backend::new(host, subset.text_at("name").map(str::to_owned));
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
    mesh.backends.push(whole);
    mesh.kept.push(without_retry_budget(resource.field.node()));
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

/// Istio's own budget would limit retries a second time, by their concurrency.
fn without_retry_budget(node: &Node) -> Node {
    match node {
        Node::Object(entries) => {
            let entries = entries
                .iter()
                .filter(|(key, _)| key != "retryBudget" && key != "status");
            let mapped = entries.map(|(key, value)| (key.clone(), without_retry_budget(value)));
            Node::Object(mapped.collect())
        }
        Node::List(items) => Node::List(items.iter().map(without_retry_budget).collect()),
        other => other.clone(),
    }
}
