//! What a user copies works: the page, the Envoy configurations, the manifests.

use meshpack_e2e::retry::{cluster, hop};
use meshpack_e2e::shipped::{configurations, read};
use meshpack_e2e::undisturbed;
use meshpack_harness::config::literal;
use meshpack_harness::{Behavior, Envoy, Port, Request, Upstream};
use meshpack_retry_budget::config::Config;
use serde_json::Value;

fn parse(config: &Value) -> Config {
    let json = config.to_string();
    meshpack_sdk::config::parse(json.as_bytes(), |value| Config::read(&value))
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_page_run() {
    let blocks = configurations("filters/retry-budget/README.md");
    assert!(blocks.len() >= 3, "{}", blocks.len());
    let upstream = Upstream::start_with("app", Behavior::status(503))
        .await
        .unwrap();
    for block in &blocks {
        parse(block);
        let envoy = Envoy::builder()
            .listener(hop("in", block, "app").unwrap())
            .cluster(cluster("app", upstream.address()))
            .start()
            .await
            .unwrap();
        let request = Request::get("/").authority("payments");
        let answer = envoy.client("in").send(request).await.unwrap();
        assert_eq!(answer.status, 503);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_envoy_configuration_limits_both_directions() {
    undisturbed(attempt_the_envoy_configuration_limits_both_directions).await;
}

async fn attempt_the_envoy_configuration_limits_both_directions() {
    let failing = || Upstream::start_with("app", Behavior::status(503));
    let (payments, application) = (failing().await.unwrap(), failing().await.unwrap());
    let envoy = Envoy::from_bootstrap(&read("envoy-configs/retry-budget.yaml"))
        .unwrap()
        .edit(|bootstrap| {
            for (name, upstream) in [("payments", &payments), ("application", &application)] {
                let address = [upstream.address()];
                assert!(literal::set_endpoints(bootstrap, name, &address));
            }
        })
        .start()
        .await
        .unwrap();
    let client = envoy.client("outbound").authority("payments");
    client.load(100, 1, |_| Request::get("/")).await;
    let retries = payments.requests() - 100;
    assert!((18..=22).contains(&retries), "{retries}");
    let inbound = envoy.client("inbound");
    let retry = || Request::get("/").header("x-envoy-attempt-count", "2");
    let outcomes = inbound.load(10, 1, move |_| retry()).await;
    let refused = outcomes.count(|outcome| {
        let answer = outcome.result.as_ref().unwrap();
        answer.header("x-envoy-ratelimited").is_some()
    });
    assert!(
        (8..=9).contains(&refused),
        "one a second is let through: {refused}"
    );
    // The label reaches Prometheus.
    let denied = async {
        while envoy
            .admin()
            .prometheus()
            .await
            .unwrap()
            .sum("meshpack_retry_denied_total", &[("budget", "payments")])
            < 80.0
        {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, denied).await.expect("counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_hops_of_one_envoy_stop_amplifying() {
    undisturbed(attempt_the_three_hops_of_one_envoy_stop_amplifying).await;
}

async fn attempt_the_three_hops_of_one_envoy_stop_amplifying() {
    let leaf = Upstream::start_with("leaf", Behavior::status(503))
        .await
        .unwrap();
    let mut envoy = Envoy::from_bootstrap(&read("envoy-configs/retry-budget-three-hops.yaml"))
        .unwrap()
        .keep_ports();
    // The listeners call each other, so their ports are fixed.
    let ports = [10001, 10002, 10003].map(|from| (from, Port::hold().unwrap()));
    envoy = envoy.edit(|bootstrap| {
        assert!(literal::set_endpoints(bootstrap, "leaf", &[leaf.address()]));
        for (from, port) in &ports {
            let from = format!("127.0.0.1:{from}");
            assert!(literal::rewire(bootstrap, &from, port.address()) > 0);
        }
    });
    let envoy = envoy.start().await.unwrap();
    let outcomes = envoy
        .client("hop-1")
        .load(500, 2, |_| Request::get("/"))
        .await;
    assert_eq!(outcomes.with_status(503), 500);
    let factor = leaf.requests() as f64 / 500.0;
    assert!((1.15..=1.3).contains(&factor), "{factor}");
}

#[test]
fn the_manifests_agree_with_each_other() {
    let manifest = |name: &str, kind: &str| {
        let path = format!("istio-manifests/retry-budget/{name}.yaml");
        let document = literal::parse(&read(&path)).unwrap();
        assert_eq!(document["kind"], kind);
        document["spec"].clone()
    };
    for (direction, mode) in [("outbound", "CLIENT"), ("inbound", "SERVER")] {
        let plugin = manifest(&format!("wasmplugin-{direction}"), "WasmPlugin");
        let extension = manifest(&format!("trafficextension-{direction}"), "TrafficExtension");
        let config = &plugin["pluginConfig"];
        assert_eq!(&extension["wasm"]["pluginConfig"], config, "twins");
        for spec in [&plugin, &extension] {
            assert_eq!(spec["match"][0]["mode"], mode);
        }
        let config = parse(config);
        assert!(config.stop_amplification, "both sides are needed for it");
        assert_eq!(config.server.is_some(), direction == "inbound");
        assert_eq!(config.budgets.is_empty(), direction == "inbound");
    }
    let routes = manifest("virtualservice", "VirtualService");
    let retries = &routes["http"][0]["retries"];
    let outbound = parse(&manifest("wasmplugin-outbound", "WasmPlugin")["pluginConfig"]);
    assert_eq!(retries["attempts"], outbound.budgets[0].max_retries);
}
