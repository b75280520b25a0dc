//! The JSON Schema and the parser accept and refuse the same configurations.
//!
//! The schema can not know CEL, attributes, or names that other labels end with;
//! those are left out here and tested with the parser.

use serde_json::{Value, json};

fn schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(include_str!("../schema.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn parser_accepts(config: &Value) -> bool {
    meshpack_telemetry::config::parse(config.to_string().as_bytes()).is_ok()
}

fn log(more: Value) -> Value {
    let mut log = json!({"sink": {"otlpHttp": {"cluster": "c"}}});
    for (key, value) in more.as_object().unwrap() {
        log[key] = value.clone();
    }
    json!({ "accessLog": log })
}

fn metric(more: Value) -> Value {
    let mut metric = json!({"name": "a_total", "type": "counter"});
    for (key, value) in more.as_object().unwrap() {
        metric[key] = value.clone();
    }
    json!({"metrics": [metric]})
}

#[test]
fn what_is_right_is_right_for_both() {
    let schema = schema();
    for config in [
        json!({}),
        json!({"golden": {}}),
        json!({"golden": {"enabled": false}, "metrics": []}),
        metric(json!({"value": "2", "when": "true", "labels": {"tenant": "request.host"}})),
        metric(json!({"type": "histogram", "value": "request.duration", "buckets": [1, 2.5]})),
        metric(json!({"type": "gauge", "labels": {}})),
        json!({"tagOverrides": {"golden": {"labels": {"tenant": "'a'"}, "remove": ["reporter"]}}}),
        json!({"tagOverrides": {"meshpack_request_bytes": {"disabled": true}}}),
        json!({"pathTemplates": ["/a/{id}", "/b/{*}/c/{**}"]}),
        json!({"cardinality": {"maxSeriesPerMetric": 2, "maxValueLength": 1000}}),
        log(json!({})),
        log(json!({"sink": "stdout"})),
        log(
            json!({"sink": {"otlpHttp": {"cluster": "c", "path": "/x", "authority": "a:1", "timeout": "1m30s"}}}),
        ),
        log(
            json!({"sample": {"percent": 0.5, "always": "response.code >= 500"}, "fields": {"x-y": "'z'"}}),
        ),
        log(json!({"batch": {"maxRecords": 1, "maxQueue": 1, "interval": "250ms"}})),
        json!({"trace": {"propagate": "w3c"}}),
    ] {
        assert!(schema.is_valid(&config), "schema: {config}");
        assert!(parser_accepts(&config), "parser: {config}");
    }
}

#[test]
fn what_is_wrong_is_wrong_for_both() {
    let schema = schema();
    for config in [
        json!([]),
        json!({"golden": true}),
        json!({"golden": {"enable": true}}),
        json!({"metrics": {}}),
        json!({"metrics": [{"name": "a_total"}]}),
        json!({"metrics": [{"type": "counter"}]}),
        metric(json!({"name": "a-b"})),
        metric(json!({"name": "meshpack_own"})),
        metric(json!({"name": "a_rq_200"})),
        metric(json!({"name": "a_rq_4xx"})),
        metric(json!({"type": "summary"})),
        metric(json!({"type": "histogram"})),
        metric(json!({"buckets": [1]})),
        metric(json!({"type": "histogram", "value": "1", "buckets": []})),
        metric(json!({"type": "histogram", "value": "1", "buckets": [-1]})),
        metric(json!({"labels": {"a b": "'x'"}})),
        metric(json!({"labels": {"tenant": 1}})),
        metric(json!({"labels": {"tenant": ""}})),
        metric(json!({"value": 1})),
        json!({"tagOverrides": {"golden": {"delete": []}}}),
        json!({"pathTemplates": ["a"]}),
        json!({"cardinality": {"maxSeriesPerMetric": 1}}),
        json!({"cardinality": {"maxSeriesPerMetric": 1.5}}),
        json!({"cardinality": {"maxValueLength": 7}}),
        json!({"accessLog": {}}),
        log(json!({"sink": "stderr"})),
        log(json!({"sink": {"otlpHttp": {}}})),
        log(json!({"sink": {"otlpHttp": {"cluster": ""}}})),
        log(json!({"sink": {"otlpHttp": {"cluster": "c", "path": "v1"}}})),
        log(json!({"sink": {"otlpHttp": {"cluster": "c", "timeout": 5}}})),
        log(json!({"sink": {"otlpHttp": {"cluster": "c", "timeout": "5"}}})),
        log(json!({"sample": {"percent": 101}})),
        log(json!({"sample": {"percent": -1}})),
        log(json!({"fields": {"": "'x'"}})),
        log(json!({"batch": {"maxRecords": 0}})),
        log(json!({"batch": {"interval": "soon"}})),
        json!({"trace": {}}),
        json!({"trace": {"propagate": "b3"}}),
    ] {
        assert!(!schema.is_valid(&config), "schema: {config}");
        assert!(!parser_accepts(&config), "parser: {config}");
    }
}
