//! What `meshpack explain` says is what a stock Envoy does.

use std::fs;

use crate::common::meshpack_in;
use meshpack_harness::{Behavior, Cluster, Envoy, Listener, Request, Route, Upstream};
use meshpack_harness::{WasmFilter, wasm_module};
use serde_json::{Value, json};

fn config() -> Value {
    json!({
        "authz": {"policies": [{
            "metadata": {"name": "deny-admin", "namespace": "default"},
            "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin*"]}}]}]},
        }]},
        "canary": {"splits": [{
            "name": "payments",
            "match": {"hosts": ["payments*"]},
            "arms": [{"value": "v1", "weight": 50}, {"value": "v2", "weight": 30}, {"value": "v3", "weight": 20}],
            "stickyBy": [{"header": "x-user-id"}, {"cookie": "session"}],
            "onMissingKey": "default",
            "force": {"header": "x-canary"},
            "rules": [{"match": {"paths": ["/beta/{**}"]}, "value": "v3"}],
        }]},
        "retry": {"budgets": [
            {"name": "canary", "match": {"headers": {"x-meshpack-subset": "v2"}}, "maxRetries": 1, "retryOn": ["5xx"],
             "budget": {"percent": 1000}, "minRetryRate": {"count": 1000}},
            {"name": "rest", "maxRetries": 2, "retryOn": ["5xx"],
             "budget": {"percent": 1000}, "minRetryRate": {"count": 1000}},
        ]},
        "telemetry": {
            "golden": {"enabled": false},
            "pathTemplates": ["/users/{id}", "/beta/{**}"],
            "metrics": [{
                "name": "seen_total",
                "type": "counter",
                "labels": {
                    "operation": "path_template",
                    "tenant": "request.headers[\"x-tenant\"]",
                    "verb": "request.method",
                    "asked": "request.query",
                    "arm_seen": "request.headers[\"x-meshpack-subset\"]",
                },
            }],
        },
    })
}

/// A request, as flags and as sent: method, path, host, headers.
type Described<'a> = (&'a str, &'a str, &'a str, Vec<(&'a str, String)>);

fn requests() -> Vec<Described<'static>> {
    let user = |n: usize| ("x-user-id", format!("user-{n}"));
    let mut all: Vec<Described<'_>> = (0..20)
        .map(|n| ("GET", "/users/7?a=b", "payments:8080", vec![user(n)]))
        .collect();
    all.extend([
        ("GET", "/admin/x", "payments", vec![user(1)]),
        (
            "POST",
            "/beta/x/y",
            "payments",
            vec![user(1), ("x-tenant", "ac;me=".to_owned())],
        ),
        ("GET", "/", "payments", vec![("x-canary", "v2".to_owned())]),
        (
            "GET",
            "/",
            "payments",
            vec![("cookie", "a=b; session=s1".to_owned())],
        ),
        ("GET", "/users/1/2", "payments", vec![]),
        (
            "GET",
            "/",
            "elsewhere",
            vec![("x-meshpack-subset", "forged".to_owned())],
        ),
    ]);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_envoy_does_what_explain_says() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pack.json"), config().to_string()).unwrap();
    let upstream = Upstream::start("upstream").await.unwrap();
    upstream.set(Behavior::status(503));
    let filter = WasmFilter::new("meshpack", wasm_module("meshpack").unwrap()).config(&config());
    let envoy = Envoy::builder()
        .listener(
            Listener::new("in")
                .filter(filter)
                .route(Route::to("upstream")),
        )
        .cluster(Cluster::new("upstream").endpoint(upstream.address()))
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    let mut arms = std::collections::BTreeSet::new();
    for (method, path, host, headers) in requests() {
        let mut flags = vec!["--json", "explain", "pack.json"];
        flags.extend(["--method", method, "--path", path, "--host", host]);
        let lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        flags.extend(lines.iter().flat_map(|line| ["--header", line]));
        let ran = meshpack_in(folder.path(), &flags);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let said: Value = serde_json::from_str(&ran.out).unwrap();

        upstream.forget();
        let mut request = Request::new(method, path).authority(host);
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let answer = client.send(request).await.unwrap();
        let context = format!("{method} {path} {host} {headers:?}: {said:#}");
        let seen = upstream.recorded();
        if said["authz"]["decision"] == "deny" {
            assert_eq!(said["authz"]["status"], answer.status, "{context}");
            assert!(seen.is_empty(), "{context}");
        } else {
            let gives = said["retry"]["budget"]["unusedGives"].as_u64().unwrap();
            assert_eq!(seen.len() as u64, 1 + gives, "{context}");
            let arm = said["canary"]["arm"].as_str();
            assert_eq!(seen[0].header_text("x-meshpack-subset"), arm, "{context}");
            arms.extend(arm.map(str::to_owned));
        }
        let metric = &said["telemetry"]["metrics"][0];
        assert_eq!(metric["toldLater"], json!({}), "{context}");
        let labels = ["arm_seen", "asked", "operation", "tenant", "verb"]
            .map(|name| format!("{name}=.={};.;", metric["labels"][name].as_str().unwrap()));
        let stat = format!("wasmcustom.seen_total{}", labels.concat());
        assert!(
            counted(&envoy, &stat).await,
            "{stat} is not there; {context}"
        );
    }
    assert_eq!(arms.len(), 3, "the users are in {arms:?} only");
}

/// Waits for what the plugin publishes once a second.
async fn counted(envoy: &Envoy, stat: &str) -> bool {
    for _ in 0..50 {
        if envoy
            .stat(stat)
            .await
            .unwrap()
            .is_some_and(|count| count > 0)
        {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    false
}
