//! What a refused client gets, and what operators see of it.

use std::time::Duration;

use meshpack_e2e::authz::{DETAILS, builders, config, filter, listener, native, policy};
use meshpack_harness::{Client, Envoy, Request, Upstream};
use serde_json::{Value, json};

fn deny_admin() -> Value {
    policy(
        "deny-admin",
        "DENY",
        json!([{"to": [{"operation": {"paths": ["/admin*", "/pkg.Admin/*"]}}]}]),
    )
}

async fn start(config: &Value) -> Envoy {
    Envoy::builder()
        .listener(listener("in", vec![filter(config).into()]))
        .start()
        .await
        .unwrap()
}

/// A counter, once Envoy has heard of it.
async fn counted(envoy: &Envoy, metric: &str, decision: &str, policy: &str, at_least: u64) -> u64 {
    let name = format!(
        "wasmcustom.meshpack_authz_{metric}_totaldecision=.={decision};.;authz_policy=.={policy};.;"
    );
    let enough = |count: u64| count >= at_least;
    envoy
        .wait_for_stat(&name, Duration::from_secs(60), enough)
        .await
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Everything of an answer that a client could tell two proxies apart by.
fn seen(answer: &meshpack_harness::Response) -> (u16, String, Vec<(String, Vec<u8>)>) {
    let mut headers: Vec<(String, Vec<u8>)> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    headers.sort();
    (answer.status, answer.text(), headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_looks_like_native_rbacs() {
    let nothing = policy(
        "nothing",
        "ALLOW",
        json!([{"to": [{"operation": {"paths": ["/open"]}}]}]),
    );
    let policies = [deny_admin(), nothing];
    for builder in builders() {
        let envoy = builder
            .listener(listener("native", native::enforcing(&policies)))
            .listener(listener("ours", vec![filter(&config(&policies)).into()]))
            .start()
            .await
            .unwrap();
        for path in ["/admin", "/other", "/open"] {
            for (native, ours) in [
                (envoy.client("native"), envoy.client("ours")),
                (envoy.client_http2("native"), envoy.client_http2("ours")),
            ] {
                for method in ["GET", "HEAD", "POST"] {
                    let ask = |client: Client| async move {
                        let answer = client.send(Request::new(method, path)).await.unwrap();
                        // Native RBAC leaves notes on requests that pass, too.
                        seen(&answer)
                    };
                    assert_eq!(
                        ask(ours.clone()).await,
                        ask(native.clone()).await,
                        "{method} {path}"
                    );
                }
            }
        }
        for path in ["/pkg.Admin/Reset", "/pkg.Other/Get"] {
            let native = envoy
                .client_http2("native")
                .grpc(path, &[b""])
                .await
                .unwrap();
            let ours = envoy.client_http2("ours").grpc(path, &[b""]).await.unwrap();
            assert_eq!(ours.status, Some(7), "{path}");
            assert_eq!(
                (ours.http_status, ours.status, &ours.message),
                (native.http_status, native.status, &native.message)
            );
        }
        let answer = envoy.client("ours").get("/admin").await.unwrap();
        assert_eq!(
            answer.header(DETAILS),
            Some("rbac_access_denied_matched_policy[ns[default]-policy[deny-admin]-rule[0]]")
        );
        assert_eq!(answer.text(), "RBAC: access denied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn denials_can_have_their_own_answer_and_reason() {
    let mut deny = deny_admin();
    deny["denyWith"] =
        json!({"status": 404, "body": "not found", "headers": {"x-reason": "hidden"}});
    let mut config = config(&[deny]);
    config["explain"] = json!("header");
    let envoy = start(&config).await;
    let answer = envoy
        .client("in")
        .get("/admin/x?token=secret")
        .await
        .unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (404, "not found"));
    assert_eq!(answer.header("x-reason"), Some("hidden"));
    assert_eq!(
        answer.header("x-authz-policy"),
        Some("denied by default/deny-admin rule[0]: path /admin/x matches /admin*")
    );
    let call = envoy
        .client_http2("in")
        .grpc("/pkg.Admin/Reset", &[b""])
        .await
        .unwrap();
    assert_eq!(call.status, Some(7));
    assert_eq!(
        counted(&envoy, "requests", "deny", "default/deny-admin", 2).await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_and_counts_per_policy() {
    let mut dry = deny_admin();
    dry["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
    let mut readers = policy(
        "readers",
        "ALLOW",
        json!([{"to": [{"operation": {"paths": ["/r*"]}}]}]),
    );
    readers["enforcePercent"] = json!(0);
    let envoy = start(&config(&[dry, readers])).await;
    for path in ["/admin", "/admin/x", "/r1", "/else", "/else", "/else"] {
        let answer = envoy.client("in").get(path).await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(counted(&envoy, "requests", "allow", "none", 6).await, 6);
    assert_eq!(
        counted(&envoy, "shadow", "deny", "default/deny-admin", 2).await,
        2
    );
    assert_eq!(
        counted(&envoy, "shadow", "allow", "default/readers", 1).await,
        1
    );
    assert_eq!(counted(&envoy, "shadow", "deny", "none", 3).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarter_is_enforced_and_every_request_is_counted_once() {
    let mut deny = deny_admin();
    deny["enforcePercent"] = json!(25);
    let envoy = start(&config(&[deny])).await;
    let outcomes = envoy
        .client("in")
        .load(4000, 8, |_| Request::get("/admin"))
        .await;
    let denied = outcomes.with_status(403) as u64;
    // Five standard deviations of a binomial with n = 4000, p = 1/4.
    assert!((1000 - 137..1000 + 137).contains(&denied), "{denied}");
    assert_eq!(outcomes.with_status(200) as u64, 4000 - denied);
    let label = "default/deny-admin";
    assert_eq!(
        counted(&envoy, "requests", "deny", label, denied).await,
        denied
    );
    assert_eq!(
        counted(&envoy, "shadow", "deny", label, 4000 - denied).await,
        4000 - denied
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_logged_one_json_line_each() {
    let watch = policy(
        "watch",
        "AUDIT",
        json!([{"to": [{"operation": {"methods": ["DELETE"]}}]}]),
    );
    let mut config = config(&[deny_admin(), watch]);
    config["decisionLog"] = json!({"denied": true, "allowedPercent": 100});
    let envoy = start(&config).await;
    let client = envoy.client("in");
    client.get("/admin?token=hush-hush").await.unwrap();
    client.get("/open").await.unwrap();
    client.send(Request::new("DELETE", "/open")).await.unwrap();
    let limit = Duration::from_secs(60);
    assert!(envoy.wait_for_log("\"decision\":\"audit\"", limit).await);
    let log = envoy.log();
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| line.split_once("authz_policy: decision "))
        .map(|(_, json)| serde_json::from_str(json).unwrap())
        .collect();
    let of = |decision: &str| {
        let mut found = lines.iter().filter(|line| line["decision"] == decision);
        found
            .next()
            .unwrap_or_else(|| panic!("no {decision} in {lines:#?}"))
            .clone()
    };
    assert_eq!(of("deny")["policy"], "default/deny-admin");
    assert_eq!(of("deny")["path"], "/admin");
    assert_eq!(of("allow")["policy"], "none");
    assert_eq!(of("audit")["policy"], "default/watch");
    assert!(
        !log.contains("hush-hush"),
        "the query must stay out of the log"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_reaches_the_upstream_unchanged() {
    let upstream = Upstream::start("app").await.unwrap();
    let mut config = config(&[deny_admin()]);
    config["pathMatching"] = json!("hardened");
    let envoy = Envoy::builder()
        .listener(
            meshpack_harness::Listener::new("in")
                .filter(filter(&config))
                .route(meshpack_harness::Route::to("app")),
        )
        .cluster(meshpack_harness::Cluster::new("app").endpoint(upstream.address()))
        .start()
        .await
        .unwrap();
    let path = "/A//b;c=d/%2e/x%2Fy?q=%41";
    let echo = envoy.client("in").get(path).await.unwrap().echo().unwrap();
    assert_eq!(echo.path, path);
}
