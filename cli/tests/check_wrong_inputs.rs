//! `meshpack check` on inputs that are wrong: a clear message with a place, the
//! right exit code, never a panic.

use crate::common::{Ran, check_bytes};

/// What is fed; the exit code; what the message must say.
struct Case {
    name: &'static str,
    input: Vec<u8>,
    code: i32,
    says: &'static [&'static str],
}

fn case(name: &'static str, input: impl AsRef<[u8]>, says: &'static [&'static str]) -> Case {
    let input = input.as_ref().to_vec();
    Case {
        name,
        input,
        code: 1,
        says,
    }
}

fn unusable(name: &'static str, input: impl AsRef<[u8]>, says: &'static [&'static str]) -> Case {
    Case {
        code: 2,
        ..case(name, input, says)
    }
}

fn plugin(spec: &str) -> String {
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: a}}\nspec:\n{spec}"
    )
}

fn extension(spec: &str) -> String {
    plugin(spec).replace("WasmPlugin", "TrafficExtension")
}

fn bootstrap(config: &str) -> String {
    format!(
        "static_resources:\n  listeners:\n  - filter_chains:\n    - filters:\n      - typed_config:\n          http_filters:\n          - typed_config:\n              config:\n                name: plugin\n                vm_config: {{code: {{local: {{filename: dist/canary_split.wasm}}}}}}\n{config}"
    )
}

const STRING: &str = "                configuration:\n                  \"@type\": type.googleapis.com/google.protobuf.StringValue\n";

#[rustfmt::skip]
fn files() -> Vec<Case> {
    vec![
        unusable("empty file", "", &["is empty"]),
        unusable("only white space", " \n\t\n", &["is empty"]),
        unusable("a wasm module", b"\0asm\x01\0\0\0", &["WebAssembly module"]),
        unusable("binary", b"\x89PNG\r\n\x1a\n\0\0", &["is not text"]),
        unusable("Latin-1", b"name: caf\xe9\n", &["byte 9 is not part of UTF-8"]),
        unusable("UTF-16", b"\xff\xfea\0:\0", &["UTF-16"]),
        unusable("huge file", vec![b'#'; 16 * 1024 * 1024 + 1], &["larger than 16 MiB"]),
        case("only comments", "# nothing here\n", &["no document"]),
        case("unclosed list", "budgets: [\n", &["not valid YAML or JSON"]),
        case("unclosed quote", "budgets: 'a\n", &["not valid YAML or JSON"]),
        case("tab as indentation", "budgets:\n\t- name: a\n", &[":2:", "not valid YAML"]),
        case("wrong indentation", "budgets:\n  - name: a\n key: b\n", &[":3:", "not valid YAML"]),
        case("JSON with a missing comma", "{\"budgets\": []\n \"server\": {}}", &[":2:", "not valid YAML or JSON"]),
        case("two colons", "budgets: name: a\n", &[":1:", "not valid YAML"]),
        case("alias to nothing", "budgets: *none\n", &["anchor"]),
        case("alias bomb", bomb(), &["100000 values"]),
        case("tower of lists", "[".repeat(5000), &["limit"]),
        case("tower of objects", "{a: ".repeat(200) + &"}".repeat(200), &["nested deeper"]),
        case("list as key", "? [a]\n: b\n", &["a key must be"]),
        case("HCL", "Kind = \"service-splitter\"\nName = \"web\"\n", &["is a string, must be an object"]),
    ]
}

