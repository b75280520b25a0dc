//! `meshpack check` on what is right, and its exit codes and reports.

use std::path::Path;

use crate::common::{check_bytes, meshpack_in};

const CANARY: &str = "splits:
- name: payments
  match: {hosts: [\"payments*\"]}
  arms: [{value: v1, weight: 95}, {value: v2, weight: 5}]
";

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn configurations_of_every_filter_are_taken() {
    for (name, config) in [
        (
            "authz_policy",
            "policies:\n- metadata: {name: a, namespace: b}\n  spec: {}\n",
        ),
        ("canary_split", CANARY),
        (
            "retry_budget",
            "budgets:\n- {name: a, retryOn: [5xx, reset]}\n",
        ),
        ("telemetry", "metrics:\n- {name: a_total, type: counter}\n"),
        (
            "meshpack",
            "canary: {splits: []}\nretry: {stopAmplification: true}\n",
        ),
    ] {
        let ran = check_bytes(config.as_bytes(), &["--json"]);
        assert_eq!(ran.code, 0, "{name}: {}{}", ran.out, ran.err);
        assert!(
            ran.out.contains(&format!("\"filter\": \"{name}\"")),
            "{}",
            ran.out
        );
    }
}

#[test]
fn resources_that_carry_a_configuration_are_taken() {
    let plugin = format!(
        "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {{name: canary, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  url: oci://ghcr.io/org/canary-split:1.0
  phase: AUTHN
  failStrategy: FAIL_OPEN
  match: [{{mode: CLIENT, ports: [{{number: 8080}}]}}]
  pluginConfig:
    {}",
        CANARY.replace('\n', "\n    ")
    );
    let filter = format!(
        "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: canary}}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    patch:
      operation: INSERT_BEFORE
      value:
        name: canary
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
          config:
            failure_policy: FAIL_OPEN
            vm_config: {{code: {{local: {{filename: /etc/canary_split.wasm}}}}}}
            configuration:
              \"@type\": type.googleapis.com/google.protobuf.Struct
              value:
                {}",
        CANARY.replace('\n', "\n                ")
    );
    let both = format!("{plugin}\n---\n{filter}\n");
    let ran = check_bytes(both.as_bytes(), &[]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(
        ran.out
            .ends_with("\n2 configurations checked: no problems, 1 hint\n"),
        "{}",
        ran.out
    );
}

#[test]
fn plugins_of_others_are_left_alone() {
    let plugin = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: a}\nspec: {url: 'oci://r/openid:1', pluginConfig: {realm: ingress}}\n";
    let ran = check_bytes(plugin.as_bytes(), &[]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (
            0,
            "nothing to check: no configuration of meshpack's filters\n"
        ),
        "{}",
        ran.err
    );
}

#[test]
fn the_filter_can_be_named_where_keys_do_not_tell() {
    let ran = check_bytes(b"{}", &["--filter", "telemetry"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
}

#[test]
fn unreadable_files_do_not_keep_others_from_being_checked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.yaml"), "budgets: 1\n").unwrap();
    std::fs::create_dir(folder.path().join("void")).unwrap();
    let ran = meshpack_in(folder.path(), &["check", "none.yaml", "void", "bad.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.out.contains("bad.yaml:1:1: budgets: is a number"),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("none.yaml: cannot be read"), "{}", ran.err);
    assert!(ran.err.contains("void: is a folder without"), "{}", ran.err);
}

#[test]
fn wrong_usage_is_told_from_findings() {
    assert_eq!(meshpack_in(Path::new("."), &["check"]).code, 2);
    assert_eq!(meshpack_in(Path::new("."), &["chekc", "a"]).code, 2);
    assert_eq!(
        meshpack_in(Path::new("."), &["check", "--filter", "x", "a"]).code,
        2
    );
    let completions = meshpack_in(Path::new("."), &["completions", "bash"]);
    assert!(completions.code == 0 && completions.out.contains("_meshpack"));
}

#[test]
fn a_stock_envoy_has_the_last_word() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let good = write("good.yaml", "budgets: [{name: a}]\n".to_owned());
    let ran = meshpack_in(workspace(), &["check", "--envoy", &good]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("loaded in Envoy"), "{}", ran.out);

    // Right for the filter, wrong for Envoy: a field that no listener has.
    let bootstrap = "static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    no_such_field: 1
    filter_chains:
    - filters:
      - name: http
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config: {virtual_hosts: [{name: all, domains: [\"*\"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}
          http_filters:
          - name: retry
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: retry
                vm_config: {runtime: envoy.wasm.runtime.v8, code: {local: {filename: dist/retry_budget.wasm}}}
                configuration: {\"@type\": type.googleapis.com/google.protobuf.StringValue, value: '{\"budgets\": [{\"name\": \"a\"}]}'}
          - name: router
            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
";
    let wrong = write("wrong.yaml", bootstrap.to_owned());
    let ran = meshpack_in(workspace(), &["check", "--envoy", &wrong]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("a stock Envoy refuses the bootstrap"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("no_such_field"), "{}", ran.out);

    let mended = write(
        "mended.yaml",
        bootstrap.replace("    no_such_field: 1\n", ""),
    );
    let ran = meshpack_in(
        workspace(),
        &[
            "check", "--allow", "MP102", "--allow", "MP121", "--envoy", &mended,
        ],
    );
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
}
