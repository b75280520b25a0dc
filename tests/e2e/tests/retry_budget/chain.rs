//! Three hops in a row, each of which retries twice.

use std::time::Duration;

use meshpack_e2e::retry::{App, Chain, Protection, Shape, Stats};
use meshpack_e2e::undisturbed;
use meshpack_harness::{Behavior, DEFAULT_VERSION, EnvoyVersion, Request, Upstream, versions};

async fn chain(shape: Shape, protection: Protection, version: EnvoyVersion) -> Chain {
    let leaf = Upstream::start_with("leaf", Behavior::status(503))
        .await
        .unwrap();
    Chain::start(leaf, shape, protection, version)
        .await
        .unwrap()
}

/// Requests that reach the leaf for each of the user's, all failing.
async fn amplification(chain: &Chain, requests: usize) -> f64 {
    let before = chain.leaf.requests();
    let outcomes = chain
        .client()
        .load(requests, 4, |_| Request::get("/"))
        .await;
    assert_eq!(outcomes.with_status(503), requests);
    (chain.leaf.requests() - before) as f64 / requests as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_three_hops_make_27_of_one() {
    for shape in [Shape::Proxies, Shape::Sidecars] {
        let chain = chain(shape, Protection::None, DEFAULT_VERSION).await;
        assert_eq!(amplification(&chain, 40).await, 27.0, "{shape:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_alone_keep_three_hops_below_1_8() {
    undisturbed(attempt_budgets_alone_keep_three_hops_below_1_8).await;
}

async fn attempt_budgets_alone_keep_three_hops_below_1_8() {
    for shape in [Shape::Proxies, Shape::Sidecars] {
        let chain = chain(shape, Protection::Budgets, DEFAULT_VERSION).await;
        let factor = amplification(&chain, 1000).await;
        assert!((1.6..=1.8).contains(&factor), "{shape:?}: {factor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn marked_answers_keep_three_hops_below_1_3_on_every_version() {
    undisturbed(attempt_marked_answers_keep_three_hops_below_1_3_on_every_version).await;
}

async fn attempt_marked_answers_keep_three_hops_below_1_3_on_every_version() {
    for version in versions().unwrap() {
        let requests = if version == DEFAULT_VERSION {
            1000
        } else {
            400
        };
        for shape in [Shape::Proxies, Shape::Sidecars] {
            let chain = chain(shape, Protection::StopAmplification, version).await;
            let factor = amplification(&chain, requests).await;
            assert!(
                (1.1..=1.3).contains(&factor),
                "{version}, {shape:?}: {factor}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leaf_is_served_in_full_within_a_second_of_its_recovery() {
    undisturbed(attempt_the_leaf_is_served_in_full_within_a_second_of_its_recovery).await;
}

async fn attempt_the_leaf_is_served_in_full_within_a_second_of_its_recovery() {
    for protection in [Protection::Budgets, Protection::StopAmplification] {
        let chain = chain(Shape::Sidecars, protection, DEFAULT_VERSION).await;
        let client = chain.client();
        let outage = Duration::from_secs(3);
        let load = client.rate(60.0, Duration::from_secs(6), |_| Request::get("/"));
        let recovery = async {
            tokio::time::sleep(outage).await;
            chain.leaf.set(Behavior::status(200));
        };
        let (outcomes, ()) = tokio::join!(load, recovery);
        let late = outcomes.count(|outcome| {
            outcome.at > outage + Duration::from_secs(1) && outcome.status() != Some(200)
        });
        assert_eq!(late, 0, "{protection:?}");
        assert!(
            outcomes.with_status(200) > 110,
            "{protection:?}: a third of the load came after a second"
        );
        assert!(outcomes.with_status(503) > 150, "{protection:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_fails_by_itself_is_not_marked() {
    undisturbed(attempt_an_application_that_fails_by_itself_is_not_marked).await;
}

async fn attempt_an_application_that_fails_by_itself_is_not_marked() {
    let chain = chain(
        Shape::Sidecars,
        Protection::StopAmplification,
        DEFAULT_VERSION,
    )
    .await;
    chain.leaf.set(Behavior::status(200));
    let client = chain.client();
    // Enough healthy traffic to pay for the retries of one request.
    client.load(50, 2, |_| Request::get("/")).await;
    let before = chain.apps()[0].requests();
    let answer = client.get(App::OWN_FAILURE).await.unwrap();
    assert_eq!(answer.status, 503);
    // The hop right above the application did retry it: its answer was not
    // marked. It marks its own, so that nobody above retries once more.
    assert_eq!(chain.apps()[0].requests() - before, 3);
    assert_eq!(answer.header("x-envoy-ratelimited"), Some("true"));
    assert_eq!(chain.leaf.requests(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hop_counts_what_it_sent_and_what_it_refused() {
    undisturbed(attempt_each_hop_counts_what_it_sent_and_what_it_refused).await;
}

async fn attempt_each_hop_counts_what_it_sent_and_what_it_refused() {
    let chain = chain(Shape::Proxies, Protection::Budgets, DEFAULT_VERSION).await;
    let factor = amplification(&chain, 500).await;
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let mut arrived = 500;
    for hop in 0..3 {
        let stats = Stats::read(chain.envoy(hop), "hop").await.unwrap();
        assert_eq!(stats.requests, arrived, "hop {hop}: {stats:?}");
        assert!(stats.denied > 0, "hop {hop}: {stats:?}");
        arrived += stats.retries;
    }
    assert_eq!(arrived as f64 / 500.0, factor);
}
