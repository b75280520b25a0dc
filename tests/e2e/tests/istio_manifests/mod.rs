//! Every manifest is one that Istio's API takes.
//!
//! Each document is read into the type generated from Istio's own custom
//! resource definition and written again: what the type does not know, a
//! misspelled or misplaced field, is missing from the copy.

mod kustomize;
mod overlays;

use std::path::{Path, PathBuf};

use istio_api_rs::extensions::v1alpha1::wasm_plugin::WasmPlugin;
use istio_api_rs::networking::v1::destination_rule::DestinationRule;
use istio_api_rs::networking::v1::virtual_service::VirtualService;
use istio_api_rs::telemetry::v1::telemetry::Telemetry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn manifests() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../istio-manifests");
    let mut found = Vec::new();
    let folders = root.read_dir().unwrap().map(|entry| entry.unwrap().path());
    for folder in folders.filter(|path| path.is_dir()) {
        for file in folder.read_dir().unwrap() {
            let path = file.unwrap().path();
            let is_yaml = path.extension().is_some_and(|name| name == "yaml");
            // What kustomize makes of its files is checked beside this.
            if is_yaml && !path.ends_with("kustomization.yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The documents of a YAML file.
fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let documents = text.split("\n---\n").filter(|part| {
        let content = |line: &str| !line.trim().is_empty() && !line.starts_with('#');
        part.lines().any(content)
    });
    documents
        .map(|part| meshpack_harness::config::literal::parse(part).unwrap())
        .collect()
}

/// What Istio's type makes of a document.
fn copied<T: DeserializeOwned + Serialize>(document: &Value) -> Result<Value, String> {
    let read: T = serde_json::from_value(document.clone()).map_err(|error| error.to_string())?;
    serde_json::to_value(read).map_err(|error| error.to_string())
}

/// Numbers are compared by value: 5 and 5.0 are the same weight.
fn difference(path: &str, ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => ours.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match theirs.get(key) {
                Some(other) => difference(&path, value, other),
                None => Some(format!("{path} is not a field of Istio's")),
            }
        }),
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            let pairs = ours.iter().zip(theirs).enumerate();
            let mut pairs = pairs.map(|(at, (a, b))| difference(&format!("{path}[{at}]"), a, b));
            pairs.find_map(|found| found)
        }
        (Value::Number(ours), Value::Number(theirs)) if ours.as_f64() == theirs.as_f64() => None,
        _ if ours == theirs => None,
        _ => Some(format!("{path} is {ours}, Istio reads {theirs}")),
    }
}

/// TrafficExtension (Istio 1.30) is younger than the generated types: its wasm
/// part and its place in the chain have the fields of a WasmPlugin.
fn as_wasm_plugin(extension: &Value) -> Value {
    let mut plugin = extension.clone();
    plugin["kind"] = json!("WasmPlugin");
    let Some(Value::Object(mut spec)) = plugin.get_mut("spec").map(Value::take) else {
        panic!("no spec");
    };
    let Some(Value::Object(wasm)) = spec.remove("wasm") else {
        panic!("no wasm");
    };
    spec.extend(wasm);
    plugin["spec"] = Value::Object(spec);
    plugin
}

fn problem(document: &Value) -> Option<String> {
    let api = |version: &str| {
        let found = document["apiVersion"].as_str().unwrap_or_default();
        (found != version).then(|| format!("apiVersion is {found}, must be {version}"))
    };
    let (wrong_api, copy, original) = match document["kind"].as_str().unwrap_or_default() {
        "WasmPlugin" => {
            let copy = copied::<WasmPlugin>(document);
            (api("extensions.istio.io/v1alpha1"), copy, document.clone())
        }
        "TrafficExtension" => {
            let plugin = as_wasm_plugin(document);
            let copy = copied::<WasmPlugin>(&plugin);
            (api("extensions.istio.io/v1alpha1"), copy, plugin)
        }
        "VirtualService" => {
            let copy = copied::<VirtualService>(document);
            (api("networking.istio.io/v1"), copy, document.clone())
        }
        "DestinationRule" => {
            let copy = copied::<DestinationRule>(document);
            (api("networking.istio.io/v1"), copy, document.clone())
        }
        "Telemetry" => {
            let copy = copied::<Telemetry>(document);
            (api("telemetry.istio.io/v1"), copy, document.clone())
        }
        // Not a resource of Istio's: a part of one, or of Kubernetes.
        _ => return None,
    };
    wrong_api.or_else(|| match copy {
        Err(error) => Some(error),
        Ok(copy) => difference("", &original, &copy),
    })
}

#[test]
fn every_manifest_is_one_that_istio_takes() {
    let mut seen = 0;
    for path in manifests() {
        for document in documents(&path) {
            let problem = problem(&document);
            assert_eq!(problem, None, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 3, "{seen} documents");
}

#[test]
fn mistakes_in_a_manifest_are_found() {
    let plugin = |spec: Value| {
        json!({
            "apiVersion": "extensions.istio.io/v1alpha1",
            "kind": "WasmPlugin",
            "metadata": {"name": "x"},
            "spec": spec,
        })
    };
    assert_eq!(problem(&plugin(json!({"url": "oci://x"}))), None);
    for (spec, expected) in [
        (
            json!({"url": "oci://x", "failStratgy": "FAIL_OPEN"}),
            ".spec.failStratgy is not a field",
        ),
        (
            json!({"url": "oci://x", "failStrategy": "OPEN"}),
            "unknown variant `OPEN`",
        ),
        (
            json!({"url": "oci://x", "match": [{"mod": "CLIENT"}]}),
            ".spec.match[0].mod is not a field",
        ),
        (json!({}), "missing field `url`"),
    ] {
        let found = problem(&plugin(spec)).unwrap();
        assert!(found.contains(expected), "{found}");
    }
}
