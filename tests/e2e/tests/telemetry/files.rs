//! What users copy: the example of the page, the Envoy configuration, the Istio
//! manifests.

use std::collections::BTreeSet;
use std::time::Duration;

use meshpack_cli::yaml;
use meshpack_e2e::shipped::{self, yaml_blocks};
use meshpack_e2e::telemetry::by_label;
use meshpack_harness::{Envoy, Request, Upstream, config};
use meshpack_sdk::config::{Node, read_node};
use meshpack_telemetry::config::Config;
use meshpack_telemetry::config::label_names;

use crate::telemetry::collector;

fn document(text: &str) -> Node {
    let documents = yaml::parse(text).unwrap();
    documents[0].root().node().clone()
}

/// The value at a path of keys.
fn at<'a>(node: &'a Node, path: &str) -> &'a Node {
    path.split('.').fold(node, |node, key| match node {
        Node::Object(entries) => {
            let found = entries.iter().find(|(name, _)| name == key);
            &found.unwrap_or_else(|| panic!("no {key} of {path}")).1
        }
        Node::List(items) => &items[key.parse::<usize>().unwrap()],
        other => panic!("{path}: {other:?}"),
    })
}

fn string(node: &Node) -> &str {
    match node {
        Node::String(text) => text,
        other => panic!("{other:?}"),
    }
}

fn read(config: &Node) -> Config {
    read_node(config, |value| meshpack_telemetry::config::read(&value)).unwrap()
}

fn set(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    names.into_iter().collect()
}

fn strings(node: &Node) -> BTreeSet<String> {
    match node {
        Node::List(items) => items.iter().map(|item| string(item).to_owned()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_example_of_the_page_is_a_configuration() {
    let example = &yaml_blocks("filters/telemetry/README.md")[0];
    let config = read(&document(example));
    assert_eq!(config.metrics.len(), 3);
    assert_eq!(config.golden.len(), 6);
}

#[test]
fn istio_gets_the_phase_the_failure_policy_and_the_labels_that_fit() {
    let plugin = document(&shipped::read("istio-manifests/telemetry/wasm-plugin.yaml"));
    let extension = document(&shipped::read(
        "istio-manifests/telemetry/traffic-extension.yaml",
    ));
    let tags = document(&shipped::read("istio-manifests/telemetry/stat-tags.yaml"));
    for (manifest, wasm) in [(&plugin, "spec"), (&extension, "spec.wasm")] {
        assert_eq!(string(at(manifest, "spec.phase")), "STATS");
        assert_eq!(string(at(at(manifest, wasm), "failStrategy")), "FAIL_OPEN");
        let config = read(at(at(manifest, wasm), "pluginConfig"));
        let listed = strings(at(&tags, "spec.meshConfig.defaultConfig.extraStatTags"));
        assert_eq!(listed, set(label_names(&config)));
    }
    assert_eq!(
        at(&plugin, "spec.pluginConfig"),
        at(&extension, "spec.wasm.pluginConfig")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_envoy_configuration_measures_logs_and_traces() {
    let bootstrap = shipped::read("envoy-configs/telemetry.yaml");
    let (app, collector) = (
        Upstream::start("shop").await.unwrap(),
        collector::start().await,
    );
    let envoy = Envoy::from_bootstrap(&bootstrap)
        .unwrap()
        .edit(|b| {
            assert!(config::literal::set_endpoints(b, "shop", &[app.address()]));
            assert!(config::literal::set_endpoints(
                b,
                "otel-collector",
                &[collector.address()]
            ));
        })
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    for i in 0..50 {
        let request = Request::post(format!("/users/{i}"), "x").header("x-tenant", "acme");
        assert_eq!(client.send(request).await.unwrap().status, 200);
    }
    assert!(app.last().unwrap().header("traceparent").is_some());
    assert!(
        collector
            .wait_for_requests(1, Duration::from_secs(60))
            .await
    );
    let samples = envoy.admin().prometheus().await.unwrap();
    assert_eq!(
        by_label(&samples, "meshpack_requests_total", "destination_workload")["shop-v1"],
        50
    );
    let labels = [("operation", "/users/{id}"), ("tenant", "acme")];
    assert_eq!(samples.sum("checkout_requests_total", &labels), 50.0);
    assert_eq!(
        samples
            .named("checkout_requests_total")
            .next()
            .unwrap()
            .labels
            .len(),
        2
    );

    // Every label that the configuration has, and no other, is extracted.
    let parsed = document(&bootstrap);
    let manager = at(
        &parsed,
        "static_resources.listeners.0.filter_chains.0.filters.0.typed_config",
    );
    let plugin = at(
        manager,
        "http_filters.0.typed_config.config.configuration.value",
    );
    let config = meshpack_telemetry::config::parse(string(plugin).as_bytes()).unwrap();
    let Node::List(tags) = at(&parsed, "stats_config.stats_tags") else {
        panic!("a list of tags")
    };
    let listed = tags
        .iter()
        .map(|tag| string(at(tag, "tag_name")).to_owned());
    assert_eq!(set(listed), set(label_names(&config)));
}
