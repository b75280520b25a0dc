//! The canary of every Istio tutorial, translated: 5 % of the payments go to
//! v2, failed calls are retried, an endpoint that keeps failing is ejected.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshpack_e2e::translate::example;
use meshpack_e2e::undisturbed;
use meshpack_harness::{Behavior, Envoy, EnvoyBuilder, Request, Script, Upstream};

fn canary(v1: &[&Upstream], v2: &[&Upstream]) -> EnvoyBuilder {
    example("istio/canary.yaml")
        .with(&["--sticky-by", "header:x-user-id"])
        .cluster("payments/v1", v1)
        .cluster("payments/v2", v2)
        .envoy()
}

fn payment(user: usize) -> Request {
    Request::get("/pay")
        .authority("payments")
        .header("x-user-id", format!("user-{user}"))
}

async fn two() -> (Upstream, Upstream) {
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    (v1, v2)
}

/// A user whose payments go to v1.
async fn user_of_v1(envoy: &Envoy) -> usize {
    let client = envoy.client("outbound");
    for user in 0.. {
        if client.send(payment(user)).await.unwrap().upstream() == Some("v1") {
            return user;
        }
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twentieth_of_the_users_goes_to_v2_and_stays_there() {
    let (v1, v2) = two().await;
    let envoy = canary(&[&v1], &[&v2]).concurrency(2).start().await.unwrap();
    let client = envoy.client("outbound");
    const USERS: usize = 8000;
    let mut arms: Vec<BTreeMap<usize, String>> = Vec::new();
    for _ in 0..2 {
        let outcomes = client.load(USERS, 16, payment).await;
        assert_eq!(outcomes.with_status(200), USERS);
        let arm = |index: usize| outcomes[index].upstream().unwrap().to_owned();
        arms.push((0..USERS).map(|user| (user, arm(user))).collect());
    }
    assert_eq!(arms[0], arms[1], "a user changed the arm");
    let canary = arms[0].values().filter(|arm| *arm == "v2").count();
    // Four standard deviations of a binomial share of 5 %.
    let mean = USERS as f64 * 0.05;
    let allowed = 4.0 * (mean * 0.95).sqrt();
    assert!(
        (canary as f64 - mean).abs() < allowed,
        "{canary} of {USERS}"
    );
    let user = payment(0).header("x-meshpack-subset", "v2");
    let forged = client.send(user).await.unwrap();
    assert_eq!(
        forged.upstream(),
        Some(arms[0][&0].as_str()),
        "clients cannot choose"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_payment_is_tried_four_times() {
    let (v1, v2) = two().await;
    let envoy = canary(&[&v1], &[&v2]).start().await.unwrap();
    let user = user_of_v1(&envoy).await;
    let client = envoy.client("outbound");
    v1.forget();
    v1.set(Behavior::status(503));
    let answer = client.send(payment(user)).await.unwrap();
    assert_eq!((answer.status, v1.recorded().len()), (503, 4));

    let (v1, v2) = two().await;
    let envoy = canary(&[&v1], &[&v2]).start().await.unwrap();
    let user = user_of_v1(&envoy).await;
    v1.forget();
    v1.set(Script::first(2, Behavior::reset(), Behavior::echo()));
    let answer = envoy.client("outbound").send(payment(user)).await.unwrap();
    assert_eq!(
        (answer.status, v1.recorded().len()),
        (200, 3),
        "resets are retried too"
    );
    v1.forget();
    v1.set(Behavior::status(404));
    let answer = envoy.client("outbound").send(payment(user)).await.unwrap();
    assert_eq!(
        (answer.status, v1.recorded().len()),
        (404, 1),
        "nothing else is"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_ends_after_two_seconds_and_the_payment_after_six() {
    undisturbed(attempt_an_attempt_ends_after_two_seconds_and_the_payment_after_six).await;
}

async fn attempt_an_attempt_ends_after_two_seconds_and_the_payment_after_six() {
    let (v1, v2) = two().await;
    let envoy = canary(&[&v1], &[&v2]).start().await.unwrap();
    let user = user_of_v1(&envoy).await;
    v1.forget();
    v1.set(Behavior::hang());
    let begin = Instant::now();
    let answer = envoy.client("outbound").send(payment(user)).await.unwrap();
    let took = begin.elapsed();
    assert_eq!(answer.status, 504);
    assert!(
        took >= Duration::from_millis(5900) && took < Duration::from_secs(7),
        "{took:?}"
    );
    let recorded = v1.recorded();
    assert_eq!(recorded.len(), 3, "three attempts begin within six seconds");
    for pair in recorded.windows(2) {
        let gap = pair[1].arrived.duration_since(pair[0].arrived).unwrap();
        assert!(
            gap >= Duration::from_millis(1990) && gap < Duration::from_secs(3),
            "{gap:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_five_times_in_a_row_is_ejected() {
    undisturbed(attempt_an_endpoint_that_fails_five_times_in_a_row_is_ejected).await;
}

async fn attempt_an_endpoint_that_fails_five_times_in_a_row_is_ejected() {
    let (good, bad) = two().await;
    let v2 = Upstream::start("v2").await.unwrap();
    bad.set(Behavior::status(500));
    let envoy = canary(&[&good, &bad], &[&v2]).start().await.unwrap();
    let client = envoy.client("outbound");
    // Envoy merges what changes in a cluster within a second of its start, and its
    // main thread ejects while the worker goes on.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let outcomes = client.rate(100.0, Duration::from_secs(3), payment).await;
    assert_eq!(
        outcomes.with_status(200),
        outcomes.len(),
        "failures were retried elsewhere"
    );
    let failed = bad.requests();
    assert!((5..10).contains(&failed), "{failed} reached it");
    let stat = |name: &str| format!("cluster.payments/v1.outlier_detection.{name}");
    assert_eq!(
        envoy.stat(&stat("ejections_active")).await.unwrap(),
        Some(1)
    );
    assert_eq!(
        envoy
            .stat(&stat("ejections_enforced_consecutive_5xx"))
            .await
            .unwrap(),
        Some(1)
    );
}

/// Attempts of v1 per payment while every other attempt fails, at 200 payments
/// a second.
async fn amplification(envoy: EnvoyBuilder, v1: &Upstream) -> f64 {
    let envoy = envoy.start().await.unwrap();
    v1.set(Behavior::echo());
    let user = user_of_v1(&envoy).await;
    let every_other = |_: &_, number| {
        if number % 2 == 0 {
            Behavior::status(503)
        } else {
            Behavior::echo()
        }
    };
    v1.set(Script::new(every_other));
    let client = envoy.client("outbound");
    v1.forget();
    let outcomes = client
        .rate(200.0, Duration::from_secs(5), |_| payment(user))
        .await;
    v1.recorded().len() as f64 / outcomes.len() as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_add_a_fifth_to_the_load_at_most() {
    undisturbed(attempt_retries_add_a_fifth_to_the_load_at_most).await;
}

async fn attempt_retries_add_a_fifth_to_the_load_at_most() {
    let (v1, v2) = two().await;
    let bounded = amplification(canary(&[&v1], &[&v2]), &v1).await;
    let without_budget = canary(&[&v1], &[&v2]).edit(|bootstrap| {
        let filters =
            "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
        let filters = bootstrap
            .pointer_mut(filters)
            .unwrap()
            .as_array_mut()
            .unwrap();
        filters.retain(|filter| filter["name"] != "retry_budget");
    });
    let unbounded = amplification(without_budget, &v1).await;
    assert!(
        bounded > 1.1 && bounded <= 1.21,
        "{bounded} attempts per payment"
    );
    assert!(
        unbounded > 1.4,
        "{unbounded} attempts per payment without the budget"
    );
}
