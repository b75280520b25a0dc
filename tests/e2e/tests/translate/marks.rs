//! ALLOW policies that overlap are one plugin, in which the workload's own policies have
//! a condition on a mark that an EnvoyFilter sets: both as a stock Envoy reads them.

use std::fs;

use meshpack_cli::{json, yaml};
use meshpack_e2e::authz::{builders, filter};
use meshpack_harness::{HttpFilter, Listener, Request, Route};
use serde_json::Value;

const POLICIES: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: probes, namespace: library}
spec:
  rules: [{to: [{operation: {paths: [/live, /ready]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: lending, namespace: library}
spec:
  selector: {matchLabels: {app: loans, tier: back}}
  rules: [{to: [{operation: {methods: [PUT]}}]}]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_tells_the_workloads_of_a_policy_from_the_others() {
    let folder = std::env::temp_dir().join(format!("meshpack-marks-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("in.yaml");
    fs::write(&file, POLICIES).unwrap();
    let words = [
        "--gateway",
        "none",
        "--http-port",
        "all",
        file.to_str().unwrap(),
    ];
    let translation = meshpack_cli::translate::from_words(&words).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(translation.remarks, [""; 0]);
    let documents: Vec<Value> = yaml::parse(&translation.yaml())
        .unwrap()
        .iter()
        .map(|document| json::value(document.root().node()))
        .collect();
    let [plugin, mark] = documents.as_slice() else {
        panic!("{}", translation.yaml());
    };
    let mark = &mark["spec"]["configPatches"][0]["patch"]["value"];
    let guard = || filter(&plugin["spec"]["pluginConfig"]);
    for builder in builders() {
        let listener = |name: &str, marked: bool| {
            let mark = marked.then(|| HttpFilter::from(mark.clone()));
            let listener = mark.into_iter().fold(Listener::new(name), Listener::filter);
            listener
                .filter(guard())
                .route(Route::direct(200, "allowed"))
        };
        let envoy = builder
            .listener(listener("loans", true))
            .listener(listener("others", false))
            .start()
            .await
            .unwrap();
        for (workload, method, path, status) in [
            ("loans", "PUT", "/book/1", 200),
            ("loans", "GET", "/live", 200),
            ("loans", "GET", "/book/1", 403),
            ("others", "PUT", "/book/1", 403),
            ("others", "GET", "/ready", 200),
            ("others", "GET", "/book/1", 403),
        ] {
            let got = envoy
                .client(workload)
                .send(Request::new(method, path))
                .await;
            assert_eq!(got.unwrap().status, status, "{workload}: {method} {path}");
        }
    }
}
