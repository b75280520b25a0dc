//! The JSON Schema says what the parser says.

use meshpack_canary_split::config::Config;
use serde_json::{Value, json};

fn schema() -> jsonschema::Validator {
    let text = include_str!("../schema.json");
    let schema: Value = serde_json::from_str(text).expect("the schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is a schema");
    jsonschema::draft202012::new(&schema).expect("the schema compiles")
}

fn parser_takes(config: &Value) -> bool {
    let json = config.to_string();
    meshpack_sdk::config::parse(json.as_bytes(), |value| Config::read(&value)).is_ok()
}

/// A split with these fields beside or instead of the plain ones.
fn split(more: &Value) -> Value {
    let mut split = json!({
        "name": "s",
        "arms": [{"value": "v1", "weight": 95}, {"value": "v2", "weight": 5}],
    });
    for (key, value) in more.as_object().expect("an object") {
        split[key] = value.clone();
    }
    json!({"splits": [split]})
}

const STEERING: &str = "x-meshpack-subset";
const RAMP_START: &str = "2026-11-20T10:00:00Z";

fn good() -> Vec<Value> {
    let steps = json!([{"after": "0s", "weight": 1}, {"after": "1h30m", "weight": 12.5}]);
    let mut good = vec![
        json!({}),
        json!({"splits": []}),
        json!({"header": "X-A", "splits": []}),
        json!({"jwtPayloadKeys": ["payload", "okta"]}),
    ];
    good.extend(
        [
            json!({}),
            json!({"salt": ""}),
            json!({"salt": "a", "secretSalt": {"env": "SECRET_1"}}),
            json!({"secretSalt": {"env": "S"}}),
            json!({"secretSalt": "none"}),
            json!({"match": {"hosts": ["a*", "*"], "paths": ["/a", "*.png", "/{*}/b/{**}"], "methods": ["GET"], "headers": {"x": "1", ":path": ["a*", ""]}}}),
            json!({"arms": [{"value": "only one", "weight": 0.000001}]}),
            json!({"hash": "unleash"}),
            json!({"stickyBy": [{"header": "X-User"}, {"cookie": "c"}, {"claim": "https://a/b"}, "sourceIp"]}),
            json!({"onMissingKey": "cookie", "cookie": {"name": "sid", "ttl": "720h", "path": "/a b"}}),
            json!({"onMissingKey": "default"}),
            json!({"force": {"header": "x"}}),
            json!({"force": {"cookie": "x"}}),
            json!({"rules": [{"match": {}, "value": "v2"}]}),
            json!({"rules": []}),
            json!({"ramp": {"arm": "v2", "start": RAMP_START, "steps": steps}}),
            json!({"ramp": {"arm": "v2", "start": "2026-11-20t10:00:00.5+01:30", "steps": steps, "interpolate": "linear"}}),
            json!({"abort": {"arm": "v2", "baseline": "v1"}}),
            json!({"abort": {"arm": "v2", "baseline": "v1", "failures": ["5xx"], "falsePositiveRate": 0.1, "minEffect": 1, "cooldown": "1s"}}),
        ]
        .iter()
        .map(split),
    );
    good
}

