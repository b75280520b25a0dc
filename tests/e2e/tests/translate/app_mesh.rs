//! AWS App Mesh, translated: priorities, weighted targets, retries, ejection.

use std::time::Duration;

use meshpack_e2e::translate::example;
use meshpack_e2e::undisturbed;
use meshpack_harness::{Behavior, EnvoyBuilder, Request, Script, Upstream};

fn colors(white: &[&Upstream], blue: &Upstream) -> EnvoyBuilder {
    example("app-mesh/colors.json")
        .with(&["--sticky-by", "header:x-user-id"])
        .cluster("white.apps.local:8080", white)
        .cluster("blue.apps.local:8080", &[blue])
        .envoy()
}

fn color(user: usize) -> Request {
    let user = format!("user-{user}");
    Request::get("/")
        .authority("colors.apps.local:8080")
        .header("x-user-id", user)
}

#[tokio::test(flavor = "multi_thread")]
async fn priorities_go_first_and_a_fifth_of_the_users_sees_blue() {
    let white = Upstream::start("white").await.unwrap();
    let blue = Upstream::start("blue").await.unwrap();
    let envoy = colors(&[&white], &blue).start().await.unwrap();
    let client = envoy.client("outbound");
    let users = 4000;
    let first = client.load(users, 8, color).await;
    let again = client.load(users, 8, color).await;
    for (one, other) in first.iter().zip(again.iter()) {
        assert_eq!(one.upstream(), other.upstream());
    }
    let (seen, mean) = (first.by_upstream()["blue"] as f64, users as f64 * 0.2);
    assert!((seen - mean).abs() < 4.0 * (mean * 0.8).sqrt(), "{seen}");
    for user in 0..50 {
        let tester = color(user).header("x-tester", "qa-7");
        assert_eq!(client.send(tester).await.unwrap().upstream(), Some("blue"));
    }
    let user = first
        .iter()
        .position(|one| one.upstream() == Some("white"))
        .unwrap();
    for (behavior, status, attempts) in [
        (Behavior::status(502), 502, 3),
        (Behavior::status(409), 409, 3),
        (Behavior::status(500), 500, 1),
    ] {
        white.set(behavior);
        white.forget();
        let answer = client.send(color(user)).await.unwrap();
        assert_eq!((answer.status, white.recorded().len()), (status, attempts));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_are_those_of_the_route() {
    undisturbed(attempt_timeouts_are_those_of_the_route).await;
}

async fn attempt_timeouts_are_those_of_the_route() {
    let white = Upstream::start("white").await.unwrap();
    let blue = Upstream::start("blue").await.unwrap();
    let envoy = colors(&[&white], &blue).start().await.unwrap();
    let client = envoy.client("outbound");
    tokio::time::sleep(Duration::from_secs(1)).await;
    white.set(Behavior::hang());
    blue.set(Behavior::hang());
    // "perRequest: 2 s", and attempts of 800 ms within.
    let begin = std::time::Instant::now();
    let answer = client.send(color(1)).await.unwrap();
    let took = begin.elapsed();
    assert_eq!(answer.status, 504);
    assert!(
        took >= Duration::from_millis(1950) && took < Duration::from_millis(2700),
        "{took:?}"
    );
    assert_eq!(white.recorded().len() + blue.recorded().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_answers_five_errors_in_a_row_is_ejected() {
    undisturbed(attempt_a_task_that_answers_five_errors_in_a_row_is_ejected).await;
}

async fn attempt_a_task_that_answers_five_errors_in_a_row_is_ejected() {
    let good = Upstream::start("white").await.unwrap();
    let bad = Upstream::start("white").await.unwrap();
    let blue = Upstream::start("blue").await.unwrap();
    bad.set(Script::first(1000, Behavior::status(500), Behavior::echo()));
    let envoy = colors(&[&good, &bad], &blue).start().await.unwrap();
    // Envoy merges what changes in a cluster within a second of its start, and its
    // main thread ejects while the worker goes on.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let client = envoy.client("outbound");
    let outcomes = client.rate(100.0, Duration::from_secs(3), color).await;
    let failed = bad.recorded().len();
    assert!((5..10).contains(&failed), "{failed} reached it");
    assert_eq!(
        outcomes.with_status(500),
        failed,
        "a 500 is no gateway error, so it is not retried"
    );
}
