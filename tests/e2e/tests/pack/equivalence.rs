//! One module does what four in a row do, to the byte and to the count.

use meshpack_e2e::authz::random::Random;
use meshpack_e2e::authz::{PEER_ADDRESS, config as authz_config};
use meshpack_e2e::pack::{PARTS, Services, chained, composed};
use meshpack_e2e::undisturbed;
use serde_json::{Value, json};

use super::observed::{self, Observed};

/// Every part with about everything that it can do. Intervals are long and
/// nothing is drawn where a decision hangs on it, so that two runs are the same;
/// so the sample goes by request id, since traces are started with an id drawn.
pub(crate) fn everything() -> Value {
    json!({"authz": authz(), "canary": canary(), "retry": retry(), "telemetry": telemetry()})
}

fn authz() -> Value {
    let policy = |name: &str, action: &str, rule: Value| json!({"metadata": {"name": name}, "spec": {"action": action, "rules": [rule]}});
    let when = |key: &str, value: &str| json!({"when": [{"key": key, "values": [value]}]});
    let mut admin = policy(
        "admin",
        "DENY",
        json!({"to": [{"operation": {"paths": ["/admin*", "/grpc.Echo/Admin"]}}]}),
    );
    admin["denyWith"] =
        json!({"status": 404, "body": "not found", "headers": {"x-reason": "hidden"}});
    let mut shadow = policy("shadow", "DENY", when("request.headers[x-a]", "shadow"));
    shadow["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
    let mut none = policy(
        "no-deletes",
        "DENY",
        json!({"to": [{"operation": {"methods": ["DELETE"]}}]}),
    );
    none["enforcePercent"] = json!(0);
    json!({
        "policies": [
            admin, shadow, none,
            policy("marked", "DENY", when("request.headers[x-a]", "deny")),
            policy("seen", "AUDIT", json!({"to": [{"operation": {"paths": ["/b"]}}]})),
            policy("admins", "DENY", json!({
                "to": [{"operation": {"paths": ["/hidden"]}}],
                "when": [{"key": "request.auth.claims[groups]", "notValues": ["admins"]}],
            })),
            policy("from-here", "ALLOW", json!({
                "from": [{"source": {"ipBlocks": ["127.0.0.0/8"]}}],
                "when": [{"key": "request.headers[x-user-id]", "notValues": ["mallory"]}],
            })),
        ],
        "directRemoteIp": {"filterState": PEER_ADDRESS},
        "pathMatching": "hardened",
        "typedClaims": true,
        "splitHeaders": ["x-a"],
        "explain": "header",
        "decisionLog": {"denied": true, "allowedPercent": 100},
    })
}

fn canary() -> Value {
    let arms = json!([{"value": "v1", "weight": 70}, {"value": "v2", "weight": 30}]);
    let drawn = json!([{"value": "red", "weight": 1}, {"value": "sky", "weight": 1}]);
    let by_user =
        json!([{"header": "x-user-id"}, {"cookie": "session"}, {"claim": "sub"}, "sourceIp"]);
    json!({"splits": [
        {
            "name": "payments", "match": {"hosts": ["payments*"]}, "arms": arms, "stickyBy": by_user,
            "force": {"header": "x-canary", "cookie": "canary"},
            "rules": [{"match": {"headers": {"x-beta": "1"}}, "value": "v2"}],
        },
        {
            "name": "three", "match": {"hosts": ["three"]}, "stickyBy": by_user,
            "arms": [{"value": "v1", "weight": 1}, {"value": "v2", "weight": 1}, {"value": "v3", "weight": 1}],
        },
        {
            "name": "ramp", "match": {"hosts": ["ramp"]}, "arms": arms, "hash": "unleash",
            "stickyBy": [{"header": "x-user-id"}], "onMissingKey": "default",
            "ramp": {"arm": "v2", "start": "2025-01-01T00:00:00Z", "steps": [
                {"after": "0s", "weight": 1}, {"after": "1h", "weight": 50},
            ]},
        },
        {"name": "claims", "match": {"hosts": ["claims"]}, "arms": arms, "stickyBy": [{"claim": "sub"}], "onMissingKey": "default"},
        {"name": "lottery", "match": {"hosts": ["lottery"]}, "arms": drawn},
        {
            "name": "minted", "match": {"hosts": ["minted"]}, "arms": drawn, "stickyBy": [{"cookie": "canary-id"}],
            "onMissingKey": "cookie", "cookie": {"name": "canary-id", "ttl": "1h", "path": "/"},
        },
        {
            "name": "dying", "match": {"hosts": ["dying"]}, "stickyBy": by_user,
            "arms": [{"value": "v1", "weight": 50}, {"value": "gone", "weight": 50}],
            "abort": {"arm": "gone", "baseline": "v1", "cooldown": "1h"},
        },
    ]})
}

fn retry() -> Value {
    let floor = json!({"count": 1, "interval": "1h"});
    let budget = |name: &str, path: &str, percent: u32, more: Value| {
        let mut budget = json!({
            "name": name, "match": {"paths": [path]},
            "budget": {"percent": percent, "interval": "1h"}, "minRetryRate": floor,
        });
        meshpack_e2e::canary::replace(&mut budget, more);
        budget
    };
    json!({
        "budgets": [
            budget("poor", "/poor/*", 0, json!({"whenExhausted": "503"})),
            budget("mid", "/mid/*", 20, json!({"key": "cluster"})),
            budget("settle", "/settle/*", 20, json!({"mode": "settle"})),
            budget("rich", "*", 1000, json!({"key": "host", "maxRetries": 2, "retryOn": ["409"]})),
        ],
        "server": {"maxRetryPercent": 5, "interval": "1h", "minRetryRate": floor,
                   "trustAttemptCount": "always", "maxSourcePercent": 100},
        "stopAmplification": true,
    })
}

fn telemetry() -> Value {
    json!({
        "metrics": [
            {"name": "shop_posts_total", "type": "counter", "when": "request.method == \"POST\"",
             "labels": {"operation": "path_template", "tenant": "request.headers[\"x-tenant\"]"}},
            {"name": "shop_arms_total", "type": "counter", "labels": {"arm_sent": "request.headers[\"x-meshpack-subset\"]"}},
            {"name": "shop_path_bytes", "type": "histogram", "value": "size(request.path)"},
            {"name": "requests_in_flight", "type": "gauge"},
        ],
        "tagOverrides": {"golden": {"labels": {"tenant": "request.headers[\"x-tenant\"]"}}},
        "pathTemplates": ["/users/{id}", "/users/{id}/orders/{**}"],
        "cardinality": {"maxSeriesPerMetric": 40, "maxValueLength": 30},
        "accessLog": {
            "sink": {"otlpHttp": {"cluster": "otel-collector"}},
            "sample": {"percent": 40, "always": "response.code >= 500"},
            "fields": {
                "n": "request.headers[\"x-n\"]", "tenant": "request.headers[\"x-tenant\"]",
                "arm": "request.headers[\"x-meshpack-subset\"]", "operation": "path_template",
            },
            "batch": {"maxRecords": 100, "interval": "100ms"},
        },
    })
}

/// Random policies, every trace started here, records in Envoy's log.
fn with_random_policies(seed: u64) -> Value {
    let mut config = everything();
    let policies = Random::new(seed).policies(&["80"]);
    config["authz"] = authz_config(&policies);
    config["telemetry"]["accessLog"]["sink"] = json!("stdout");
    config["telemetry"]["accessLog"]["sample"] = json!({"percent": 100});
    config["telemetry"]["trace"] = json!({"propagate": "w3c", "generateWhenMissing": true});
    config
}

/// What both ways show, once they are found equal.
async fn compare(config: &Value, seed: u64, requests: usize, what: &str) -> Observed {
    let services = Services::start().await.unwrap();
    let chained = chained(config).unwrap();
    let one = observed::run(chained, &services, seed, requests).await;
    let composed = composed(config).unwrap();
    let other = observed::run(composed, &services, seed, requests).await;
    one.assert_equals(&other, what);
    other
}

fn with_status(seen: &Observed, status: u16) -> usize {
    let found = seen
        .answers
        .values()
        .filter(|answer| answer["status"] == status);
    found.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_module_does_what_four_in_a_row_do() {
    undisturbed(attempt_one_module_does_what_four_in_a_row_do).await;
}

async fn attempt_one_module_does_what_four_in_a_row_do() {
    const REQUESTS: usize = 4000;
    let seen = compare(&everything(), 6, REQUESTS, "everything").await;
    // The traffic must not have drifted to where there is nothing to compare.
    let attempts = |count: usize| seen.attempts.values().filter(|a| a.len() == count).count();
    let shown = [
        ("answered", with_status(&seen, 200)),
        ("denied", with_status(&seen, 403)),
        ("denied with an own answer", with_status(&seen, 404)),
        ("failed", with_status(&seen, 503)),
        ("retried once", attempts(2)),
        ("retried twice", attempts(3)),
        ("logged", seen.records.len()),
        ("decisions", seen.decisions.len()),
    ];
    println!("{shown:?}");
    for (what, count) in shown {
        assert!(count >= 20, "{what}: {count}");
    }
    for metric in [
        &["meshpack_authz_shadow_total"][..],
        &["meshpack_canary_requests_total", "reason=.=force"],
        &["meshpack_canary_requests_total", "reason=.=rule"],
        &["meshpack_canary_requests_total", "reason=.=sticky"],
        &["meshpack_canary_requests_total", "reason=.=abort"],
        &["meshpack_canary_requests_total", "reason=.=default"],
        &["meshpack_canary_aborted"],
        &["meshpack_retry_denied_total", "budget=.=poor"],
        &["meshpack_retry_denied_total", "budget=.=mid"],
        &["meshpack_retry_denied_total", "budget=.=server"],
        &["meshpack_retry_marked_total"],
        &["meshpack_telemetry_overflow_total"],
        &["meshpack_log_sent_total"],
        &["shop_posts_total"],
    ] {
        assert!(seen.sum(metric) > 0, "{metric:?} counted nothing");
    }
    let counted = seen.sum(&["wasmcustom.meshpack_requests_total"]);
    assert_eq!(counted, REQUESTS as u64, "every request once");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_with_random_policies_traces_started_and_records_in_the_proxys_log() {
    undisturbed(attempt_so_with_random_policies_traces_started_and_records_in_the_proxys_log).await;
}

async fn attempt_so_with_random_policies_traces_started_and_records_in_the_proxys_log() {
    const REQUESTS: usize = 250;
    // Most of it is waiting for metrics that do not change any more.
    let mut runs = tokio::task::JoinSet::new();
    for seed in [3, 11, 17, 23] {
        runs.spawn(async move {
            let config = with_random_policies(seed);
            compare(&config, seed, REQUESTS, &format!("policies {seed}")).await
        });
    }
    for seen in runs.join_all().await {
        assert_eq!(seen.records.len(), REQUESTS, "every request is logged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_is_optional() {
    undisturbed(attempt_each_part_is_optional).await;
}

async fn attempt_each_part_is_optional() {
    const REQUESTS: usize = 150;
    let all = everything();
    let mut subsets = vec![json!({})];
    for (key, _) in PARTS {
        subsets.push(json!({ key: all[key] }));
        let mut rest = all.clone();
        rest.as_object_mut().unwrap().remove(key);
        subsets.push(rest);
    }
    for config in &subsets {
        let parts: Vec<&String> = config.as_object().unwrap().keys().collect();
        compare(config, 9, REQUESTS, &format!("{parts:?}")).await;
    }
}
