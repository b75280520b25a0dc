//! Istio's AuthorizationPolicy, Telemetry and routes, translated.

use std::time::Duration;

use meshpack_e2e::translate::{Callers, example};
use meshpack_harness::{Behavior, Request, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn authorization_policies_decide_as_istio_documents_them() {
    let app = Upstream::start("httpbin").await.unwrap();
    let builder = example("istio/authorization.yaml")
        .with(&["--trust-domain", "cluster.local"])
        .cluster("local", &[&app])
        .saying("certs/tls.crt")
        .envoy();
    let callers = Callers::of(builder, "inbound-authz-policy-httpbin").await;
    let envoy = callers.envoy();
    let sleep = Some("spiffe://cluster.local/ns/foo/sa/sleep");
    let other = Some("spiffe://cluster.local/ns/foo/sa/other");
    let ops = Some("spiffe://cluster.local/ns/ops/sa/root");
    for (who, method, path, status) in [
        (sleep, "GET", "/", 200),
        (sleep, "HEAD", "/", 200),
        (sleep, "POST", "/", 403),
        (sleep, "GET", "/admin/users", 403),
        (other, "GET", "/", 403),
        (None, "GET", "/", 403),
        (ops, "POST", "/", 200),
        (ops, "DELETE", "/admin/users", 200),
    ] {
        let got = callers.status(who, Request::new(method, path)).await;
        assert_eq!(got, status, "{who:?} {method} {path}");
    }
    let denied = callers.client(other).get("/").await.unwrap();
    assert_eq!(denied.text(), "RBAC: access denied");
    let curl = Request::get("/").header("user-agent", "curl/8.0");
    assert_eq!(
        callers.status(sleep, curl).await,
        200,
        "a dry run denies nothing"
    );
    let mut counted = false;
    for _ in 0..100 {
        let shadow = "wasmcustom.meshpack_authz_shadow_total";
        counted = !envoy
            .admin()
            .stats_starting_with(shadow)
            .await
            .unwrap()
            .is_empty();
        if counted {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(counted, "the dry run is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_counts_by_the_labels_asked_for() {
    let app = Upstream::start("app").await.unwrap();
    let envoy = example("istio/telemetry.yaml")
        .cluster("local", &[&app])
        .envoy();
    let envoy = envoy.start().await.unwrap();
    let client = envoy.client("outbound");
    for _ in 0..3 {
        let request = Request::get("/").header("x-tenant", "acme");
        assert_eq!(client.send(request).await.unwrap().status, 200);
    }
    app.set(Behavior::status(503));
    assert_eq!(client.get("/").await.unwrap().status, 503);
    let counted = || async {
        let stats = envoy
            .admin()
            .stats_starting_with("wasmcustom.meshpack_")
            .await
            .unwrap();
        let of_acme = |(name, count): (&String, &u64)| {
            (name.contains("meshpack_requests_total") && name.contains("tenant=.=acme;.;"))
                .then_some((name.clone(), *count))
        };
        stats.iter().find_map(of_acme)
    };
    let mut found = None;
    for _ in 0..100 {
        found = counted().await;
        if found.as_ref().is_some_and(|(_, count)| *count == 3) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (name, count) = found.unwrap();
    assert_eq!(count, 3);
    assert!(!name.contains("source_principal"), "{name}");
    let stats = envoy
        .admin()
        .stats_starting_with("wasmcustom.")
        .await
        .unwrap();
    assert!(
        !stats
            .keys()
            .any(|name| name.contains("meshpack_request_bytes"))
    );
    assert!(
        envoy
            .wait_for_log("\"response_code\":503", Duration::from_secs(60))
            .await
    );
    assert!(
        !envoy.log_contains("\"response_code\":200"),
        "only failures are logged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_keep_their_order_and_what_is_lost_is_listed() {
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    let v3 = Upstream::start("v3").await.unwrap();
    let envoy = example("istio/routes.yaml")
        .with(&["--sticky-by", "header:x-user-id"])
        .cluster("reviews/v1", &[&v1])
        .cluster("reviews/v2", &[&v2])
        .cluster("reviews/v3", &[&v3])
        .saying("redirect: is left to Istio")
        .saying("mirror: is left to Istio")
        .saying("its condition on the query parameter debug cannot be said in a split's match")
        .saying("its condition on the query parameter debug cannot be said in a budget's match")
        .envoy()
        .start()
        .await
        .unwrap();
    let client = envoy.client("outbound");
    fn to(path: &str) -> Request {
        Request::get(path).authority("reviews.shop")
    }
    assert_eq!(client.send(to("/old")).await.unwrap().status, 501);
    for user in 0..40 {
        let user = format!("{user}");
        let to = |path: &str| to(path).header("x-user-id", &user);
        assert_eq!(
            client.send(to("/static/a.css")).await.unwrap().upstream(),
            Some("v1")
        );
        assert_eq!(
            client.send(to("/images/a.png")).await.unwrap().upstream(),
            Some("v1")
        );
        let jason = to("/").header("end-user", "jason");
        assert_eq!(client.send(jason).await.unwrap().upstream(), Some("v2"));
    }
    let jason = |_| to("/?debug=1").header("end-user", "jason");
    let random = client.load(200, 4, jason).await;
    assert!(random.by_upstream()["v2"] > 60 && random.by_upstream()["v3"] > 60);
    let user = move |user: usize| to("/").header("x-user-id", format!("user-{user}"));
    let split = client.load(2000, 8, user).await;
    // 25 %, give or take four standard deviations.
    let canary = split.by_upstream()["v3"] as f64;
    assert!(
        (canary - 500.0).abs() < 4.0 * (500.0_f64 * 0.75).sqrt(),
        "{canary}"
    );
    // A retry on 503 alone, and none for the static files.
    for upstream in [&v1, &v3] {
        upstream.set(Behavior::status(503));
        upstream.forget();
    }
    client.send(to("/static/a.css")).await.unwrap();
    assert_eq!(v1.recorded().len(), 1);
    client.send(user(1)).await.unwrap();
    assert_eq!(v1.recorded().len() + v3.recorded().len(), 3);
}
