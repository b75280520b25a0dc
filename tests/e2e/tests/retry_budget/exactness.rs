//! The budget holds what it says.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use meshpack_e2e::retry::{Stats, cluster, hop, is_retry};
use meshpack_e2e::undisturbed;
use meshpack_harness::{Behavior, Envoy, Recorded, Request, Script, Upstream};
use serde_json::{Value, json};

/// Percent and the rate of requests at which it is tried.
const PERCENTS: [(u64, u32); 7] = [
    (10, 300),
    (20, 200),
    (30, 150),
    (40, 120),
    (75, 80),
    (99, 80),
    (150, 60),
];

/// Connections of each load.
const CONNECTIONS: u32 = 10;

fn budget(name: &str, percent: u64, floor: Value) -> Value {
    json!({"budgets": [{
        "name": name,
        "budget": {"percent": percent, "interval": "10s"},
        "minRetryRate": floor,
    }]})
}

/// All percentages at once in one Envoy, everything failing, for longer than an
/// interval.
async fn retries_at_total_failure(workers: u32) -> Vec<(u64, u64, u64)> {
    let mut envoy = Envoy::builder().concurrency(workers);
    let mut upstreams = Vec::new();
    for (percent, _) in PERCENTS {
        let name = format!("p{percent}");
        let upstream = Upstream::start_with(&name, Behavior::status(503))
            .await
            .unwrap();
        let config = budget(&name, percent, json!({"count": 5, "interval": "1s"}));
        envoy = envoy
            .listener(hop(&name, &config, &name).unwrap())
            .cluster(cluster(&name, upstream.address()));
        upstreams.push(upstream);
    }
    let envoy = envoy.start().await.unwrap();
    // Envoy spreads connections over its workers, so each load has several.
    let mut loads = tokio::task::JoinSet::new();
    for (percent, rate) in PERCENTS {
        for _ in 0..CONNECTIONS {
            let client = envoy.client(&format!("p{percent}"));
            loads.spawn(async move {
                let rate = f64::from(rate) / f64::from(CONNECTIONS);
                let outcomes = client
                    .rate(rate, Duration::from_secs(13), |_| Request::get("/"))
                    .await;
                (percent, outcomes.with_status(503) as u64)
            });
        }
    }
    let mut requests = BTreeMap::new();
    for (percent, sent) in loads.join_all().await {
        *requests.entry(percent).or_default() += sent;
    }
    let mut results = Vec::new();
    for ((percent, requests), upstream) in requests.into_iter().zip(&upstreams) {
        let recorded = upstream.recorded();
        let retries = recorded.iter().filter(|request| is_retry(request)).count();
        results.push((percent, requests, retries as u64));
    }
    tokio::time::sleep(Duration::from_millis(1200)).await;
    for (percent, requests, retries) in &results {
        let stats = Stats::read(&envoy, &format!("p{percent}")).await.unwrap();
        assert_eq!((stats.requests, stats.retries), (*requests, *retries));
    }
    results
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_the_percentage_for_1_and_4_workers() {
    undisturbed(attempt_retries_are_the_percentage_for_1_and_4_workers).await;
}

async fn attempt_retries_are_the_percentage_for_1_and_4_workers() {
    for workers in [1, 4] {
        for (percent, requests, retries) in retries_at_total_failure(workers).await {
            let allowed = percent as f64 * requests as f64 / 100.0;
            eprintln!("{workers} workers, {percent} %: {requests} requests, {retries} retries");
            assert!(
                retries as f64 <= allowed,
                "{percent} %, {workers} workers: {retries} of {allowed}"
            );
            assert!(
                retries as f64 >= 0.99 * allowed,
                "{percent} %, {workers} workers: {retries} of {allowed}"
            );
        }
    }
}

/// Most events within any one `interval`.
fn most_within(mut events: Vec<SystemTime>, interval: Duration) -> usize {
    events.sort_unstable();
    let mut most = 0;
    let mut first = 0;
    for (index, at) in events.iter().enumerate() {
        while at.duration_since(events[first]).unwrap_or_default() >= interval {
            first += 1;
        }
        most = most.max(index + 1 - first);
    }
    most
}

/// When the requests that were retried arrived, once for each retry: a budget
/// counts a retry beside its request, whenever it was made.
fn retries_at(upstream: &Upstream) -> Vec<SystemTime> {
    let recorded = upstream.recorded();
    let id = |request: &Recorded| request.header("x-request-id").map(<[u8]>::to_vec);
    let (retries, first): (Vec<_>, Vec<_>) = recorded.iter().partition(|r| is_retry(r));
    let arrived: HashMap<_, _> = first.iter().map(|r| (id(r), r.arrived)).collect();
    retries.iter().map(|retry| arrived[&id(retry)]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_floor_is_a_rate_after_idle_time_and_under_load() {
    undisturbed(attempt_the_floor_is_a_rate_after_idle_time_and_under_load).await;
}

async fn attempt_the_floor_is_a_rate_after_idle_time_and_under_load() {
    let upstream = Upstream::start_with("app", Behavior::status(503))
        .await
        .unwrap();
    let config = budget("floor", 0, json!({"count": 5, "interval": "1s"}));
    let envoy = Envoy::builder()
        .concurrency(4)
        .listener(hop("in", &config, "app").unwrap())
        .cluster(cluster("app", upstream.address()))
        .start()
        .await
        .unwrap();
    let client = envoy.client("in").connection_per_request();
    tokio::time::sleep(Duration::from_secs(3)).await;
    // A burst after the quiet, then a steady rate.
    client.load(60, 20, |_| Request::get("/")).await;
    let burst = retries_at(&upstream).len();
    assert!((4..=5).contains(&burst), "{burst} retries at once");
    client
        .rate(80.0, Duration::from_secs(6), |_| Request::get("/"))
        .await;
    let retries = retries_at(&upstream);
    // A slot of the floor's window is a twentieth of it; the upstream sees what
    // the proxy sees with some delay.
    let most = most_within(retries.clone(), Duration::from_millis(900));
    assert!(most <= 5, "{most} within a second");
    assert!((30..=36).contains(&retries.len()), "{}", retries.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_time_saves_up_no_more_than_one_interval() {
    undisturbed(attempt_quiet_time_saves_up_no_more_than_one_interval).await;
}

async fn attempt_quiet_time_saves_up_no_more_than_one_interval() {
    let upstream = Upstream::start_with("app", Behavior::status(200))
        .await
        .unwrap();
    let config = json!({"budgets": [{
        "name": "bank",
        "budget": {"percent": 50, "interval": "2s"},
        "minRetryRate": {"count": 0},
    }]});
    let envoy = Envoy::builder()
        .listener(hop("in", &config, "app").unwrap())
        .cluster(cluster("app", upstream.address()))
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    client
        .rate(50.0, Duration::from_secs(8), |_| Request::get("/"))
        .await;
    upstream.set(Behavior::status(503));
    upstream.forget();
    client.load(100, 10, |_| Request::get("/")).await;
    // One interval of healthy traffic is 100 requests; with the 100 that fail
    // they pay for 100 retries, not for the 250 of all 500.
    let after_traffic = retries_at(&upstream).len();
    assert!((70..=100).contains(&after_traffic), "{after_traffic}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    upstream.forget();
    client.load(40, 10, |_| Request::get("/")).await;
    let after_silence = retries_at(&upstream).len();
    assert!((18..=20).contains(&after_silence), "{after_silence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn transient_failures_are_retried_as_without_the_filter() {
    undisturbed(attempt_transient_failures_are_retried_as_without_the_filter).await;
}

async fn attempt_transient_failures_are_retried_as_without_the_filter() {
    let script = || Script::fraction(0.1, 7, Behavior::status(503), Behavior::status(200));
    let config = json!({"budgets": [{"name": "all"}]});
    let upstream = Upstream::start_with("app", script()).await.unwrap();
    let envoy = Envoy::builder()
        .concurrency(2)
        .listener(hop("limited", &config, "app").unwrap())
        .listener(
            meshpack_harness::Listener::new("free")
                .virtual_host(meshpack_e2e::retry::virtual_host("app")),
        )
        .cluster(cluster("app", upstream.address()))
        .start()
        .await
        .unwrap();
    // One after the other, so that the same requests fail with and without.
    let mut failures = Vec::new();
    for listener in ["free", "limited"] {
        upstream.set(script());
        let client = envoy.client(listener);
        client.load(30, 1, |_| Request::get("/")).await;
        let outcomes = client.load(4000, 1, |_| Request::get("/")).await;
        failures.push(outcomes.with_status(503));
    }
    assert_eq!(failures[0], failures[1], "without and with the filter");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let stats = Stats::read(&envoy, "all").await.unwrap();
    assert_eq!((stats.requests, stats.denied), (4030, 0));
    assert!((350..=550).contains(&stats.retries), "{stats:?}");
}
