//! Configurations of our filters, by size.

use serde_json::{Value, json};

/// One ALLOW policy on path and method that lets every request of the benchmark
/// through: both are compared.
pub(crate) fn authz_allowing() -> Value {
    json!({"policies": [policy("p0", "ALLOW", "/api/*", "GET")]})
}

/// The same in hardened mode.
pub(crate) fn authz_hardened() -> Value {
    let mut config = authz_allowing();
    config["pathMatching"] = json!("hardened");
    config
}

/// The same, and a parameter of the query that must be a number.
pub(crate) fn authz_regex() -> Value {
    let mut config = authz_allowing();
    config["policies"][0]["spec"]["rules"][0]["when"] =
        json!([{"key": "request.query[page]", "valuesRegex": ["[0-9]+"]}]);
    config
}

/// DENY policies that no request matches, though their paths begin as the request's.
pub(crate) fn authz_denying(policies: usize) -> Value {
    let policies: Vec<Value> = (0..policies)
        .map(|n| {
            policy(
                &format!("p{n}"),
                "DENY",
                &format!("/api/orders/{n}/*"),
                "DELETE",
            )
        })
        .collect();
    json!({"policies": policies})
}

fn policy(name: &str, action: &str, path: &str, method: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"action": action, "rules": [
            {"to": [{"operation": {"paths": [path], "methods": [method]}}]},
        ]},
    })
}

/// Sticky splits by a header, of which the last is the request's.
pub(crate) fn canary(splits: usize) -> Value {
    let split = |name: &str, host: &str| {
        json!({
            "name": name,
            "match": {"hosts": [host]},
            "salt": "payments-2026-11",
            "arms": [{"value": "v1", "weight": 95}, {"value": "v2", "weight": 5}],
            "stickyBy": [{"header": "x-user-id"}],
        })
    };
    let others = (1..splits).map(|n| split(&format!("other-{n}"), &format!("payments-{n}*")));
    let splits: Vec<Value> = others.chain([split("payments", "payments*")]).collect();
    json!({"splits": splits})
}

/// A budget that takes before the request and gives back after it.
pub(crate) fn retry() -> Value {
    json!({
        "budgets": [{
            "name": "payments",
            "key": "name",
            "budget": {"percent": 20, "interval": "10s"},
            "minRetryRate": {"count": 10, "interval": "1s"},
            "maxRetries": 2,
            "mode": "reserve",
        }]
    })
}

/// A budget as its page begins: for some hosts, one for each cluster.
pub(crate) fn retry_by_cluster() -> Value {
    let mut config = retry();
    config["budgets"][0]["match"] = json!({"hosts": ["payments*"]});
    config["budgets"][0]["key"] = json!("cluster");
    config
}

/// Golden metrics with all of Istio's labels and `labels` more, each an attribute.
pub(crate) fn telemetry(labels: usize) -> Value {
    const ATTRIBUTES: [&str; 10] = [
        "request.method",
        "request.scheme",
        "request.url_path",
        "response.code_details",
        "xds.route_name",
        "xds.cluster_name",
        "source.address",
        "destination.port",
        "request.protocol",
        "upstream.request_attempt_count",
    ];
    let more: serde_json::Map<String, Value> = ATTRIBUTES
        .iter()
        .take(labels)
        .enumerate()
        .map(|(n, attribute)| (format!("bench_{n}"), json!(attribute)))
        .collect();
    if more.is_empty() {
        return json!({"golden": {"enabled": true}});
    }
    json!({
        "golden": {"enabled": true},
        "tagOverrides": {"golden": {"labels": more}},
    })
}

/// All four at once, each as in its own row.
pub(crate) fn pack() -> Value {
    json!({
        "authz": authz_allowing(),
        "canary": canary(1),
        "retry": retry(),
        "telemetry": telemetry(0),
    })
}