#[rustfmt::skip]
fn documents() -> Vec<Case> {
    vec![
        case("a list", "- a\n- b\n", &["is a list, must be an object"]),
        case("a word", "canary\n", &["is a string, must be an object"]),
        case("a number", "17\n", &["is a number, must be an object"]),
        case("unknown keys only", "colour: red\n", &["cannot tell whose configuration", "--filter"]),
        case("keys of two filters", "splits: []\nbudgets: []\n", &["cannot tell whose configuration"]),
        case("a Deployment", "apiVersion: apps/v1\nkind: Deployment\n", &["\"Deployment\" carries no plugin"]),
        case("a VirtualService", "apiVersion: networking.istio.io/v1\nkind: VirtualService\n", &["meshpack translate"]),
        case("a kind without version", "kind: Gateway\n", &["\"Gateway\" carries no plugin"]),
        case("an apiVersion without kind", "apiVersion: v1\n", &["without a kind"]),
        case("a List without items", "apiVersion: v1\nkind: List\n", &["without items"]),
        case("a Deployment in a List", "apiVersion: v1\nkind: List\nitems:\n- kind: Deployment\n", &[":4:3: items[0]: a resource \"Deployment\""]),
        case("second document", "splits: []\n---\nbudgets: 1\n", &[":3:1: budgets: is a number, must be a list"]),
    ]
}

#[rustfmt::skip]
fn configurations() -> Vec<Case> {
    vec![
        case("authz: unknown key", "policies: []\npolices: []\n", &[":2:1: polices: unknown key"]),
        case("authz: bad CIDR", "policies:\n- metadata: {name: a, namespace: b}\n  spec:\n    action: DENY\n    rules:\n    - from:\n      - source:\n          remoteIpBlocks: [10.0.0/8]\n", &[":8:28: policies[0].spec.rules[0].from[0].source.remoteIpBlocks[0]: \"10.0.0/8\""]),
        case("authz: unknown action", "policies:\n- metadata: {name: a, namespace: b}\n  spec: {action: BLOCK}\n", &[":3:10: policies[0].spec.action", "BLOCK"]),
        case("canary: no arms", "splits:\n- name: a\n", &[":2:3: splits[0].arms: is required"]),
        case("canary: weight as text", "splits:\n- name: a\n  arms:\n  - {value: v1, weight: ninety}\n", &[":4:17: splits[0].arms[0].weight: is a string"]),
        case("canary: repeated key", "splits:\n- name: a\n  name: b\n  arms: [{value: v1, weight: 1}]\n", &["splits[0].name: stands more than once"]),
        case("canary: yes is a boolean", "splits:\n- name: yes\n  arms: [{value: v1, weight: 1}]\n", &["splits[0].name: is a boolean, must be a string"]),
        case("retry: percent too large", "budgets:\n- name: a\n  budget: {percent: 2000}\n", &[":3:12: budgets[0].budget.percent: 2000 is out of range"]),
        case("retry: bad duration", "budgets:\n- name: a\n  timeout: 6\n", &[":3:3: budgets[0].timeout"]),
        case("retry: unknown condition", "budgets:\n- {name: a, retryOn: [5xx, resets]}\n", &["budgets[0].retryOn[1]: \"resets\" is not a retry condition"]),
        case("telemetry: broken expression", "metrics:\n- {name: a_total, type: counter, when: 'request.method =='}\n", &[":2:34: metrics[0].when"]),
        case("telemetry: unknown kind", "metrics:\n- {name: a_total, type: meter}\n", &["metrics[0].type: \"meter\" is not one of"]),
        case("pack: unknown part", "canary: {splits: []}\nretries: {}\n", &[":2:1: retries: unknown key"]),
        case("pack: mistake in a part", "canary: {splits: []}\nretry: {budgets: [{}]}\n", &["retry.budgets[0].name: is required"]),
    ]
}

