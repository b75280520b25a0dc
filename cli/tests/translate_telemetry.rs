//! Telemetry of a mesh, a namespace and a workload: each request is counted by one plugin.

use std::fs;

use meshpack_cli::yaml;
use serde_json::{Value, json};

use crate::common::{Ran, meshpack_in};

fn telemetry(namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    })
}

fn removing(label: &str) -> Value {
    json!({"metrics": [{"overrides": [{"match": {"metric": "REQUEST_COUNT"}, "tagOverrides": {label: {"operation": "REMOVE"}}}]}]})
}

fn translate(resources: &[Value], options: &[&str]) -> (Ran, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let text: Vec<String> = resources.iter().map(Value::to_string).collect();
    fs::write(folder.path().join("in.yaml"), text.join("\n---\n")).unwrap();
    let args = [&["translate"], options, &["in.yaml"]].concat();
    let ran = meshpack_in(folder.path(), &args);
    let documents = yaml::parse(&ran.out).unwrap();
    let documents = documents
        .iter()
        .map(|document| meshpack_cli::json::value(document.root().node()))
        .collect();
    (ran, documents)
}

#[test]
fn resources_of_one_scope_are_one_plugin() {
    let logs = json!({"accessLogging": [{"providers": [{"name": "envoy"}], "filter": {"expression": "response.code >= 500"}}]});
    let (ran, plugins) = translate(
        &[
            telemetry("museum", "tags", removing("source_app")),
            telemetry("museum", "logs", logs),
        ],
        &[],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let [plugin] = plugins.as_slice() else {
        panic!("{}", ran.out)
    };
    let config = &plugin["spec"]["pluginConfig"];
    assert_eq!(
        config["tagOverrides"]["meshpack_requests_total"]["remove"],
        json!(["source_app"])
    );
    assert_eq!(config["accessLog"]["sink"], "stdout");
}

#[test]
fn a_narrower_resource_never_counts_twice() {
    let mesh = telemetry("istio-system", "mesh", removing("source_principal"));
    let narrower = [
        telemetry("museum", "own", removing("source_app")),
        telemetry(
            "museum",
            "desk",
            json!({"selector": {"matchLabels": {"app": "desk"}}, "metrics": [{"overrides": [{"disabled": true}]}]}),
        ),
    ];
    for one in &narrower {
        for resources in [[mesh.clone(), one.clone()], [one.clone(), mesh.clone()]] {
            let (ran, plugins) = translate(&resources, &[]);
            assert_eq!(ran.code, 1);
            assert_eq!(plugins.len(), 1, "{}", ran.out);
            assert_eq!(plugins[0]["metadata"]["namespace"], "istio-system");
            assert!(
                ran.err.contains("count their requests twice"),
                "{}",
                ran.err
            );
        }
    }
    // What changes nothing is no loss.
    let silent = telemetry(
        "museum",
        "own",
        json!({"accessLogging": [{"disabled": true}]}),
    );
    let (ran, plugins) = translate(&[mesh, silent], &[]);
    assert_eq!((ran.code, plugins.len()), (0, 1), "{}", ran.err);
}

#[test]
fn namespaces_apart_have_a_plugin_each_and_a_listener_has_one() {
    let two = [
        telemetry("museum", "m", removing("source_app")),
        telemetry("library", "l", removing("source_app")),
    ];
    let (ran, plugins) = translate(&two, &[]);
    assert_eq!((ran.code, plugins.len()), (0, 2), "{}", ran.err);
    let mesh = telemetry("istio-system", "mesh", removing("source_principal"));
    let (ran, _) = translate(&[mesh, two[0].clone()], &["--to", "envoy"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.out.matches("root_id: telemetry").count(),
        1,
        "{}",
        ran.out
    );
    assert!(ran.out.contains("source_principal") && ran.out.contains("source_app"));
}
