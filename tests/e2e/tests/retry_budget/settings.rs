//! What the fields of the configuration do.

use std::time::Duration;

use meshpack_e2e::retry::{Stats, attempt, cluster, filter, hop, virtual_host};
use meshpack_e2e::undisturbed;
use meshpack_harness::{Behavior, Envoy, Listener, Request, Swap, Upstream};
use serde_json::{Value, json};

async fn failing() -> Upstream {
    Upstream::start_with("app", Behavior::status(502))
        .await
        .unwrap()
}

async fn envoy_with(config: &Value, upstream: &Upstream) -> Envoy {
    Envoy::builder()
        .listener(hop("in", config, "app").unwrap())
        .cluster(cluster("app", upstream.address()))
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_budget_answers_503_if_asked_to() {
    undisturbed(attempt_an_exhausted_budget_answers_503_if_asked_to).await;
}

async fn attempt_an_exhausted_budget_answers_503_if_asked_to() {
    let upstream = failing().await;
    for (when_exhausted, exhausted_status) in [(json!("upstream"), 502), (json!(503), 503)] {
        let config = json!({"budgets": [{
            "name": "all", "maxRetries": 1, "whenExhausted": when_exhausted,
            "budget": {"percent": 0}, "minRetryRate": {"count": 1, "interval": "1h"},
        }]});
        let envoy = envoy_with(&config, &upstream).await;
        let client = envoy.client("in");
        // One retry is there: it fails too, and its answer passes either way.
        assert_eq!(client.get("/").await.unwrap().status, 502);
        let exhausted = client.get("/").await.unwrap();
        assert_eq!(exhausted.status, exhausted_status);
        if exhausted_status == 503 {
            assert_eq!(exhausted.text(), "retry budget exhausted");
        }
        // Nothing is denied to a request that wants no retry.
        upstream.set(Behavior::status(404));
        assert_eq!(client.get("/").await.unwrap().status, 404);
        upstream.set(Behavior::status(502));
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let stats = Stats::read(&envoy, "all").await.unwrap();
        assert_eq!((stats.requests, stats.retries, stats.denied), (3, 1, 1));
        assert_eq!(stats.balance, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_or_cluster_has_a_budget_of_its_own() {
    undisturbed(attempt_each_host_or_cluster_has_a_budget_of_its_own).await;
}

async fn attempt_each_host_or_cluster_has_a_budget_of_its_own() {
    let upstream = failing().await;
    for key in ["host", "cluster", "name"] {
        let config = json!({"budgets": [{
            "name": "all", "key": key, "maxRetries": 1,
            "budget": {"percent": 0}, "minRetryRate": {"count": 1, "interval": "1h"},
        }]});
        let mut hosts = virtual_host("a");
        hosts["routes"] = json!([
            {"match": {"prefix": "/b"}, "route": hosts["routes"][0]["route"]},
            hosts["routes"][0],
        ]);
        hosts["routes"][0]["route"]["cluster"] = json!("b");
        let envoy = Envoy::builder()
            .concurrency(2)
            .listener(
                Listener::new("in")
                    .filter(filter(&config).unwrap())
                    .virtual_host(hosts),
            )
            .cluster(cluster("a", upstream.address()))
            .cluster(cluster("b", upstream.address()))
            .start()
            .await
            .unwrap();
        let client = envoy.client("in").connection_per_request();
        let before = upstream.requests();
        for request in 0..20 {
            let (path, host) = [("/a", "one:80"), ("/b", "TWO"), ("/a", "One")][request % 3];
            let request = Request::get(path).authority(host);
            assert_eq!(client.send(request).await.unwrap().status, 502);
        }
        let retries = upstream.requests() - before - 20;
        assert_eq!(retries, if key == "name" { 1 } else { 2 }, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_budget_that_matches_is_the_requests_own() {
    let upstream = failing().await;
    let config = json!({"budgets": [
        {"name": "none", "match": {"hosts": ["payments*"]}, "maxRetries": 0},
        {"name": "one", "match": {"methods": ["POST"]}, "maxRetries": 1},
    ]});
    let envoy = envoy_with(&config, &upstream).await;
    let client = envoy.client("in");
    for (request, attempts) in [
        (Request::get("/").authority("payments.shop"), 1),
        (Request::post("/", "body").authority("other"), 2),
        (Request::get("/").authority("other"), 3),
    ] {
        let before = upstream.requests();
        client.send(request).await.unwrap();
        assert_eq!(upstream.requests() - before, attempts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_afterwards_locks_nothing_and_converges() {
    undisturbed(attempt_settling_afterwards_locks_nothing_and_converges).await;
}

async fn attempt_settling_afterwards_locks_nothing_and_converges() {
    let upstream = failing().await;
    let config = |mode: &str| {
        json!({"budgets": [{
            "name": mode, "mode": mode, "budget": {"percent": 20, "interval": "2s"},
            "minRetryRate": {"count": 0},
        }]})
    };
    let envoy = Envoy::builder()
        .listener(hop("reserve", &config("reserve"), "app").unwrap())
        .listener(hop("settle", &config("settle"), "app").unwrap())
        .cluster(cluster("app", upstream.address()))
        .start()
        .await
        .unwrap();
    // Half of what is in flight at once is more than the budget of an interval.
    let slow = Behavior::status(200).delay(Duration::from_millis(1500));
    upstream.set(slow);
    let mut succeeded = Vec::new();
    for mode in ["reserve", "settle"] {
        let client = envoy.client(mode);
        let healthy = client.rate(40.0, Duration::from_secs(3), |_| Request::get("/long"));
        let failing = async {
            tokio::time::sleep(Duration::from_millis(1800)).await;
            let recover = meshpack_harness::Script::new(|request, _| {
                if request.path == "/fails" && attempt(request) == 1 {
                    Behavior::status(502)
                } else if request.path == "/fails" {
                    Behavior::status(200)
                } else {
                    Behavior::status(200).delay(Duration::from_millis(1500))
                }
            });
            upstream.set(recover);
            client.load(6, 2, |_| Request::get("/fails")).await
        };
        let (_, outcomes) = tokio::join!(healthy, failing);
        succeeded.push(outcomes.with_status(200));
    }
    assert!(
        succeeded[0] < 6,
        "reserved by requests in flight: {succeeded:?}"
    );
    assert_eq!(succeeded[1], 6, "nothing is locked: {succeeded:?}");
    // Under total failure both end at the same ratio.
    upstream.set(Behavior::status(502));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let before = upstream.requests();
    let outcomes = envoy
        .client("settle")
        .rate(150.0, Duration::from_secs(6), |_| Request::get("/"))
        .await;
    let factor = (upstream.requests() - before) as f64 / outcomes.len() as f64;
    assert!((1.18..=1.22).contains(&factor), "{factor}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_side_refuses_retries_beyond_their_share() {
    undisturbed(attempt_the_server_side_refuses_retries_beyond_their_share).await;
}

async fn attempt_the_server_side_refuses_retries_beyond_their_share() {
    let app = Upstream::start_with("app", Behavior::status(500))
        .await
        .unwrap();
    let config = json!({"server": {
        "maxRetryPercent": 20,
        "minRetryRate": {"count": 0},
        "trustAttemptCount": "always",
        "maxSourcePercent": 100,
    }});
    let inbound = Listener::new("server")
        .filter(filter(&config).unwrap())
        .route(meshpack_harness::Route::to("app"));
    let server = Envoy::builder()
        .concurrency(2)
        .listener(inbound)
        .cluster(cluster("app", app.address()))
        .start()
        .await
        .unwrap();
    // The callers are stock Envoys without any filter of ours.
    let caller = Envoy::builder()
        .listener(Listener::new("out").virtual_host(virtual_host("server")))
        .cluster(cluster("server", server.address("server")))
        .start()
        .await
        .unwrap();
    let outcomes = caller
        .client("out")
        .load(400, 4, |_| Request::get("/"))
        .await;
    assert_eq!(outcomes.len(), 400);
    let retries = app.requests() - 400;
    // A fifth of all that the application gets is a quarter of first attempts.
    assert!((96..=100).contains(&retries), "{retries}");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let stats = Stats::read(&server, "server").await.unwrap();
    assert_eq!(stats.requests, 400 + stats.retries + stats.denied);
    assert_eq!(stats.retries, retries);
    // A refused retry is the end of its request: the caller does not try again.
    let refused = outcomes.count(|outcome| outcome.status() == Some(503));
    assert_eq!(refused as u64, stats.denied);
    assert!(refused > 250, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_refused_with_every_path() {
    let upstream = failing().await;
    let bad = json!({"budgets": [
        {"name": "a", "budget": {"percent": 2000}},
        {"name": "b", "minRetryRate": {"count": 1, "per": "1s"}, "mode": "fast"},
    ]});
    let lines = [
        "retry_budget: config: budgets[0].budget.percent: 2000 is out of range: use a number from 0 to 1000",
        "retry_budget: config: budgets[1].minRetryRate.per: unknown key; known keys here: count, interval",
        "retry_budget: config: budgets[1].mode: \"fast\" is not one of reserve, settle",
    ];
    let refused = Envoy::builder()
        .listener(hop("in", &bad, "app").unwrap())
        .cluster(cluster("app", upstream.address()))
        .quiet()
        .start()
        .await
        .err()
        .unwrap();
    for line in lines {
        assert!(refused.log().contains(line), "{line}\n{}", refused.log());
    }
    // Over ECDS the old configuration goes on serving.
    let good = json!({"budgets": [{"name": "a", "maxRetries": 0}]});
    let envoy = Envoy::builder()
        .listener(
            Listener::new("in")
                .swappable_filter("retries", filter(&good).unwrap())
                .virtual_host(virtual_host("app")),
        )
        .cluster(cluster("app", upstream.address()))
        .start()
        .await
        .unwrap();
    let swap = envoy
        .swap_filter_config("retries", filter(&bad).unwrap())
        .await
        .unwrap();
    assert_eq!(swap, Swap::Rejected);
    assert!(envoy.log_contains(lines[1]));
    let before = upstream.requests();
    envoy.client("in").get("/").await.unwrap();
    assert_eq!(upstream.requests() - before, 1);
}
