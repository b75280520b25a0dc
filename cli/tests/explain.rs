//! `meshpack explain`: decisions without a proxy.

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Output, Stdio};

const POLICIES: &str = r#"
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny-admin, namespace: default}
spec:
  action: DENY
  rules:
  - to: [{operation: {paths: ["/admin*"]}}]
    from: [{source: {notPrincipals: ["cluster.local/ns/ops/sa/*"]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec:
  rules:
  - to: [{operation: {methods: [GET], paths: ["/items/{*}"]}}]
    when: [{key: "request.headers[x-role]", values: [reader]}]
  - from: [{source: {ipBlocks: [10.0.0.0/8]}}]
"#;

/// Runs `meshpack explain -` with this input.
fn explain(input: &str, flags: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meshpack"))
        .args(["explain", "-"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let written = child.stdin.take().unwrap().write_all(input.as_bytes());
    // Wrong arguments end it before it reads.
    if let Err(error) = written {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
    }
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_denial_is_explained_with_its_rule() {
    let output = explain(POLICIES, &["--path", "/admin/x?token=1", "--nearest", "1"]);
    assert_eq!(
        stdout(&output),
        "authz_policy: denied by default/deny-admin rule[0]: path /admin/x matches /admin*; \
         no peer principal, which is none of cluster.local/ns/ops/sa/*\n  \
         status 403, rbac_access_denied_matched_policy[ns[default]-policy[deny-admin]-rule[0]]\n\n\
         other rules, nearest first:\n  \
         ns[shop]-policy[readers]-rule[1] (ALLOW): could not be told\n    \
         from[0]: direct source address could not be decided\n"
    );
    assert!(output.status.success());
}

#[test]
fn the_nearest_rules_say_what_was_missing() {
    let output = explain(POLICIES, &["--path", "/items/1", "--source-ip", "11.0.0.1"]);
    let text = stdout(&output);
    let first = text.lines().next().unwrap();
    assert_eq!(
        first,
        "authz_policy: denied: no ALLOW policy matched; nearest is shop/readers rule[0]: when[0]: no header x-role, which is none of reader"
    );
    assert!(text.contains("(ALLOW): 2 of 3 conditions"), "{text}");
    assert!(
        text.contains("from[0]: direct source address 11.0.0.1 is none of 10.0.0.0/8"),
        "{text}"
    );
}

#[test]
fn every_part_of_a_request_can_be_described() {
    let rule = |when: &str| {
        format!(
            "kind: AuthorizationPolicy\nmetadata: {{name: p}}\nspec: {{rules: [{{when: [{when}]}}]}}\n"
        )
    };
    for (when, flags) in [
        (
            "{key: source.principal, values: [td/ns/a/sa/b]}",
            &["--principal", "spiffe://td/ns/a/sa/b"][..],
        ),
        (
            "{key: source.namespace, values: [a]}",
            &["--principal", "td/ns/a/sa/b"],
        ),
        (
            "{key: remote.ip, values: [10.0.0.0/8]}",
            &["--remote-ip", "10.1.1.1"],
        ),
        (
            "{key: destination.port, values: [\"80\"]}",
            &["--destination", "[::1]:80"],
        ),
        (
            "{key: connection.sni, values: [a.com]}",
            &["--sni", "a.com"],
        ),
        (
            "{key: \"request.auth.claims[a][b]\", values: [c]}",
            &["--claims", r#"{"a": {"b": ["c", 1]}}"#],
        ),
        (
            "{key: \"experimental.envoy.filters.f[k]\", values: [v]}",
            &["--metadata", r#"{"envoy.filters.f": {"k": "v"}}"#],
        ),
        (
            "{key: \"request.headers[x-a]\", values: [b]}",
            &["--header", "X-A: a", "--header", "x-a: b"],
        ),
        (
            "{key: \"request.headers[:authority]\", values: [h]}",
            &["--host", "h"],
        ),
        (
            "{key: \"request.query[q]\", values: [v]}",
            &["--path", "/?q=v"],
        ),
    ] {
        let with = explain(&rule(when), &[flags, &["--expect", "allow"]].concat());
        assert!(with.status.success(), "{when}: {}", stdout(&with));
        let without = explain(&rule(when), &["--expect", "allow"]);
        assert_eq!(
            without.status.code(),
            Some(1),
            "{when}: {}",
            stdout(&without)
        );
    }
}

#[test]
fn plugin_resources_and_settings_are_read() {
    let plugin = r#"
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: authz}
spec:
  url: oci://registry.example.com/meshpack/authz_policy:1
  pluginConfig:
    pathMatching: hardened
    policies:
    - metadata: {name: deny}
      spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}
      enforcePercent: 25
"#;
    let decided = |flags: &[&str]| {
        let output = explain(plugin, &[&["--json", "--path", "//ADMIN"], flags].concat());
        let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        json["authz"]["decision"].as_str().unwrap().to_owned()
    };
    assert_eq!(decided(&["--draw", "10"]), "deny");
    assert_eq!(decided(&["--draw", "50"]), "allow");

    let list = "kind: List\napiVersion: v1\nitems:\n- kind: AuthorizationPolicy\n  metadata: {name: a}\n  spec: {}\n";
    let output = explain(list, &["--expect", "deny"]);
    assert!(output.status.success(), "{}", stdout(&output));
    let aliased = POLICIES.replace("cluster.local", "old");
    let flags = [
        "--trust-domain",
        "new",
        "--trust-domain-alias",
        "old",
        "--path",
        "/admin",
        "--source-ip",
        "10.0.0.1",
        "--principal",
        "new/ns/ops/sa/x",
        "--expect",
        "allow",
    ];
    assert!(explain(&aliased, &flags).status.success());
}

#[test]
fn wrong_input_is_told_and_fails() {
    let broken = POLICIES.replace("/items/{*}", "/items/{id}");
    let output = explain(&broken, &[]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("policies[1].spec.rules[0].to[0].operation.paths[0]"),
        "{error}"
    );
    for (input, flags) in [
        (POLICIES, &["--claims", "[]"][..]),
        (POLICIES, &["--header", "no colon"]),
        (POLICIES, &["--draw", "200"]),
        ("a: [", &[]),
        ("", &[]),
    ] {
        let output = explain(input, flags);
        assert!(!output.status.success(), "{flags:?}");
        assert!(!output.stderr.is_empty(), "{flags:?}");
    }
    let nothing = explain("kind: ConfigMap\napiVersion: v1\n", &[]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(!nothing.stderr.is_empty());
}