#[rustfmt::skip]
fn resources() -> Vec<Case> {
    vec![
        case("WasmPlugin: no url", plugin("  pluginConfig: {splits: []}\n"), &[":4:1: spec: has no url"]),
        case("WasmPlugin: unknown field", plugin("  url: oci://r/canary-split:1\n  pluginConf: {}\n"), &[":6:3: spec.pluginConf: unknown key"]),
        case("WasmPlugin: unknown phase", plugin("  url: oci://r/canary-split:1\n  phase: BEFORE\n"), &[":6:3: spec.phase: \"BEFORE\" is not one of"]),
        case("WasmPlugin: unknown strategy", plugin("  url: oci://r/canary-split:1\n  failStrategy: OPEN\n"), &["spec.failStrategy: \"OPEN\""]),
        case("WasmPlugin: foreign scheme", plugin("  url: s3://r/canary-split.wasm\n"), &["scheme that Istio does not know"]),
        case("WasmPlugin: config is text", plugin("  url: oci://r/canary-split:1\n  pluginConfig: '{}'\n"), &["spec.pluginConfig: is a string, must be an object"]),
        case("WasmPlugin: selector and target", plugin("  url: oci://r/canary-split:1\n  selector: {matchLabels: {a: b}}\n  targetRefs: []\n"), &["both selector and targetRefs"]),
        case("WasmPlugin: port out of range", plugin("  url: oci://r/canary-split:1\n  match: [{mode: CLIENT, ports: [{number: 0}]}]\n"), &["spec.match[0].ports[0].number: 0 is out of range"]),
        case("WasmPlugin: spec is a list", plugin("- url\n"), &["spec: is a list, must be an object"]),
        case("WasmPlugin: wrong version", plugin("  url: oci://r/canary-split:1\n").replace("v1alpha1", "v1"), &["apiVersion: \"extensions.istio.io/v1\" is not one of"]),
        case("TrafficExtension: no wasm", extension("  phase: AUTHZ\n"), &["must have wasm or lua"]),
        case("TrafficExtension: url beside wasm", extension("  url: oci://r/canary-split:1\n  wasm: {url: 'oci://r/canary-split:1'}\n"), &["spec.url: unknown key"]),
        case("TrafficExtension: mistake inside", extension("  wasm:\n    url: oci://r/canary-split:1\n    pluginConfig: {splits: [{}]}\n"), &[":7:29: spec.wasm.pluginConfig.splits[0].name: is required"]),
        case("EnvoyFilter without a plugin", "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: a}\nspec: {configPatches: []}\n", &["no wasm filter"]),
        case("bootstrap without a plugin", "static_resources: {listeners: []}\n", &["no wasm filter"]),
        case("bootstrap: broken JSON text", bootstrap(&format!("{STRING}                  value: '{{\"splits\": ['\n")), &["is not valid JSON"]),
        case("bootstrap: mistake in JSON text", bootstrap(&format!("{STRING}                  value: |\n                    {{\n                      \"splits\": 1}}\n")), &[":15:23: ", "configuration.value.splits: is a number"]),
        case("bootstrap: YAML where JSON must be", bootstrap(&format!("{STRING}                  value: |\n                    splits: []\n")), &["is not valid JSON"]),
        case("bootstrap: untyped configuration", bootstrap("                configuration: {splits: []}\n"), &["google.protobuf.StringValue"]),
        case("bootstrap: text that is no text", bootstrap(&format!("{STRING}                  value: {{splits: []}}\n")), &["is an object, must be JSON text in a string"]),
    ]
}

fn bomb() -> String {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let list = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    bomb
}

fn all_are_reported(cases: &[Case]) {
    let mut wrong = Vec::new();
    for case in cases {
        let Ran { code, out, err } = check_bytes(&case.input, &[]);
        let all = format!("{out}{err}");
        let missing: Vec<_> = case
            .says
            .iter()
            .filter(|says| !all.contains(**says))
            .collect();
        let crashed = all.contains("panicked") || all.contains("backtrace");
        if code != case.code || !missing.is_empty() || crashed || !all.contains("input:") {
            wrong.push(format!(
                "{}: exit {code}, misses {missing:?} in: {all}",
                case.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_that_are_no_documents_get_clear_errors() {
    all_are_reported(&files());
}

#[test]
fn documents_that_carry_no_configuration_get_clear_errors() {
    all_are_reported(&documents());
}

#[test]
fn mistakes_in_configurations_are_placed() {
    all_are_reported(&configurations());
}

#[test]
fn mistakes_in_resources_and_bootstraps_are_placed() {
    all_are_reported(&resources());
}
