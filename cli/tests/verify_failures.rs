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
