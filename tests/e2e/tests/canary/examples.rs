//! What a user copies works: the README, the Envoy configuration, the manifests.

use meshpack_canary_split::config::Config;
use meshpack_e2e::canary::{answering, by, flagd, ids, split};
use meshpack_e2e::shipped::{configurations, read};
use meshpack_harness::config::literal;
use meshpack_harness::{Envoy, Request, Upstream, WasmFilter, wasm_module};
use serde_json::Value;

fn parse(config: &Value) -> Config {
    let json = config.to_string();
    meshpack_sdk::config::parse(json.as_bytes(), |value| Config::read(&value))
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_page_runs() {
    let [example, abort] = &configurations("filters/canary-split/README.md")[..] else {
        panic!("two blocks");
    };
    let module = wasm_module("canary_split").unwrap();
    let filter = WasmFilter::new("canary_split", module).config(example);
    let envoy = answering(filter).start().await.unwrap();
    let request = Request::get("/")
        .authority("payments")
        .header("x-beta", "1");
    let answer = envoy.client("in").send(request).await.unwrap();
    assert_eq!(answer.text(), "v2");
    // The abort's fields are those of the example, with every default written out.
    let with_defaults = serde_json::json!({"splits": [split("s", [95.0, 5.0], abort.clone())]});
    assert_eq!(
        parse(&with_defaults).splits[0].abort,
        parse(example).splits[0].abort
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_envoy_configuration_steers_and_aborts() {
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    let envoy = Envoy::from_bootstrap(&read("envoy-configs/canary-split.yaml"))
        .unwrap()
        .edit(|bootstrap| {
            assert!(literal::set_endpoints(
                bootstrap,
                "payments-v1",
                &[v1.address()]
            ));
            assert!(literal::set_endpoints(
                bootstrap,
                "payments-v2",
                &[v2.address()]
            ));
        })
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    for id in ids(100) {
        let answer = client.send(by(&id, "payments")).await.unwrap();
        let expected = flagd("payments-2026-11", &id, [95, 5]);
        assert_eq!(answer.upstream(), Some(expected), "{id}");
    }
    let forced = by("user-1", "payments").header("x-canary", "always");
    assert_eq!(client.send(forced).await.unwrap().upstream(), Some("v2"));
    // Labels reach Prometheus.
    let limit = std::time::Duration::from_secs(60);
    let forced = [("split", "payments"), ("arm", "v2"), ("reason", "force")];
    let counted = async {
        loop {
            let samples = envoy.admin().prometheus().await.unwrap();
            if samples.sum("meshpack_canary_requests_total", &forced) == 1.0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(limit, counted)
        .await
        .expect("counted with its labels");
}

/// The documents of a manifest, by kind.
fn manifest(name: &str, kind: &str) -> Value {
    let document =
        literal::parse(&read(&format!("istio-manifests/canary-split/{name}.yaml"))).unwrap();
    assert_eq!(document["kind"], kind);
    document
}

#[test]
fn the_manifests_agree_with_each_other() {
    let plugin = manifest("wasmplugin", "WasmPlugin");
    let extension = manifest("trafficextension", "TrafficExtension");
    let config = &plugin["spec"]["pluginConfig"];
    assert_eq!(&extension["spec"]["wasm"]["pluginConfig"], config, "twins");
    for spec in [&plugin["spec"], &extension["spec"]] {
        assert_eq!(spec["match"][0]["mode"], "CLIENT");
    }
    assert_eq!(plugin["spec"]["failStrategy"], "FAIL_OPEN");
    assert_eq!(extension["spec"]["wasm"]["failStrategy"], "FAIL_OPEN");

    let config = parse(config);
    let split = &config.splits[0];
    let routes = manifest("virtualservice", "VirtualService");
    let rules = routes["spec"]["http"].as_array().unwrap();
    let subset = |rule: &Value| rule["route"][0]["destination"]["subset"].clone();
    let matched: Vec<&Value> = rules
        .iter()
        .filter(|rule| rule.get("match").is_some())
        .map(|rule| &rule["match"][0]["headers"][&config.header]["exact"])
        .collect();
    assert_eq!(
        matched,
        [&split.arms[1]],
        "a route for every arm but the first"
    );
    assert_eq!(subset(&rules[0]), split.arms[1]);
    assert_eq!(
        subset(&rules[1]),
        split.arms[0],
        "the first arm is the default"
    );
    let destinations = manifest("destinationrule", "DestinationRule");
    let subsets = destinations["spec"]["subsets"].as_array().unwrap();
    let names: Vec<&Value> = subsets.iter().map(|subset| &subset["name"]).collect();
    assert_eq!(names, split.arms.iter().collect::<Vec<_>>());
}
