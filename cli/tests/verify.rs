//! `meshpack verify` on scenarios that hold, in a stock Envoy.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Ran, meshpack_in};

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

/// Runs `meshpack verify` at the root of the project.
fn verify(args: &[&str]) -> Ran {
    meshpack_in(&workspace(), &[&["verify"], args].concat())
}

fn passes(file: &str) {
    let ran = verify(&[file]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(!ran.out.contains('✗'), "{}", ran.out);
}

#[test]
fn the_smallest_example_holds() {
    passes("tests/verify/tag-tenant.yaml");
}

#[test]
fn the_canary_example_holds() {
    passes("tests/verify/canary.yaml");
}

#[test]
fn the_retry_example_holds() {
    passes("tests/verify/retries.yaml");
}

#[test]
fn the_policy_example_holds() {
    passes("tests/verify/authz.yaml");
}

#[test]
fn the_telemetry_example_holds() {
    passes("tests/verify/telemetry.yaml");
}

#[test]
fn the_example_for_comparing_backends_holds() {
    passes("tests/verify/backends.yaml");
}

#[test]
fn the_whole_matrix_runs_what_one_version_runs() {
    let ran = verify(&[
        "tests/verify/tag-tenant.yaml",
        "--scenario",
        "refused",
        "--matrix",
    ]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    for version in ["1.36.4", "1.37.0", "1.38.2", "1.39.3", "1.40.0"] {
        assert!(
            ran.out.contains(&format!("(Envoy {version},")),
            "{}",
            ran.out
        );
    }
}

#[test]
fn reports_for_machines_and_a_page_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("junit.xml");
    let html = folder.path().join("report.html");
    let ran = verify(&[
        "tests/verify/canary.yaml",
        "--scenario",
        "five percent",
        "--json",
        "--junit",
        junit.to_str().unwrap(),
        "--html",
        html.to_str().unwrap(),
    ]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let step = &report["suites"][0]["scenarios"][0]["steps"][0];
    assert_eq!(step["requests"], 4000);
    let junit = fs::read_to_string(junit).unwrap();
    let junit = roxmltree::Document::parse(&junit).unwrap();
    let cases = junit.descendants().filter(|n| n.has_tag_name("testcase"));
    assert_eq!(cases.count(), 1);
    let html = fs::read_to_string(html).unwrap();
    let (_, rest) = html.split_once("<svg").unwrap();
    let (svg, _) = rest.split_once("</svg>").unwrap();
    let svg = format!("<svg{svg}</svg>");
    let svg = roxmltree::Document::parse(&svg).unwrap();
    let bars = svg
        .descendants()
        .filter(|n| n.attribute("class") == Some("good"));
    assert_eq!(bars.count(), 2);
}

const BOOTSTRAP: &str = "
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          route_config:
            virtual_hosts:
            - {name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: app}}]}
          http_filters:
          - name: tag_tenant
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: tag_tenant
                vm_config: {runtime: envoy.wasm.runtime.v8, code: {local: {filename: dist/examples/tag_tenant.wasm}}}
                configuration: {'@type': type.googleapis.com/google.protobuf.StringValue, value: '{\"header\": \"x-customer\"}'}
          - name: envoy.filters.http.router
            typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: app
    type: STRICT_DNS
    load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: app.prod.test, port_value: 80}}}}]}]}
";

#[test]
fn a_users_own_bootstrap_is_tested_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("envoy.yaml"), BOOTSTRAP).unwrap();
    let scenarios = folder.path().join("scenarios.yaml");
    let text = format!(
        "
folder: {}
bootstrap: envoy.yaml
upstreams: {{app: {{}}}}
scenarios:
- name: tenants pass
  send: {{headers: {{x-customer: acme}}}}
  expect: {{status: 200, upstream: app, upstreamHeaders: {{x-tenant: acme}}}}
- name: others do not
  send: {{}}
  expect: {{status: 400, details: tenant_missing}}
",
        workspace().display()
    );
    fs::write(&scenarios, text).unwrap();
    passes(scenarios.to_str().unwrap());
}

#[test]
fn what_is_deployed_is_what_is_tested() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: canary}
spec:
  url: oci://registry.test/canary-split:1.0
  pluginConfig:
    splits: [{name: payments, arms: [{value: v1, weight: 0}, {value: v2, weight: 1}]}]
";
    fs::write(folder.path().join("canary.yaml"), manifest).unwrap();
    let scenarios = folder.path().join("scenarios.yaml");
    let text = format!(
        "
modules: {}
plugins: [{{name: canary_split, configFile: canary.yaml}}]
upstreams: {{v1: {{}}, v2: {{}}}}
scenarios: [{{name: all to v2, send: {{count: 20}}, expect: {{upstream: v2}}}}]
",
        workspace().join("dist").display()
    );
    fs::write(&scenarios, text).unwrap();
    passes(scenarios.to_str().unwrap());
}

#[test]
fn an_upstream_goes_down_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let scenarios = folder.path().join("scenarios.yaml");
    let text = format!(
        "
modules: {}
plugins: [{{name: tag_tenant, config: {{header: x-customer}}}}]
upstreams: {{app: {{}}}}
scenarios:
- name: an outage
  steps:
  - {{name: up, send: {{headers: {{x-customer: a}}}}, expect: {{status: 200}}}}
  - {{name: down, upstreams: {{app: {{down: true}}}}, send: {{headers: {{x-customer: a}}}}, expect: {{status: 503, attempts: 0}}}}
  - {{name: resets, upstreams: {{app: {{reset: true}}}}, send: {{headers: {{x-customer: a}}}}, expect: {{status: 503, attempts: 1}}}}
  - {{name: slow, upstreams: {{app: {{delay: 300ms}}}}, send: {{headers: {{x-customer: a}}}}, expect: {{status: 200, latency: {{atLeast: 300ms}}}}}}
  - {{name: half, upstreams: {{app: {{fail: {{percent: 50, status: 502}}}}}}, send: {{headers: {{x-customer: a}}, count: 400}}, expect: {{status: {{200: 50, 502: 50}}}}}}
",
        workspace().join("dist/examples").display()
    );
    fs::write(&scenarios, text).unwrap();
    passes(scenarios.to_str().unwrap());
}
