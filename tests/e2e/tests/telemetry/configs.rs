//! Configurations that are refused, and what happens then.

use meshpack_e2e::telemetry::{envoy_with_labels, telemetry};
use meshpack_harness::{Envoy, Listener, Route, Swap};
use serde_json::{Value, json};

fn builder(config: &Value) -> meshpack_harness::EnvoyBuilder {
    envoy_with_labels(&[]).listener(
        Listener::new("in")
            .swappable_filter("telemetry", telemetry(config))
            .route(Route::direct(200, "ok")),
    )
}

async fn start(config: &Value) -> Envoy {
    builder(config).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_names_every_mistake_and_the_old_one_goes_on() {
    let envoy = start(&json!({})).await;
    let bad = json!({
        "goldne": {},
        "metrics": [
            {"name": "a_total", "type": "counter", "labels": {"code": "response.code"}},
            {"name": "b_total", "type": "counter", "when": "request.method = 'GET'"},
            {"name": "c_rq_200", "type": "counter"},
            {"name": "d", "type": "gauge", "labels": {"status_seen": "response.code"}},
        ],
        "pathTemplates": ["/a{id}"],
    });
    let swapped = envoy
        .swap_filter_config("telemetry", telemetry(&bad))
        .await
        .unwrap();
    assert_eq!(swapped, Swap::Rejected);
    for line in [
        "telemetry: config: metrics[0].labels.code: label \"code\" is the tail of label response_code",
        "telemetry: config: metrics[1].when: is not a valid CEL expression, column 16: a single '=' is no operator",
        "telemetry: config: metrics[2].name: \"c_rq_200\" ends as Envoy's response code counters do",
        "telemetry: config: metrics[3].labels.status_seen: response.code is known only at the end of a request",
        "telemetry: config: pathTemplates[0]: ",
        "telemetry: config: goldne: unknown key",
    ] {
        assert!(envoy.log_contains(line), "{line}");
    }
    envoy.client("in").get("/").await.unwrap();
    let samples = envoy.admin().prometheus().await.unwrap();
    assert_eq!(samples.sum("meshpack_requests_total", &[]), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_engine_can_judge_is_refused_with_its_place() {
    let envoy = start(&json!({})).await;
    let bad = json!({"metrics": [
        {"name": "a_total", "type": "counter", "labels": {"tenant": "nosuchfunction(request.method)"}},
    ]});
    let swapped = envoy
        .swap_filter_config("telemetry", telemetry(&bad))
        .await
        .unwrap();
    if swapped == Swap::Rejected {
        assert!(envoy.log_contains(
            "telemetry: config: metrics[0].labels.tenant: Envoy's CEL engine refuses"
        ));
        return;
    }
    // An engine that looks functions up late: the label is unknown, and it shows.
    envoy.client("in").get("/").await.unwrap();
    let name = "wasmcustom.a_totaltenant=.=unknown;.;";
    assert_eq!(envoy.stat(name).await.unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_fails_gives_unknown_and_never_loses_the_request() {
    let config = json!({"metrics": [
        {"name": "a_total", "type": "counter", "labels": {
            "missing_field": "metadata.filter_metadata['nothing']['there']",
            "divided": "request.size / (response.code - 200)",
            "joined": "request.headers['x-a'] + '-' + request.headers['x-b']",
            "verb": "request.method",
        }},
    ]});
    let envoy = start(&config).await;
    for _ in 0..10 {
        assert_eq!(envoy.client("in").get("/").await.unwrap().status, 200);
    }
    let name = "wasmcustom.a_totaldivided=.=unknown;.;joined=.=unknown;.;missing_field=.=unknown;.;verb=.=GET;.;";
    let made = envoy
        .admin()
        .stats_starting_with("wasmcustom.a_total")
        .await
        .unwrap();
    assert_eq!(made.get(name), Some(&10), "{made:?}");
    let errors = "wasmcustom.meshpack_telemetry_expression_errors_totalfailed_expression=.=metrics[0].labels.joined;.;";
    envoy
        .wait_for_stat(errors, std::time::Duration::from_secs(60), |n| n == 10)
        .await
        .unwrap();
    let samples = envoy.admin().prometheus().await.unwrap();
    assert_eq!(samples.sum("meshpack_requests_total", &[]), 10.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_at_the_start_stops_envoy_with_the_reason() {
    let config = json!({"cardinality": {"maxSeriesPerMetric": "many"}});
    let envoy = envoy_with_labels(&[]).listener(
        Listener::new("in")
            .filter(telemetry(&config))
            .route(Route::direct(200, "ok")),
    );
    let Err(error) = envoy.start().await else {
        panic!("Envoy started")
    };
    let reason =
        "telemetry: config: cardinality.maxSeriesPerMetric: is a string, must be a whole number";
    assert!(error.log().contains(reason), "{error}");
}
