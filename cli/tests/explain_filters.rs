//! `meshpack explain` of the other filters and of the pack.

use std::fs;

use crate::common::{Ran, meshpack_in};
use serde_json::{Value, json};

const PACK: &str = r#"
authz:
  policies:
  - metadata: {name: deny-admin, namespace: default}
    spec: {action: DENY, rules: [{to: [{operation: {paths: ["/admin*"]}}]}]}
canary:
  splits:
  - name: payments
    match: {hosts: ["payments*"]}
    salt: payments-2026-11
    arms: [{value: v1, weight: 95}, {value: v2, weight: 5}]
    stickyBy: [{header: x-user-id}, {claim: sub}, sourceIp]
    force: {header: x-canary, cookie: canary}
    rules: [{match: {headers: {x-beta: "1"}}, value: v2}]
    ramp: {arm: v2, start: "2026-11-20T10:00:00Z", steps: [{after: 0s, weight: 1}, {after: 1h, weight: 100}]}
    abort: {arm: v2, baseline: v1, failures: ["5xx"]}
  - name: visitors
    match: {hosts: [visitors]}
    hash: unleash
    arms: [{value: a, weight: 50}, {value: b, weight: 50}]
    stickyBy: [{cookie: session}]
    onMissingKey: cookie
    cookie: {name: visitor}
retry:
  budgets:
  - {name: canary, match: {headers: {x-meshpack-subset: v2}}, key: cluster, maxRetries: 1}
  - {name: payments, match: {hosts: ["payments*"]}, key: host, retryOn: ["5xx", "429"], perTryTimeout: 2s, timeout: 6s, whenExhausted: 503, budget: {percent: 12.5}, minRetryRate: {count: 1}}
  server: {maxRetryPercent: 20}
  stopAmplification: true
telemetry:
  pathTemplates: ["/users/{id}"]
  metrics:
  - name: checkout_requests_total
    type: counter
    when: 'request.method == "POST"'
    labels: {operation: path_template, http_code: response.code, tenant: 'request.headers["x-tenant"]', region: '"eu"'}
  accessLog: {sink: stdout, sample: {percent: 1, always: 'response.code >= 500'}}
  trace: {propagate: w3c, generateWhenMissing: true}
"#;

/// When the ramp has reached all.
const LATE: [&str; 2] = ["--at", "2026-11-20T12:00:00Z"];
/// When it gives one percent.
const EARLY: [&str; 2] = ["--at", "2026-11-20T10:30:00Z"];

fn explain(config: &str, flags: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.yaml"), config).unwrap();
    meshpack_in(folder.path(), &[&["explain", "in.yaml"], flags].concat())
}

