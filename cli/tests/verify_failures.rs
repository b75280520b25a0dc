//! What `meshpack verify` says when something is wrong: each kind of failure, and
//! that a tired person finds in the report what to look at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Ran, meshpack_in};

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

/// Runs scenarios given as text.
fn verify(text: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s.yaml"), text).unwrap();
    let dist = workspace().join("dist");
    let dist = dist.to_str().unwrap();
    meshpack_in(folder.path(), &["verify", "s.yaml", "--modules", dist])
}

/// Runs scenarios that must fail and must say all of this.
fn fails(text: &str, says: &[&str]) {
    let ran = verify(text);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    for words in says {
        assert!(
            ran.out.contains(words),
            "{words:?} is missing in\n{}",
            ran.out
        );
    }
}

/// Runs a file that cannot be used, for all these reasons.
fn unusable(text: &str, says: &[&str]) {
    let ran = verify(text);
    assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err);
    assert_eq!(ran.out, "");
    for words in says {
        assert!(
            ran.err.contains(words),
            "{words:?} is missing in\n{}",
            ran.err
        );
    }
}

const CANARY: &str = "
plugins:
- name: canary_split
  config:
    splits:
    - name: payments
      arms: [{value: v1, weight: 80}, {value: v2, weight: 20}]
      stickyBy: [{header: x-user-id}]
upstreams: {v1: {}, v2: {}}
";

#[test]
fn a_wrong_policy() {
    fails(
        "
plugins:
- name: authz_policy
  config:
    policies:
    - metadata: {name: deny-admin, namespace: shop}
      spec: {action: DENY, rules: [{to: [{operation: {paths: ['/admin*']}}]}]}
upstreams: {shop: {}}
scenarios:
- name: the administration is open
  send: {path: '/admin/{n}', host: shop, headers: {x-team: web}, count: 3}
  expect: {status: 200}
- name: the shop is closed
  send: {path: /orders, host: shop}
  expect: {status: 403}
",
        &[
            "✗ the administration is open",
            "expected  200",
            "seen      403 for all 3 requests",
            "request 1: GET /admin/1 host shop, x-team: web",
            "because rbac_access_denied_matched_policy[ns[shop]-policy[deny-admin]-rule[0]]",
            "reached no upstream",
            // The filter's own words.
            "denied by shop/deny-admin rule[0]",
            "✗ the shop is closed",
            "answer: 200, because via_upstream",
            "from one attempt at shop",
            "2 of 2 scenarios failed, 2 of 2 expectations",
        ],
    );
}

#[test]
fn a_wrong_share() {
    fails(
        &format!(
            "{CANARY}
scenarios:
- name: five percent
  send: {{headers: {{x-user-id: 'user-{{n}}'}}, count: 1000, concurrency: 8}}
  expect: {{shares: {{v1: 95, v2: 5}}}}
- name: tight
  send: {{headers: {{x-user-id: 'user-{{n}}'}}, count: 200, concurrency: 8}}
  expect: {{shares: {{v1: 50, v2: {{percent: 50, tolerance: 1}}}}}}
"
        ),
        &[
            "✗ shares by upstream",
            "v2 5 % (by chance 2.9 to 7.4 %)",
            "of 1000)",
            "x-user-id: user-",
            "beware: the tolerance of 1 is too tight for 200 independent requests or users: chance alone puts v2 anywhere from 38.5 to 61.5 %",
        ],
    );
}

#[test]
fn users_that_do_not_stay() {
    fails(
        &format!(
            "{}
scenarios:
- name: nobody is known
  send: {{headers: {{x-other: 'user-{{user}}'}}, users: 20, count: 400}}
  expect: {{sticky: true}}
",
            CANARY.replace("80", "50").replace("20}", "50}")
        ),
        &["of 20 users met several", "met v1 and v2"],
    );
}

