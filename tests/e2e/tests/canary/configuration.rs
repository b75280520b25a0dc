//! Good and bad configurations.

use std::time::Duration;

use meshpack_e2e::canary::{HEADER, answering, arm, by, filter, split};
use meshpack_harness::{Envoy, Listener, Route, Swap, WasmFilter, wasm_module};
use serde_json::{Value, json};

/// Broken configurations and the path that the log must name.
fn broken() -> Vec<(Value, &'static str)> {
    let with = |more: Value| json!({"splits": [split("s", [95.0, 5.0], more)]});
    let arms = |arms: Value| with(json!({"arms": arms}));
    vec![
        (json!({"splitz": []}), "splitz: unknown key"),
        (json!({"header": "a b"}), "header: "),
        (
            json!({"splits": {}}),
            "splits: is an object, must be a list",
        ),
        (
            json!({"splits": [{"name": "s"}]}),
            "splits[0].arms: is required",
        ),
        (
            arms(json!([{"value": "v1", "weight": -1}])),
            "splits[0].arms[0].weight: ",
        ),
        (
            arms(json!([{"value": "v1", "weight": 0}])),
            "splits[0].arms: every weight is 0",
        ),
        (
            arms(json!([{"value": "a\r\nb", "weight": 1}])),
            "splits[0].arms[0].value: ",
        ),
        (with(json!({"hash": "md5"})), "splits[0].hash: "),
        (
            with(json!({"match": {"hosts": ["a:80"]}})),
            "splits[0].match.hosts[0]: ",
        ),
        (
            with(json!({"match": {"paths": ["/{x}"]}})),
            "splits[0].match.paths[0]: ",
        ),
        (
            with(json!({"stickyBy": [{"query": "id"}]})),
            "splits[0].stickyBy[0].query: unknown key",
        ),
        (
            with(json!({"onMissingKey": "cookie"})),
            "splits[0].onMissingKey: ",
        ),
        (
            with(json!({"force": {"header": ""}})),
            "splits[0].force.header: ",
        ),
        (
            with(json!({"rules": [{"match": {}, "value": "v3"}]})),
            "splits[0].rules[0].value: ",
        ),
        (
            with(json!({"ramp": {"arm": "v2", "start": "now", "steps": []}})),
            "splits[0].ramp.start: ",
        ),
        (
            with(
                json!({"ramp": {"arm": "v2", "start": "2026-11-20T10:00:00Z", "steps": [{"after": "5", "weight": 1}]}}),
            ),
            "splits[0].ramp.steps[0].after: ",
        ),
        (
            with(json!({"abort": {"arm": "v2", "baseline": "v1", "falsePositiveRate": 2}})),
            "splits[0].abort.falsePositiveRate: ",
        ),
        (
            with(json!({"force": {"header": "X-Meshpack-Subset"}})),
            "splits[0].force.header: \"x-meshpack-subset\" is the steering header",
        ),
        (
            with(json!({"rules": [{"match": {"headers": {HEADER: "v2"}}, "value": "v2"}]})),
            "splits[0].rules[0].match: looks at x-meshpack-subset, the steering header",
        ),
        (
            with(json!({"force": {"header": "x-user-id"}})),
            "splits[0].force.header: carries the id that the split is sticky by",
        ),
        (
            json!({"splits": [split("s", [1.0, 1.0], json!({})), split("s", [1.0, 1.0], json!({}))]}),
            "splits[1].name: ",
        ),
    ]
}

fn with_config(config: &Value) -> WasmFilter {
    WasmFilter::new("canary_split", wasm_module("canary_split").unwrap()).config(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_configurations_are_refused_with_the_path_named() {
    assert!(broken().len() >= 15);
    for (config, problem) in broken() {
        let error = answering(with_config(&config))
            .start()
            .await
            .err()
            .expect(problem);
        let line = format!("canary_split: config: {problem}");
        assert!(error.log().contains(&line), "{line}\n{}", error.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_of_a_configuration_is_logged() {
    let config = json!({"header": ":x", "splits": [{"arms": [{"value": "v1", "weight": "1"}]}]});
    let error = answering(with_config(&config))
        .start()
        .await
        .err()
        .expect("refused");
    for problem in [
        "header: ",
        "splits[0].name: is required",
        "splits[0].arms[0].weight: is a string",
    ] {
        assert!(
            error
                .log()
                .contains(&format!("canary_split: config: {problem}")),
            "{problem}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_struct_reads_like_a_string() {
    let config = json!({"header": HEADER, "splits": [split("s", [0.0, 1.0], json!({}))]});
    let filter = WasmFilter::new("canary_split", wasm_module("canary_split").unwrap())
        .config_struct(&config);
    let envoy = answering(filter).start().await.unwrap();
    assert_eq!(arm(&envoy.client("in"), by("user-1", "s")).await, "v2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_under_load_leaves_the_old_one_serving() {
    let good = |weights| filter(&[split("s", weights, json!({}))]);
    let envoy = Envoy::builder()
        .listener(
            Listener::new("in")
                .swappable_filter("canary", good([1.0, 0.0]))
                .route(Route::direct(200, "v2").when_header(HEADER, "v2"))
                .route(Route::direct(200, "v1").when_header(HEADER, "v1"))
                .route(Route::direct(200, "default")),
        )
        .concurrency(2)
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    let load = client.rate(200.0, Duration::from_secs(8), |index| {
        by(&format!("user-{index}"), "s")
    });
    let swaps = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for (config, problem) in broken().into_iter().step_by(6) {
            let swap = envoy
                .swap_filter_config("canary", with_config(&config))
                .await
                .unwrap();
            assert_eq!(swap, Swap::Rejected, "{problem}");
            assert!(envoy.log_contains(problem), "{problem}");
            assert_eq!(
                arm(&client, by("user-1", "s")).await,
                "v1",
                "the old one serves"
            );
        }
        let swap = envoy
            .swap_filter_config("canary", good([0.0, 1.0]))
            .await
            .unwrap();
        assert_eq!(swap, Swap::Accepted);
        assert_eq!(
            arm(&client, by("user-1", "s")).await,
            "v2",
            "the new one serves"
        );
    };
    let (outcomes, ()) = tokio::join!(load, swaps);
    assert_eq!(
        outcomes.with_status(200),
        outcomes.len(),
        "no request failed"
    );
}