fn json_of(config: &str, flags: &[&str]) -> Value {
    let ran = explain(config, &[&["--json"], flags].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn the_arm_comes_with_its_reason() {
    let user = ["--header", "x-user-id: alice"];
    for (flags, arm, reason, because) in [
        (
            &user[..],
            Some("v1"),
            "sticky",
            "the hash of salt and key decides",
        ),
        (
            &["--header", "x-canary: always"],
            Some("v2"),
            "force",
            "header x-canary names it",
        ),
        (
            &[
                "--header",
                "x-canary: what",
                "--header",
                "cookie: a=b; canary=v2",
            ],
            Some("v2"),
            "force",
            "cookie canary names it",
        ),
        (
            &["--header", "x-beta: 1"],
            Some("v2"),
            "rule",
            "rules[0] matches",
        ),
        (
            &["--header", "x-beta: 1", "--aborted", "payments"],
            Some("v1"),
            "abort",
            "it would be in v2, which the proxy has taken out (rule)",
        ),
        (
            &["--header", "x-beta: 1", "--aborted", "visitors"],
            Some("v2"),
            "rule",
            "rules[0] matches",
        ),
        (
            &[],
            None,
            "random",
            "it has no key: each request is drawn anew, by weight",
        ),
    ] {
        let json = json_of(
            PACK,
            &[&["--host", "payments:80"], &EARLY[..], flags].concat(),
        );
        let canary = &json["canary"];
        assert_eq!(canary["split"], "payments");
        assert_eq!(canary["arm"].as_str(), arm, "{flags:?}");
        assert_eq!(canary["reason"], reason, "{flags:?}");
        assert_eq!(canary["because"], because, "{flags:?}");
    }
    let random = explain(PACK, &[&["--host", "payments"], &EARLY[..]].concat());
    assert!(
        random.out.contains("canary_split: split payments: any arm"),
        "{}",
        random.out
    );
    assert!(
        random.out.contains("weights v1 99 %, v2 1 %"),
        "{}",
        random.out
    );
}

#[test]
fn keys_are_looked_for_in_their_order_and_hashed_as_flagd_does() {
    let payments = ["--host", "payments"];
    for (flags, source, id) in [
        (
            &[
                "--header",
                "x-user-id: alice",
                "--claims",
                r#"{"sub": "s"}"#,
            ][..],
            "header x-user-id",
            "alice",
        ),
        (
            &["--claims", r#"{"sub": "s"}"#, "--source-ip", "10.0.0.1"],
            "claim sub",
            "s",
        ),
        (&["--claims", r#"{"sub": 12345}"#], "claim sub", "12345"),
        (
            &[
                "--metadata",
                r#"{"envoy.filters.http.jwt_authn": {"okta": {"sub": "s"}, "google": {"iss": "g"}}}"#,
                "--source-ip",
                "10.0.0.1",
            ],
            "claim sub",
            "s",
        ),
        (
            &[
                "--metadata",
                r#"{"envoy.filters.http.jwt_authn": {"okta": {"sub": "s"}, "google": {"sub": "t"}}}"#,
                "--source-ip",
                "10.0.0.1",
            ],
            "client address",
            "10.0.0.1",
        ),
        (&["--source-ip", "10.0.0.1"], "client address", "10.0.0.1"),
        (
            &["--source-ip", "10.0.0.1", "--remote-ip", "fd00::1"],
            "client address",
            "fd00::1",
        ),
    ] {
        let json = json_of(PACK, &[&payments[..], &EARLY[..], flags].concat());
        let canary = &json["canary"];
        assert_eq!(
            canary["key"],
            json!({"source": source, "id": id}),
            "{flags:?}"
        );
        // A murmur3 that has nothing in common with the filter's.
        let input = format!("payments-2026-11{id}");
        let hash = murmur3::murmur3_32(&mut input.as_bytes(), 0).unwrap();
        assert_eq!(canary["hash"], hash);
        let percent = f64::from(hash) / 4_294_967_296.0 * 100.0;
        assert_eq!(canary["bucket"], format!("{percent:.4} % of the range"));
        assert_eq!(canary["arm"], if percent >= 99.0 { "v2" } else { "v1" });
    }
    let all = json_of(
        PACK,
        &[&payments[..], &LATE, &["--source-ip", "::1"]].concat(),
    );
    assert_eq!(all["canary"]["arm"], "v2");
    assert_eq!(all["canary"]["weights"], json!({"v1": 0.0, "v2": 100.0}));
    let unleash = json_of(
        PACK,
        &["--host", "visitors", "--header", "cookie: session=7"],
    );
    let hash = murmur3::murmur3_32(&mut "visitors:7".as_bytes(), 0).unwrap();
    let bucket = hash % 100 + 1;
    assert_eq!(unleash["canary"]["bucket"], format!("{bucket} of 100"));
    assert_eq!(
        unleash["canary"]["arm"],
        if bucket <= 50 { "b" } else { "a" }
    );
    let minted = json_of(PACK, &["--host", "visitors"]);
    assert_eq!(minted["canary"]["arm"], Value::Null);
    let because = minted["canary"]["because"].as_str().unwrap();
    assert!(because.contains("sets cookie visitor"), "{because}");
}

#[test]
fn a_retry_budget_says_what_it_allows_and_what_the_router_is_told() {
    let json = json_of(
        PACK,
        &[&["--host", "PAYMENTS:80", "--source-ip", "::1"], &EARLY[..]].concat(),
    );
    let retry = &json["retry"];
    assert_eq!(
        retry["budget"],
        json!({
            "name": "payments",
            "for": "host \"payments\"",
            "allowed": {
                "percent": 12.5,
                "interval": "10s",
                "minRetryRate": {"count": 1, "interval": "1s"},
            },
            "maxRetries": 2,
            "unusedGives": 1,
            "mode": "reserve",
            "whenExhausted": 503,
            "routerHeaders": {
                "x-envoy-max-retries": "1",
                "x-envoy-retry-on": "5xx,retriable-status-codes",
                "x-envoy-retriable-status-codes": "429",
                "x-envoy-upstream-rq-per-try-timeout-ms": "2000",
                "x-envoy-upstream-rq-timeout-ms": "6000",
            },
        })
    );
    assert_eq!(retry["server"]["isRetry"], false);
    assert_eq!(retry["stopAmplification"], true);
    // The steering header of the split decides the budget behind it.
    let flags = [
        &[
            "--host",
            "payments",
            "--source-ip",
            "::1",
            "--cluster",
            "payments-v2",
        ],
        &LATE[..],
    ];
    let canary = explain(PACK, &flags.concat());
    for line in [
        "retry_budget: budget canary, one for cluster payments-v2\n",
        "  retries may be 20 % of the requests in any 10s, or 10 in any 1s where that is more\n",
        "  this request may have 1 of at most 1 retries while the budget is unused\n",
        "  tells the router x-envoy-max-retries: 1\n",
        "    this is a first attempt: never refused\n",
        "  stopAmplification: ",
    ] {
        assert!(canary.out.contains(line), "{line} not in {}", canary.out);
    }
    let again = explain(
        PACK,
        &["--host", "other", "--header", "X-Envoy-Attempt-Count: 2"],
    );
    assert!(
        again
            .out
            .contains("retry_budget: no budget takes this request"),
        "{}",
        again.out
    );
    assert!(again.out.contains("    this is a retry "), "{}", again.out);
}

#[test]
fn telemetry_says_the_labels_that_do_not_need_envoy() {
    let flags = ["--path", "/users/7?x=1", "--header", "x-tenant: ac;me"];
    let json = json_of(PACK, &flags);
    let telemetry = &json["telemetry"];
    assert_eq!(telemetry["pathTemplate"], "/users/{id}");
    let metrics = telemetry["metrics"].as_array().unwrap();
    assert_eq!(
        metrics.len(),
        2,
        "gRPC messages are not counted: {metrics:#?}"
    );
    assert_eq!(
        metrics[0]["names"],
        json!([
            "meshpack_requests_total",
            "meshpack_request_duration_milliseconds",
            "meshpack_request_bytes",
            "meshpack_response_bytes"
        ])
    );
    assert_eq!(metrics[0]["labels"], json!({"request_protocol": "http"}));
    assert_eq!(metrics[0]["toldLater"]["response_code"], "the answer");
    assert_eq!(
        metrics[1],
        json!({
            "names": ["checkout_requests_total"],
            "type": "counter",
            "when": "request.method == \"POST\"",
            "labels": {"operation": "/users/{id}", "tenant": "ac_me", "region": "eu"},
            "toldLater": {"http_code": "response.code"},
        })
    );
    assert_eq!(telemetry["trace"], "a new trace begins");
    assert_eq!(
        telemetry["accessLog"],
        "by chance: the share goes by trace id or request id; in any case if response.code >= 500"
    );
    let id = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = json_of(PACK, &["--header", id, "--header", "tracestate: NOT VALID"]);
    assert_eq!(
        traced["telemetry"]["trace"],
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 passes as it is, and tracestate is removed"
    );
    let logged = traced["telemetry"]["accessLog"].as_str().unwrap();
    assert!(logged.contains("its trace is"), "{logged}");
    let grpc = json_of(PACK, &["--header", "content-type: application/grpc"]);
    let metrics = grpc["telemetry"]["metrics"].as_array().unwrap();
    assert_eq!(metrics.len(), 3);
    assert_eq!(metrics[0]["labels"], json!({"request_protocol": "grpc"}));
}

#[test]
fn a_denied_request_goes_no_further_and_is_measured() {
    let denied = explain(PACK, &["--host", "payments", "--path", "/admin"]);
    for line in [
        "authz_policy: denied by default/deny-admin rule[0]",
        "canary_split: not asked: authz_policy denies the request\n",
        "retry_budget: not asked: authz_policy denies the request\n",
        "    request_protocol=\"http\" response_code=\"403\"\n",
        "operation=\"unmatched\" http_code=\"403\"",
    ] {
        assert!(denied.out.contains(line), "{line} not in {}", denied.out);
    }
    let json = json_of(PACK, &["--host", "payments", "--path", "/admin"]);
    assert_eq!(json["canary"], json!({"asked": false}));
    assert_eq!(json["retry"], json!({"asked": false}));
}

#[test]
fn pipelines_can_expect_an_arm_and_a_decision() {
    let beta = [&["--host", "payments", "--header", "x-beta: 1"], &EARLY[..]].concat();
    let code = |flags: &[&str]| explain(PACK, &[&beta[..], flags].concat()).code;
    assert_eq!(code(&["--expect-arm", "v2", "--expect", "allow"]), 0);
    assert_eq!(code(&["--expect-arm", "v1"]), 1);
    assert_eq!(code(&["--expect-arm", "v2", "--expect", "deny"]), 1);
    // Chance is no arm.
    assert_eq!(
        explain(PACK, &["--host", "payments", "--expect-arm", "v1"]).code,
        1
    );
    for (config, flag, word) in [
        ("splits: []\n", "--expect", "allow"),
        ("budgets: []\n", "--expect-arm", "v1"),
    ] {
        let ran = explain(config, &[flag, word]);
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains("in these files"), "{}", ran.err);
    }
}

#[test]
fn files_of_one_workload_are_read_together() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    file(
        "both.yaml",
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: all}\nspec: {rules: [{}]}\n---\n\
         apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: canary}\n\
         spec: {url: oci://r/canary_split, pluginConfig: {splits: [{name: s, arms: [{value: a, weight: 1}]}]}}\n",
    );
    file("retry.yaml", "budgets: []\nstopAmplification: true\n");
    file("twice.yaml", "retry: {budgets: []}\n");
    file("other.yaml", "apiVersion: v1\nkind: ConfigMap\n");
    let run =
        |files: &[&str]| meshpack_in(folder.path(), &[&["--json", "explain"], files].concat());
    let both = run(&["both.yaml", "retry.yaml"]);
    let json: Value = serde_json::from_str(&both.out).unwrap();
    assert_eq!(json["authz"]["decision"], "allow");
    assert_eq!(json["canary"]["reason"], "random");
    assert_eq!(json["retry"]["budget"], Value::Null);
    assert_eq!(json.get("telemetry"), None);
    let twice = run(&["retry.yaml", "twice.yaml"]);
    assert_eq!(twice.code, 1);
    assert!(
        twice.err.contains("several configurations of retry_budget"),
        "{}",
        twice.err
    );
    let other = run(&["retry.yaml", "other.yaml"]);
    assert_eq!(other.code, 1);
    assert!(
        other.err.contains("other.yaml: there is no"),
        "{}",
        other.err
    );
    let when = meshpack_in(folder.path(), &["explain", "both.yaml", "--at", "noon"]);
    assert_eq!(when.code, 2);
    assert!(
        when.err.contains("--at") && when.err.contains("noon"),
        "{}",
        when.err
    );
}

/// An expectation that could never hold, and an abort of nothing, are typing errors; one
/// that does not hold says what came instead.
#[test]
fn expectations_say_what_came_and_name_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let config = "canary: {splits: [{name: desk, stickyBy: [{header: x-id}], arms: [{value: v1, weight: 1}, {value: v2, weight: 0}]}]}\nauthz: {policies: [{metadata: {name: a, namespace: b}, spec: {rules: [{to: [{operation: {methods: [PUT]}}]}]}}]}\n";
    std::fs::write(folder.path().join("c.yaml"), config).unwrap();
    let explain = |args: &[&str]| {
        let args = [
            &["explain", "c.yaml", "--host", "desk", "--header", "x-id:1"],
            args,
        ]
        .concat();
        crate::common::meshpack_in(folder.path(), &args)
    };
    for (args, code, says) in [
        (
            &["--expect-arm", "v3"][..],
            2,
            "\"v3\" is no arm; the arms are v1, v2",
        ),
        (
            &["--aborted", "deks"],
            2,
            "\"deks\" is no split; the splits are desk",
        ),
        (
            &["--expect-arm", "v2"],
            1,
            "--expect-arm v2: authz_policy denies the request before",
        ),
        (
            &["--method", "PUT", "--expect-arm", "v2"],
            1,
            "--expect-arm v2: it is v1",
        ),
        (&["--method", "PUT", "--expect-arm", "v1"], 0, ""),
        (&["--expect", "allow"], 1, "--expect allow: it is deny"),
        (&["--expect", "deny"], 0, ""),
    ] {
        let ran = explain(args);
        assert_eq!(ran.code, code, "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
    }
}