#[test]
fn wrong_attempts_and_amplification() {
    fails(
        "
plugins: [{name: retry_budget, config: {budgets: [{name: payments, budget: {percent: 500, interval: 10s}}]}}]
upstreams: {payments: {status: 503}}
routes: [{to: payments, retries: {attempts: 3}}]
scenarios:
- name: an outage
  send: {count: 100}
  expect: {status: 503, attempts: {atMost: 2}, amplification: {atMost: 1.2}}
",
        &[
            "✗ attempts per request",
            "expected  at most 2",
            "seen      3 attempts for all 100 requests",
            "3 attempts: payments, payments, payments",
            "✗ amplification",
            "expected  at most 1.2 attempts per request",
            "seen      3 (300 attempts for 100 requests)",
        ],
    );
}

#[test]
fn a_wrong_metric_and_header() {
    fails(
        &format!(
            "{CANARY}
scenarios:
- name: counted
  send: {{headers: {{x-user-id: a}}, count: 10}}
  expect:
    upstreamHeaders: {{x-meshpack-subset: v9}}
    absentUpstreamHeaders: [x-user-id]
    metrics:
    - {{name: meshpack_canary_request_total, increase: 10}}
    - {{name: meshpack_canary_requests_total, labels: {{split: payments}}, increase: {{atMost: 9}}}}
"
        ),
        &[
            "✗ request header upstream x-meshpack-subset",
            "expected  \"v9\"",
            "✗ request header upstream x-user-id",
            "expected  not there",
            "seen      no such series",
            "grew by 10 (from 0 to 10)",
        ],
    );
}

#[test]
fn a_configuration_that_only_envoy_can_refuse() {
    let module = workspace().join("dist/examples/tag_tenant.wasm");
    fails(
        &format!(
            "
plugins: [{{name: mine, module: {}, config: {{headr: x}}}}]
upstreams: {{app: {{}}}}
scenarios: [{{name: starts, send: {{}}, expect: {{status: 200}}}}]
",
            module.display()
        ),
        &[
            "✗ starts",
            "Envoy does not start with this configuration:",
            "config: header: is required",
            "config: headr: unknown key; known keys here: header",
        ],
    );
}

#[test]
fn a_bad_scenario_file_runs_nothing_and_names_every_line() {
    unusable(
        "
plugins:
- name: canary_split
  config: {splits: [{name: payments, arms: [{value: v1, weight: 1}], stickyBy: [{heade: x}]}]}
- {name: authz}
upstreams:
  v1: {status: 200, reset: true}
scenarios:
- name: a
  sends: {}
  expect: {status: 2000, shares: {v1: 90, v2: 5}}
",
        &[
            "s.yaml:4:3: plugins[0].config: splits[0]",
            "s.yaml:5:3: plugins[1]: no module authz.wasm",
            "s.yaml:7:3: upstreams.v1: contradicts itself",
        ],
    );
    unusable(
        "
plugins: [{name: retry_budget, config: {}}]
upstreams: {v1: {}}
scenarios:
- name: a
  sends: {}
  expect: {status: 2000, shares: {v1: 90, v2: 5}}
",
        &[
            "s.yaml:6:3: scenarios[0].sends: unknown key",
            "s.yaml:7:12: scenarios[0].expect.status: \"2000\" is not a status",
            "scenarios[0].expect.shares.v2: there is no upstream \"v2\"; there are v1",
        ],
    );
}

#[test]
fn files_that_are_no_scenarios() {
    unusable("a: [", &["s.yaml:"]);
    unusable("", &["s.yaml: is empty"]);
    unusable("a: 1\n---\nb: 2\n", &["s.yaml: holds 2 documents"]);
    unusable("- a", &["s.yaml:1:1: is a list, must be an object"]);
    let folder = tempfile::tempdir().unwrap();
    let ran = meshpack_in(folder.path(), &["verify", "missing.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("missing.yaml: cannot be read"),
        "{}",
        ran.err
    );
}

#[cfg(not(feature = "container"))]
#[test]
fn a_build_without_containers_says_so() {
    let ran = meshpack_in(
        &workspace(),
        &["verify", "tests/verify/tag-tenant.yaml", "--container"],
    );
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(ran.err.contains("--features container"), "{}", ran.err);
}

#[test]
fn without_an_envoy_nothing_has_failed_but_nothing_has_run() {
    let ran = Command::new(env!("CARGO_BIN_EXE_meshpack"))
        .args(["verify", "tests/verify/tag-tenant.yaml"])
        .current_dir(workspace())
        .env("ENVOY_BIN", "/no/such/envoy")
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(2));
    let err = String::from_utf8(ran.stderr).unwrap();
    assert!(
        err.contains("ENVOY_BIN: /no/such/envoy is not a file"),
        "{err}"
    );
}

