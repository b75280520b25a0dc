//! Gateway API, translated: the most specific rule decides, weights, retries
//! bounded by a retryConstraint.

use std::time::Duration;

use meshpack_e2e::translate::example;
use meshpack_e2e::undisturbed;
use meshpack_harness::{Behavior, EnvoyBuilder, Request, Upstream};

struct Store {
    web: Upstream,
    v1: Upstream,
    v2: Upstream,
    receipts: Upstream,
    new_receipts: Upstream,
}

impl Store {
    async fn start() -> Self {
        Self {
            web: Upstream::start("web").await.unwrap(),
            v1: Upstream::start("v1").await.unwrap(),
            v2: Upstream::start("v2").await.unwrap(),
            receipts: Upstream::start("receipts-v1").await.unwrap(),
            new_receipts: Upstream::start("receipts-v2").await.unwrap(),
        }
    }

    fn envoy(&self) -> EnvoyBuilder {
        example("gateway-api/canary.yaml")
            .with(&["--sticky-by", "cookie:session"])
            .cluster("web:8080", &[&self.web])
            .cluster("checkout-v1:8080", &[&self.v1])
            .cluster("checkout-v2:8080", &[&self.v2])
            .cluster("receipts-v1:8080", &[&self.receipts])
            .cluster("receipts-v2:8080", &[&self.new_receipts])
            .envoy()
    }
}

fn request(path: &str) -> Request {
    Request::get(path).authority("store.example.com")
}

fn checkout(user: usize) -> Request {
    request("/checkout/cart").header("cookie", format!("a=b; session=s{user}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_rule_decides_and_a_tenth_goes_to_v2() {
    let store = Store::start().await;
    let envoy = store.envoy().start().await.unwrap();
    let client = envoy.client("outbound");
    for (path, upstream) in [
        ("/", "web"),
        ("/checkouts", "web"),
        ("/checkout/health", "v1"),
    ] {
        let answer = client.send(request(path)).await.unwrap();
        assert_eq!(answer.upstream(), Some(upstream), "{path}");
    }
    let users = 4000;
    let first = client.load(users, 8, checkout).await;
    let again = client.load(users, 8, |user| {
        request("/pay").header("cookie", format!("session=s{user}"))
    });
    let again = again.await;
    for (one, other) in first.iter().zip(again.iter()) {
        assert_eq!(one.upstream(), other.upstream(), "user {}", one.index);
    }
    // 10 %, give or take four standard deviations.
    let canary = first.by_upstream()["v2"] as f64;
    assert!(
        (canary - 400.0).abs() < 4.0 * (400.0_f64 * 0.9).sqrt(),
        "{canary}"
    );
    // Another route for the same host, more specific than the checkout's.
    let receipts =
        |user| request("/checkout/receipts/7").header("cookie", format!("session=s{user}"));
    let receipts = client.load(1000, 8, receipts).await;
    let receipts = receipts.by_upstream()["receipts-v2"] as f64;
    assert!(
        (receipts - 500.0).abs() < 4.0 * 250.0_f64.sqrt(),
        "{receipts}"
    );
    let stranger = Request::get("/").authority("other.example.com");
    assert_eq!(client.send(stranger).await.unwrap().status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_bounded_and_then_answered_with_503() {
    undisturbed(attempt_retries_are_bounded_and_then_answered_with_503).await;
}

async fn attempt_retries_are_bounded_and_then_answered_with_503() {
    let store = Store::start().await;
    let envoy = store.envoy().start().await.unwrap();
    let client = envoy.client("outbound");
    let fails =
        |status| [&store.v1, &store.v2].map(|upstream| upstream.set(Behavior::status(status)));
    let attempts = || store.v1.recorded().len() + store.v2.recorded().len();

    // The floor of ten retries a second, saved up.
    tokio::time::sleep(Duration::from_secs(1)).await;
    fails(500);
    let answer = client.send(checkout(1)).await.unwrap();
    assert_eq!((answer.status, attempts()), (500, 3), "two retries");
    store.v1.forget();
    store.v2.forget();
    fails(502);
    client.send(checkout(1)).await.unwrap();
    assert_eq!(attempts(), 1, "502 is not among the codes");
    store.web.set(Behavior::status(500));
    client.send(request("/")).await.unwrap();
    assert_eq!(store.web.recorded().len(), 1, "the other rule has no retry");

    // All fail: 100 requests a second may have 20 retries, whatever is refused is a 503.
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.v1.forget();
    store.v2.forget();
    fails(500);
    let outcomes = client.rate(100.0, Duration::from_secs(5), checkout).await;
    let amplification = attempts() as f64 / outcomes.len() as f64;
    assert!(
        amplification > 1.1 && amplification < 1.25,
        "{amplification}"
    );
    assert!(outcomes.with_status(503) > outcomes.len() / 2);
    assert_eq!(
        outcomes.with_status(503) + outcomes.with_status(500),
        outcomes.len()
    );

    // An attempt may take a second, and its end is not among the codes.
    store.v1.set(Behavior::hang());
    store.v2.set(Behavior::hang());
    let begin = std::time::Instant::now();
    let answer = client.send(checkout(1)).await.unwrap();
    let took = begin.elapsed();
    assert_eq!(answer.status, 504);
    assert!(
        took >= Duration::from_millis(950) && took < Duration::from_secs(2),
        "{took:?}"
    );
}
