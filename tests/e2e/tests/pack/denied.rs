//! A request that is denied is measured, and neither routed nor retried.

use std::time::Duration;

use meshpack_e2e::pack::{Services, composed, proxy};
use meshpack_harness::Request;
use serde_json::json;

use crate::telemetry::collector;

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_request_is_measured_and_neither_routed_nor_retried() {
    const DENIED: u64 = 20;
    let mut services = Services::start().await.unwrap();
    services.collector = collector::start().await;
    let config = json!({
        "authz": {"policies": [{
            "metadata": {"name": "admin"},
            "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin"]}}]}]},
            // An answer that the route would retry, came it from a service.
            "denyWith": {"status": 503},
        }]},
        "canary": {"splits": [{"name": "all", "arms": [{"value": "v1", "weight": 1}], "onMissingKey": "default"}]},
        "retry": {"budgets": [{"name": "all"}], "stopAmplification": true},
        "telemetry": {"accessLog": {
            "sink": {"otlpHttp": {"cluster": "otel-collector"}},
            "batch": {"interval": "100ms"},
        }},
    });
    let envoy = proxy(composed(&config).unwrap(), &services)
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    for _ in 0..DENIED {
        let answer = client.send(Request::get("/admin")).await.unwrap();
        assert_eq!(answer.status, 503);
        assert_eq!(
            answer.header("x-envoy-ratelimited"),
            None,
            "no failure of a service"
        );
    }
    assert_eq!(client.send(Request::get("/")).await.unwrap().status, 200);
    assert_eq!(services.v1.requests() + services.v2.requests(), 1);

    let requests = "wasmcustom.meshpack_retry_requests_totalbudget=.=all;.;";
    let limit = Duration::from_secs(60);
    envoy
        .wait_for_stat(requests, limit, |n| n > 0)
        .await
        .unwrap();
    let stats = envoy
        .admin()
        .stats_starting_with("wasmcustom.")
        .await
        .unwrap();
    let sum = |parts: &[&str]| -> u64 {
        let has = |name: &&String| parts.iter().all(|part| name.contains(part));
        stats
            .iter()
            .filter(|(name, _)| has(name))
            .map(|(_, n)| n)
            .sum()
    };
    assert_eq!(
        sum(&["meshpack_retry_requests_total"]),
        1,
        "only what was let through"
    );
    assert_eq!(sum(&["meshpack_canary_requests_total"]), 1);
    assert_eq!(sum(&["meshpack_retry_retries_total"]), 0);
    assert_eq!(
        sum(&["meshpack_authz_requests_total", "decision=.=deny"]),
        DENIED
    );
    assert_eq!(
        sum(&["meshpack_requests_total", "response_code=.=503"]),
        DENIED
    );
    assert_eq!(sum(&["meshpack_requests_total"]), DENIED + 1);

    let sent = "wasmcustom.meshpack_log_sent_total";
    envoy
        .wait_for_stat(sent, limit, |n| n == DENIED + 1)
        .await
        .unwrap();
    let details = "rbac_access_denied_matched_policy[ns[default]-policy[admin]-rule[0]]";
    let denied = collector::records(&services.collector)
        .iter()
        .filter(|record| {
            collector::attributes(&record.attributes)["response_code_details"] == details
        })
        .count();
    assert_eq!(denied as u64, DENIED);
}