/// A file with two plugins, as teams keep staging and production.
const TWO_PLUGINS: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: staging, namespace: s}
spec:
  url: oci://registry.example.com/meshpack/canary_split:1
  failStrategy: FAIL_OPEN
  pluginConfig: {splits: [{name: c, arms: [{value: v1, weight: 100}, {value: v2, weight: 0}]}]}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: production, namespace: p}
spec:
  url: oci://registry.example.com/meshpack/canary_split:1
  pluginConfig: {splits: [{name: c, arms: [{value: v1, weight: 0}, {value: v2, weight: 100}]}]}
";

#[test]
fn one_plugin_of_several_is_named_or_none_is_tested() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plugins.yaml"), TWO_PLUGINS).unwrap();
    let run = |plugin: &str, seen: &str| {
        let text = format!(
            "plugins: [{plugin}]
upstreams: {{v1: {{}}, v2: {{}}}}
scenarios: [{{name: all, send: {{count: 5}}, expect: {{upstream: {seen}}}}}]
"
        );
        fs::write(folder.path().join("s.yaml"), text).unwrap();
        let dist = workspace().join("dist");
        let dist = dist.to_str().unwrap();
        meshpack_in(folder.path(), &["verify", "s.yaml", "--modules", dist])
    };
    let ran = run("{name: canary_split, configFile: plugins.yaml}", "v1");
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(
        ran.err.contains(
            "holds several plugins: add `resource` with the name of one of staging, production"
        ),
        "{}",
        ran.err
    );
    for (name, arm) in [("staging", "v1"), ("production", "v2")] {
        let plugin = format!("{{name: canary_split, configFile: plugins.yaml, resource: {name}}}");
        let ran = run(&plugin, arm);
        assert_eq!(ran.code, 0, "{name}: {}{}", ran.out, ran.err);
    }
    for (plugin, says) in [
        (
            "{name: canary_split, configFile: plugins.yaml, resource: test}",
            "no plugin \"test\"",
        ),
        (
            "{name: canary_split, resource: staging}",
            "without configFile",
        ),
    ] {
        let ran = run(plugin, "v1");
        assert_eq!(ran.code, 2, "{}", ran.out);
        assert!(ran.err.contains(says), "{}", ran.err);
    }
}

#[test]
fn an_arm_needs_an_upstream_unless_there_are_routes() {
    for plugin in [
        "{name: canary_split, config: {splits: [SPLIT]}}",
        "{name: meshpack, config: {canary: {splits: [SPLIT]}}}",
    ] {
        let split = "{name: a, arms: [{value: v1, weight: 1}, {value: v9, weight: 1}]}";
        let plugin = plugin.replace("SPLIT", split);
        let text = format!(
            "plugins: [{plugin}]\nupstreams: {{v1: {{}}, v2: {{}}}}\nscenarios: [{{name: a, send: {{count: 20}}, expect: {{status: 200}}}}]\n"
        );
        unusable(&text, &["arm v9 of a split has no upstream"]);
        let routed = format!("routes: [{{to: v1}}]\n{text}");
        assert_eq!(verify(&routed).code, 0);
    }
}

