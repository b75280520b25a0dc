//! What Envoy's router does with the headers that the filter relies on.

use meshpack_e2e::retry::{Stats, cluster, filter, hop, virtual_host};
use meshpack_harness::config::header_mutation;
use meshpack_harness::{Behavior, Envoy, Listener, Request, Route, Upstream, versions};
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_router_obeys_the_headers_and_keeps_them_to_itself() {
    let upstream = Upstream::start_with("app", Behavior::status(503))
        .await
        .unwrap();
    for version in versions().unwrap() {
        let mut envoy = Envoy::builder()
            .version(version)
            .cluster(cluster("app", upstream.address()));
        for retries in ["0", "1", "5"] {
            envoy = envoy.listener(
                Listener::new(format!("max-{retries}"))
                    .filter(header_mutation("x-envoy-max-retries", retries))
                    .virtual_host(virtual_host("app")),
            );
        }
        let envoy = envoy
            .listener(
                Listener::new("no-policy")
                    .filter(header_mutation("x-envoy-max-retries", "2"))
                    .route(Route::to("app")),
            )
            .listener(
                Listener::new("retry-on")
                    .filter(header_mutation("x-envoy-retry-on", "5xx"))
                    .route(Route::to("app")),
            )
            .start()
            .await
            .unwrap();
        for (listener, attempts) in [
            ("max-0", 1),
            ("max-1", 2),
            ("max-5", 6),
            ("no-policy", 1),
            ("retry-on", 2),
        ] {
            let before = upstream.requests();
            envoy.client(listener).get("/").await.unwrap();
            let made = upstream.requests() - before;
            assert_eq!(made, attempts, "{version}, {listener}");
            let seen = upstream.last().unwrap();
            assert_eq!(seen.header("x-envoy-max-retries"), None, "{version}");
            assert_eq!(seen.header("x-envoy-retry-on"), None, "{version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_x_envoy_ratelimited_is_not_retried() {
    for version in versions().unwrap() {
        let marked = Behavior::status(503).header("x-envoy-ratelimited", "true");
        let upstream = Upstream::start_with("app", marked).await.unwrap();
        let envoy = Envoy::builder()
            .version(version)
            .listener(Listener::new("in").virtual_host(virtual_host("app")))
            .cluster(cluster("app", upstream.address()))
            .start()
            .await
            .unwrap();
        let answer = envoy.client("in").get("/").await.unwrap();
        assert_eq!(upstream.requests(), 1, "{version}");
        // It goes on to whoever is above, so a row of proxies stops as one.
        let mark = answer.header("x-envoy-ratelimited");
        assert_eq!(mark, Some("true"), "{version}");
        upstream.set(Behavior::status(503));
        envoy.client("in").get("/").await.unwrap();
        assert_eq!(upstream.requests(), 1 + 3, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_works_on_every_version() {
    for version in versions().unwrap() {
        let upstream = Upstream::start_with("app", Behavior::status(503))
            .await
            .unwrap();
        let config = json!({"budgets": [{
            "name": "all", "budget": {"percent": 50}, "minRetryRate": {"count": 0},
        }]});
        let envoy = Envoy::builder()
            .version(version)
            .listener(hop("in", &config, "app").unwrap())
            .cluster(cluster("app", upstream.address()))
            .start()
            .await
            .unwrap();
        let outcomes = envoy.client("in").load(100, 2, |_| Request::get("/")).await;
        assert_eq!(outcomes.with_status(503), 100, "{version}");
        let retries = upstream.requests() - 100;
        assert!((48..=50).contains(&retries), "{version}: {retries}");
        tokio::time::sleep(Duration::from_millis(2200)).await;
        let stats = Stats::read(&envoy, "all").await.unwrap();
        assert_eq!((stats.requests, stats.retries), (100, retries), "{version}");
        assert!(stats.denied >= 50, "{version}: {stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_route_policy_the_filter_brings_its_own_conditions_and_timeouts() {
    let upstream = Upstream::start_with("app", Behavior::status(503))
        .await
        .unwrap();
    let config = json!({"budgets": [{
        "name": "all", "budget": {"percent": 300}, "maxRetries": 3,
        "retryOn": [503, "connect-failure"], "perTryTimeout": "300ms", "timeout": "2s",
    }]});
    let envoy = Envoy::builder()
        .listener(
            Listener::new("in")
                .filter(filter(&config).unwrap())
                .route(Route::to("app")),
        )
        .cluster(cluster("app", upstream.address()))
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    assert_eq!(client.get("/").await.unwrap().status, 503);
    assert_eq!(upstream.requests(), 4);
    // 500 is not among the conditions.
    upstream.set(Behavior::status(500));
    assert_eq!(client.get("/").await.unwrap().status, 500);
    assert_eq!(upstream.requests(), 5);
    let seen = upstream.last().unwrap();
    let left = seen.header_text("x-envoy-expected-rq-timeout-ms").unwrap();
    assert!(left.parse::<u32>().unwrap() <= 300, "{left}");
    upstream.set(Behavior::hang());
    let answer = client.get("/").await.unwrap();
    assert_eq!(answer.status, 504);
}
