//! The JSON Schema holds those of the four parts, and says what the parser says.
//!
//! It is one file, so that an editor needs no other: with `MESHPACK_WRITE_SCHEMA=1`
//! the first test writes it from the schemas of the parts.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use meshpack_cli::{Filter, json, yaml};
use meshpack_pack::PARTS;
use meshpack_sdk::config::Node;
use serde_json::{Value, json};

fn filters() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The schema that the parts' schemas make.
fn composed() -> String {
    let mut properties = Vec::new();
    let mut parts = Vec::new();
    for record in PARTS {
        let (key, module) = (record.part, record.name);
        let description = format!("{}; as in {module}.", record.description);
        properties.push(format!(
            "    \"{key}\": {{\n      \"description\": \"{description}\",\n      \"$ref\": \"{module}.schema.json\"\n    }}"
        ));
        let folder = filters().join(module.replace('_', "-"));
        let path = folder.join("schema.json");
        let schema = std::fs::read_to_string(path).unwrap();
        let mut part = format!("    \"{module}\": ");
        for (number, line) in schema.trim_end().lines().enumerate() {
            let indent = if number == 0 { "" } else { "\n    " };
            let _ = write!(part, "{indent}{line}");
        }
        parts.push(part);
    }
    let head = [
        r#"  "$schema": "https://json-schema.org/draft/2020-12/schema""#,
        r#"  "$id": "https://meshpack.dev/schema/meshpack.schema.json""#,
        r#"  "title": "meshpack""#,
        r#"  "description": "The four filters in one module; each part is optional.""#,
        r#"  "type": "object""#,
        r#"  "additionalProperties": false"#,
    ];
    format!(
        "{{\n{},\n  \"properties\": {{\n{}\n  }},\n  \"$defs\": {{\n{}\n  }}\n}}\n",
        head.join(",\n"),
        properties.join(",\n"),
        parts.join(",\n")
    )
}

fn schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(include_str!("../schema.json")).unwrap();
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is a schema");
    jsonschema::draft202012::new(&schema).expect("it refers to nothing outside itself")
}

fn parser_takes(config: &Value) -> bool {
    let node = Node::from_plugin_configuration(config.to_string().as_bytes());
    node.is_ok_and(|node| Filter::Meshpack.problems(&node).is_empty())
}

#[test]
fn it_holds_the_schemas_of_the_parts() {
    let path = filters().join("pack/schema.json");
    if std::env::var_os("MESHPACK_WRITE_SCHEMA").is_some() {
        std::fs::write(&path, composed()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == composed(),
        "a part's schema has changed: run MESHPACK_WRITE_SCHEMA=1 cargo test -p meshpack-pack --test pack schema"
    );
}

/// What the parts' own tests do for each field is done here for each part.
#[test]
fn it_says_what_the_parser_says() {
    let schema = schema();
    let policy = json!({"metadata": {"name": "a"}, "spec": {"action": "DENY", "rules": [{}]}});
    let arms = json!([{"value": "v1", "weight": 1}]);
    for config in [
        json!({}),
        json!({"authz": {"policies": [policy]}}),
        json!({"canary": {"splits": [{"name": "s", "arms": arms}]}}),
        json!({"retry": {"budgets": [{"name": "b", "budget": {"percent": 20}}]}}),
        json!({"telemetry": {"metrics": [{"name": "a_total", "type": "counter"}]}}),
        json!({"authz": {"allowAll": true}, "canary": {}, "retry": {}, "telemetry": {}}),
    ] {
        assert!(schema.is_valid(&config), "schema: {config}");
        assert!(parser_takes(&config), "parser: {config}");
    }
    for config in [
        json!([]),
        json!({"policies": [policy]}),
        json!({"authz": {}}),
        json!({"authz": {"policies": []}}),
        json!({"authz": {"policies": [{"metadata": {"name": "a"}, "spec": {"action": "LOG"}}]}}),
        json!({"canary": {"splits": [{"arms": arms}]}}),
        json!({"retry": {"budgets": [{"name": "b", "budget": {"percent": 1001}}]}}),
        json!({"telemetry": {"metrics": [{"name": "a_total", "type": "summary"}]}}),
        json!({"authz": {"splits": []}}),
        json!({"canary": {"budgets": []}}),
        json!({"retry": {"metrics": []}}),
        json!({"telemetry": {"policies": []}}),
    ] {
        assert!(!schema.is_valid(&config), "schema: {config}");
        assert!(!parser_takes(&config), "parser: {config}");
    }
}

fn documents(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(filters().join("..").join(path)).unwrap();
    let documents = yaml::parse(&text).unwrap();
    documents
        .iter()
        .map(|document| json::value(document.root().node()))
        .collect()
}

#[test]
fn what_ships_fits_it() {
    let schema = schema();
    let check = |path: &str, config: &Value| {
        assert!(config.is_object(), "{path}: no configuration");
        let errors: Vec<String> = schema
            .iter_errors(config)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{path}");
    };
    let path = "envoy-configs/meshpack.yaml";
    let plugin = documents(path)[0]
        .pointer("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/1/typed_config/config/configuration/value")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .expect("the plugin's configuration");
    check(path, &serde_json::from_str(&plugin).unwrap());
    for place in ["gateway", "inbound", "outbound"] {
        let path = format!("istio-manifests/meshpack/wasmplugin-{place}.yaml");
        check(&path, &documents(&path)[0]["spec"]["pluginConfig"]);
    }
    let path = "envoy-gateway-manifests/meshpack.yaml";
    check(path, &documents(path)[0]["spec"]["wasm"][0]["config"]);
    let path = "consul-manifests/meshpack.yaml";
    let config = documents(path)[0]
        .pointer("/spec/envoyExtensions/0/arguments/pluginConfig/configuration")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .expect("the plugin's configuration");
    check(path, &serde_json::from_str(&config).unwrap());
}