#[test]
fn what_holds_because_nothing_came_through_fails() {
    let denied = "
plugins:
- name: authz_policy
  config: {policies: [{metadata: {name: a, namespace: b}, spec: {}}]}
upstreams: {v1: {}}
scenarios:
- {name: nothing passes, send: {count: 5}, expect: {EXPECT}}
";
    for (expect, code) in [
        ("amplification: {atMost: 1.4}", 1),
        ("amplification: {atMost: 0}", 0),
        ("attempts: {atMost: 3}", 1),
        ("attempts: 0", 0),
        ("absentUpstreamHeaders: [x-secret]", 1),
        ("absentHeaders: [x-secret]", 0),
    ] {
        let ran = verify(&denied.replace("EXPECT", expect));
        assert_eq!(ran.code, code, "{expect}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn a_chain_of_listeners_in_one_bootstrap_is_joined() {
    let hop = |number: u16, cluster: &str| {
        format!(
            "  - name: hop-{number}
    address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: hop
          route_config: {{virtual_hosts: [{{name: all, domains: [\"*\"], routes: [{{match: {{prefix: /}}, route: {{cluster: {cluster}}}, request_headers_to_add: [{{header: {{key: x-hop-{number}, value: \"1\"}}}}]}}]}}]}}
          http_filters: [{{name: router, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
",
            10_000 + number
        )
    };
    let cluster = |name: &str, port: u16| {
        format!(
            "  - {{name: {name}, load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}}}\n"
        )
    };
    let bootstrap = format!(
        "static_resources:\n  listeners:\n{}{}{}  clusters:\n{}{}{}",
        hop(1, "second"),
        hop(2, "third"),
        hop(3, "leaf"),
        cluster("second", 10_002),
        cluster("third", 10_003),
        cluster("leaf", 8_080)
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b.yaml"), bootstrap).unwrap();
    let text = "bootstrap: b.yaml
listener: hop-1
upstreams: {leaf: {}}
scenarios:
- {name: through all, send: {count: 10}, expect: {status: 200, upstreamHeaders: {x-hop-1: \"1\", x-hop-2: \"1\", x-hop-3: \"1\"}}}
";
    fs::write(folder.path().join("s.yaml"), text).unwrap();
    let ran = meshpack_in(folder.path(), &["verify", "s.yaml"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
}

/// `ENVOY_BIN` is not overruled in silence, and has to be an Envoy.
#[test]
fn the_binary_that_was_named_is_the_version_that_was_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let says = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).unwrap();
        path
    };
    let other = says(
        "other",
        "echo 'envoy  version: 0123/1.2.3/Clean/RELEASE/BoringSSL'",
    );
    let none = says("none", "exit 1");
    fs::write(
        folder.path().join("s.yaml"),
        format!("{CANARY}scenarios: [{{name: a, send: {{count: 1}}}}]\n"),
    )
    .unwrap();
    let dist = workspace().join("dist");
    let run = |binary: &Path, args: &[&str]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_meshpack"))
            .args(["verify", "s.yaml", "--modules", dist.to_str().unwrap()])
            .args(args)
            .env("ENVOY_BIN", binary)
            .current_dir(folder.path())
            .output()
            .unwrap();
        (
            ran.status.code(),
            String::from_utf8_lossy(&ran.stderr).into_owned(),
        )
    };
    for args in [&["--matrix"][..], &["--envoy", "1.36.4"]] {
        let (code, err) = run(&other, args);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains("is wanted, but ENVOY_BIN is 1.2.3"), "{err}");
    }
    let (code, err) = run(&none, &[]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("is no Envoy"), "{err}");
}

#[test]
fn a_report_that_cannot_be_written_is_found_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("s.yaml"),
        format!("{CANARY}scenarios: [{{name: a, send: {{count: 1}}}}]\n"),
    )
    .unwrap();
    let dist = workspace().join("dist");
    let args = [
        "verify",
        "s.yaml",
        "--modules",
        dist.to_str().unwrap(),
        "--junit",
        "no/such/folder.xml",
    ];
    let ran = meshpack_in(folder.path(), &args);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.out, "", "nothing ran");
    assert!(
        ran.err.contains("cannot write no/such/folder.xml"),
        "{}",
        ran.err
    );
}