fn bad() -> Vec<Value> {
    let step = json!([{"after": "0s", "weight": 1}]);
    let mut bad = vec![
        json!([]),
        json!({"split": []}),
        json!({"header": "a b"}),
        json!({"header": ""}),
        json!({"jwtPayloadKeys": []}),
        json!({"jwtPayloadKeys": "payload"}),
        json!({"jwtPayloadKeys": [""]}),
        json!({"header": "Cookie"}),
        json!({"header": ":path"}),
        json!({"splits": [{"arms": [{"value": "v1", "weight": 1}]}]}),
        json!({"splits": [{"name": "s"}]}),
    ];
    bad.extend(
        [
            json!({"name": ""}),
            json!({"match": {"host": ["a"]}}),
            json!({"match": {"hosts": []}}),
            json!({"match": {"hosts": ["a/b"]}}),
            json!({"match": {"hosts": ["a b"]}}),
            json!({"match": {"paths": ["a"]}}),
            json!({"match": {"paths": ["/a?b"]}}),
            json!({"match": {"headers": {}}}),
            json!({"match": {"headers": {"a b": "1"}}}),
            json!({"match": {"headers": {"a": 1}}}),
            json!({"arms": []}),
            json!({"arms": [{"value": "v1"}]}),
            json!({"arms": [{"value": "", "weight": 1}]}),
            json!({"arms": [{"value": "a\nb", "weight": 1}]}),
            json!({"arms": [{"value": " a", "weight": 1}]}),
            json!({"arms": [{"value": "a", "weight": -1}]}),
            json!({"arms": [{"value": "a", "weight": 0}]}),
            json!({"arms": [{"value": "a", "weight": 2147483648_u64}]}),
            json!({"arms": [{"value": "a", "weight": "1"}]}),
            json!({"hash": "md5"}),
            json!({"hash": "unleash", "arms": [{"value": "a", "weight": 1}]}),
            json!({"secretSalt": "text"}),
            json!({"secretSalt": {}}),
            json!({"secretSalt": {"env": "a-b"}}),
            json!({"stickyBy": []}),
            json!({"stickyBy": ["ip"]}),
            json!({"stickyBy": [{"header": "a", "cookie": "b"}]}),
            json!({"stickyBy": [{"header": "a b"}]}),
            json!({"stickyBy": [{"claim": ""}]}),
            json!({"onMissingKey": "none"}),
            json!({"onMissingKey": "cookie"}),
            json!({"cookie": {"name": "c"}}),
            json!({"onMissingKey": "cookie", "cookie": {"name": "c", "path": "a"}}),
            json!({"onMissingKey": "cookie", "cookie": {"name": "c", "path": "/a;b"}}),
            json!({"onMissingKey": "cookie", "cookie": {"name": "c", "ttl": "1d"}}),
            json!({"stickyBy": [{"header": "a"}, "sourceIp", {"header": "a"}]}),
            json!({"stickyBy": [{"header": "Host"}]}),
            json!({"force": {"header": "Cookie"}}),
            json!({"force": {}}),
            json!({"force": {"query": "a"}}),
            json!({"rules": [{"value": "v2"}]}),
            json!({"ramp": {"arm": "v2", "start": "tomorrow", "steps": step}}),
            json!({"ramp": {"arm": "v2", "start": RAMP_START, "steps": []}}),
            json!({"ramp": {"arm": "v2", "start": RAMP_START, "steps": [{"after": "0s", "weight": 101}]}}),
            json!({"ramp": {"arm": "v2", "start": RAMP_START, "steps": step, "interpolate": "smooth"}}),
            json!({"abort": {"arm": "v2"}}),
            json!({"abort": {"arm": "v2", "baseline": "v1", "failures": ["4xx"]}}),
            json!({"abort": {"arm": "v2", "baseline": "v1", "falsePositiveRate": 0.2}}),
            json!({"abort": {"arm": "v2", "baseline": "v1", "minEffect": 0.5}}),
            json!({"abort": {"arm": "v2", "baseline": "v1", "cooldown": "soon"}}),
        ]
        .iter()
        .map(split),
    );
    bad
}

/// What only the parser sees: references, order, sums, and the finer points of
/// forms.
fn beyond_a_schema() -> Vec<Value> {
    let plain = split(&json!({}))["splits"][0].clone();
    let mut beyond = vec![json!({"splits": [plain, plain]})];
    beyond.extend(
        [
            json!({"rules": [{"match": {}, "value": "v9"}]}),
            json!({"arms": [{"value": "a", "weight": 1}, {"value": "a", "weight": 1}]}),
            json!({"arms": [{"value": "a", "weight": 0.1234567}]}),
            json!({"match": {"hosts": ["a:80"]}}),
            json!({"match": {"paths": ["/{*}a"]}}),
            json!({"ramp": {"arm": "v1", "start": RAMP_START, "steps": [{"after": "0s", "weight": 1}]}}),
            json!({"ramp": {"arm": "v2", "start": RAMP_START, "steps": [{"after": "1s", "weight": 1}, {"after": "0s", "weight": 1}]}}),
            json!({"stickyBy": [{"header": "a"}, {"header": "A"}]}),
            json!({"stickyBy": [{"header": STEERING}]}),
            json!({"force": {"header": "X-Meshpack-Subset"}}),
            json!({"match": {"headers": {STEERING: "v2"}}}),
            json!({"rules": [{"match": {"headers": {STEERING: "v2"}}, "value": "v2"}]}),
            json!({"stickyBy": [{"header": "a"}], "force": {"header": "A"}}),
            json!({"stickyBy": [{"cookie": "a"}], "force": {"cookie": "a"}}),
            json!({"onMissingKey": "cookie", "cookie": {"name": "a"}, "force": {"cookie": "a"}}),
            json!({"abort": {"arm": "v2", "baseline": "v2"}}),
            json!({"abort": {"arm": "v2", "baseline": "v1", "cooldown": "1ms"}}),
        ]
        .iter()
        .map(split),
    );
    beyond
}

#[test]
fn both_take_what_is_right() {
    let schema = schema();
    for config in good() {
        assert!(parser_takes(&config), "{config}");
        assert!(schema.is_valid(&config), "{config}");
    }
}

#[test]
fn both_refuse_what_is_wrong() {
    let schema = schema();
    for config in bad() {
        assert!(!parser_takes(&config), "{config}");
        assert!(!schema.is_valid(&config), "{config}");
    }
}

#[test]
fn the_parser_alone_knows_how_the_parts_belong_together() {
    let schema = schema();
    for config in beyond_a_schema() {
        assert!(!parser_takes(&config), "{config}");
        assert!(schema.is_valid(&config), "{config}");
    }
}
