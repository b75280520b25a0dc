//! Linkerd, translated: a ServiceProfile with a TrafficSplit, and server policy.

use std::time::Duration;

use meshpack_e2e::translate::{Callers, example};
use meshpack_e2e::undisturbed;
use meshpack_harness::{Behavior, Client, Request, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn retryable_routes_are_retried_within_the_budget_and_the_split_holds() {
    undisturbed(attempt_retryable_routes_are_retried_within_the_budget_and_the_split_holds).await;
}

async fn attempt_retryable_routes_are_retried_within_the_budget_and_the_split_holds() {
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    let start = || async {
        let profile = example("linkerd/profile.yaml")
            .with(&["--sticky-by", "header:x-user-id"])
            .cluster("books-v1", &[&v1])
            .cluster("books-v2", &[&v2])
            .saying("Linkerd retries a request as long as the budget lasts")
            .saying("a service of few requests");
        profile.envoy().start().await.unwrap()
    };
    let envoy = start().await;
    let client = envoy.client("outbound");
    fn call(method: &str, path: &str, user: usize) -> Request {
        let user = format!("user-{user}");
        Request::new(method, path)
            .authority("books.booksapp.svc.cluster.local")
            .header("x-user-id", user)
    }
    let users = 4000;
    let listed = client
        .load(users, 8, |user| call("GET", "/books.json", user))
        .await;
    let other = client
        .load(users, 8, |user| call("GET", "/nowhere", user))
        .await;
    for (one, other) in listed.iter().zip(other.iter()) {
        assert_eq!(one.upstream(), other.upstream(), "one arm for all routes");
    }
    let canary = listed.by_upstream()["v2"] as f64;
    assert!(
        (canary - 400.0).abs() < 4.0 * (400.0_f64 * 0.9).sqrt(),
        "{canary}"
    );

    let attempts = |status: u16| {
        for upstream in [&v1, &v2] {
            upstream.set(Behavior::status(status));
            upstream.forget();
        }
        || v1.recorded().len() + v2.recorded().len()
    };
    for (method, path, expected) in [
        ("GET", "/books.json", 4),
        ("GET", "/books/7", 4),
        ("GET", "/books/7/edit", 1),
        ("POST", "/books.json", 1),
        ("GET", "/nowhere", 1),
    ] {
        let count = attempts(500);
        assert_eq!(
            client.send(call(method, path, 1)).await.unwrap().status,
            500
        );
        assert_eq!(count(), expected, "{method} {path}");
    }
    // All fail at 100 a second, with no better times before that paid for
    // retries: a fifth of the requests may be retried.
    let envoy = start().await;
    let client = envoy.client("outbound");
    let count = attempts(503);
    let outcomes = client
        .rate(100.0, Duration::from_secs(5), |user| {
            call("GET", "/books.json", user)
        })
        .await;
    let amplification = count() as f64 / outcomes.len() as f64;
    assert!(
        amplification > 1.05 && amplification < 1.25,
        "{amplification}"
    );
    // "timeout: 2s" of the route.
    v1.set(Behavior::hang());
    v2.set(Behavior::hang());
    let begin = std::time::Instant::now();
    assert_eq!(
        client
            .send(call("GET", "/books.json", 1))
            .await
            .unwrap()
            .status,
        504
    );
    let took = begin.elapsed();
    assert!(
        took >= Duration::from_millis(1950) && took < Duration::from_millis(2600),
        "{took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_lets_in_whom_its_policies_name() {
    let app = Upstream::start("books").await.unwrap();
    let builder = example("linkerd/policy.yaml")
        .cluster("local:7002", &[&app])
        .saying("certs/tls.crt")
        .envoy();
    let callers = Callers::of(builder, "inbound-authz-policy-books").await;
    let webapp = Some("spiffe://cluster.local/ns/booksapp/sa/webapp");
    let authors = Some("spiffe://cluster.local/ns/booksapp/sa/authors");
    let other = Some("spiffe://cluster.local/ns/other/sa/webapp");
    for (who, method, path, status) in [
        (webapp, "GET", "/books.json", 403),
        (webapp, "GET", "/books", 200),
        (webapp, "GET", "/books/7", 200),
        (authors, "GET", "/books/7?x=1", 200),
        (other, "GET", "/books/7", 403),
        (None, "GET", "/books/7", 403),
        (webapp, "POST", "/books.json", 200),
        (authors, "POST", "/books.json", 403),
        (webapp, "DELETE", "/books/12.json", 200),
        (webapp, "DELETE", "/books/12.json?force=1", 200),
        (webapp, "DELETE", "/books/x.json", 403),
        (authors, "DELETE", "/books/12.json", 403),
        (None, "GET", "/ping", 200),
        (other, "POST", "/ping", 200),
        (webapp, "GET", "/unknown", 403),
    ] {
        let got = callers.status(who, Request::new(method, path)).await;
        assert_eq!(got, status, "{who:?} {method} {path}");
    }
    // The probe's network excludes one address, and the client cannot claim another.
    let excluded: Client = callers.client(None).from_ip("127.0.0.2".parse().unwrap());
    let claimed = Request::get("/ping").header("x-forwarded-for", "127.0.0.1");
    assert_eq!(excluded.send(claimed).await.unwrap().status, 403);
}
