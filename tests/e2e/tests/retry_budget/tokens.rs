//! Whatever happens to requests, no retry is lost or minted.

use std::time::Duration;

use meshpack_e2e::retry::{Stats, cluster, filter, hop, is_retry, virtual_host};
use meshpack_e2e::soak::{self, Footprint};
use meshpack_e2e::undisturbed;
use meshpack_harness::{Behavior, Client, Envoy, Listener, Request, Route, Script, Swap, Upstream};
use serde_json::{Value, json};

/// After this long without traffic nothing but the floor is left.
const INTERVAL: Duration = Duration::from_secs(2);

fn config(percent: u32) -> Value {
    json!({"budgets": [{
        "name": "all",
        "budget": {"percent": percent, "interval": "2s"},
        "minRetryRate": {"count": 7, "interval": "1s"},
    }]})
}

/// Answers by path: success, failure, a reset, nothing at all, headers and then
/// nothing, a body that is cut off.
fn mixed() -> Script {
    Script::new(|request, _| match request.path.as_str() {
        "/fail" => Behavior::status(503),
        "/reset" => Behavior::reset(),
        "/hang" => Behavior::hang(),
        "/endless" => Behavior::status(200).body("begun").then_hang(),
        "/cut" => Behavior::status(200).body("begun").then_reset(),
        _ => Behavior::status(200),
    })
}

const PATHS: [&str; 6] = ["/", "/fail", "/reset", "/hang", "/endless", "/cut"];

/// Requests of all kinds; those that get no answer are given up soon.
async fn load(client: &Client, seconds: u64) -> usize {
    client
        .rate(60.0, Duration::from_secs(seconds), |number| {
            Request::get(PATHS[number % PATHS.len()])
        })
        .await
        .len()
}

async fn settled(envoy: &Envoy) -> Stats {
    tokio::time::sleep(INTERVAL + Duration::from_millis(2500)).await;
    Stats::read(envoy, "all").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn aborts_resets_endless_streams_and_swaps_lose_and_mint_nothing() {
    undisturbed(attempt_aborts_resets_endless_streams_and_swaps_lose_and_mint_nothing).await;
}

async fn attempt_aborts_resets_endless_streams_and_swaps_lose_and_mint_nothing() {
    let upstream = Upstream::start_with("app", mixed()).await.unwrap();
    let envoy = Envoy::builder()
        .concurrency(2)
        .listener(
            Listener::new("in")
                .swappable_filter("retries", filter(&config(50)).unwrap())
                .virtual_host(virtual_host("app")),
        )
        .cluster(cluster("app", upstream.address()))
        .start()
        .await
        .unwrap();
    let client = envoy.client("in").timeout(Duration::from_millis(700));
    let swaps = async {
        for percent in [20, 100, 50] {
            tokio::time::sleep(Duration::from_millis(1300)).await;
            let swap = envoy
                .swap_filter_config("retries", filter(&config(percent)).unwrap())
                .await
                .unwrap();
            assert_eq!(swap, Swap::Accepted);
        }
    };
    let (sent, ()) = tokio::join!(load(&client, 6), swaps);
    let stats = settled(&envoy).await;
    assert_eq!(stats.requests, sent as u64, "every request is counted once");
    let recorded = upstream.recorded();
    let retries = recorded.iter().filter(|request| is_retry(request)).count();
    assert_eq!(stats.retries, retries as u64, "so is every retry");
    assert!(retries > 50, "{retries}");
    assert_eq!(
        stats.balance, 7,
        "what requests held came back: only the floor is left, all of it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_never_ends_holds_nothing_once_it_is_answered() {
    undisturbed(attempt_a_stream_that_never_ends_holds_nothing_once_it_is_answered).await;
}

async fn attempt_a_stream_that_never_ends_holds_nothing_once_it_is_answered() {
    let upstream = Upstream::start_with("app", mixed()).await.unwrap();
    let envoy = Envoy::builder()
        .listener(hop("in", &config(0), "app").unwrap())
        .cluster(cluster("app", upstream.address()))
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    // Three of them could hold six of the floor's seven.
    let streams: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/endless").await })
        })
        .collect();
    upstream.wait_for_requests(3, Duration::from_secs(60)).await;
    let stats = settled(&envoy).await;
    assert_eq!(stats.balance, 7);
    assert!(streams.iter().all(|stream| !stream.is_finished()));
    streams.iter().for_each(tokio::task::JoinHandle::abort);
}

/// More hosts than there are places for, so that all state there can be is there
/// before measuring begins.
fn request_of_many_hosts(number: usize) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nhost: host-{}\r\n\r\n", number % 700).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_stats_do_not_grow_with_the_number_of_requests() {
    // A quarter of the attempts fails: retries are made, refused and marked.
    let some = json!({"match": {"runtime_fraction": {
        "default_value": {"numerator": 25, "denominator": "HUNDRED"},
    }}});
    let upstream = Envoy::builder()
        .listener(
            Listener::new("app")
                .route(Route::direct(503, "").merge(some))
                .route(Route::direct(200, "")),
        )
        .start()
        .await
        .unwrap();
    let config = json!({
        "budgets": [{
            "name": "all", "key": "host", "budget": {"percent": 20, "interval": "10s"},
            "minRetryRate": {"count": 1, "interval": "10s"},
        }],
        "stopAmplification": true,
    });
    let envoy = Envoy::builder()
        .concurrency(2)
        .listener(hop("in", &config, "app").unwrap())
        .cluster(cluster("app", upstream.address("app")))
        .start()
        .await
        .unwrap();
    let send = async |count: usize| {
        let sent = soak::load(envoy.address("in"), 0..count, 8, request_of_many_hosts);
        let statuses = sent.await.unwrap();
        assert_eq!(statuses.values().sum::<usize>(), count);
        assert!(statuses.keys().all(|status| [200, 503].contains(status)));
    };
    send(10_000).await;
    let before = Footprint::of(&envoy).await.unwrap();
    let requests = soak::requests(30_000).max(20_000) - 10_000;
    send(requests).await;
    let after = Footprint::of(&envoy).await.unwrap();
    eprintln!("{requests} requests more: {before:?} before, {after:?} after");
    assert_eq!(before.stats, after.stats, "no stat more");
    let grown = after.memory.saturating_sub(before.memory);
    // A hundred bytes a request would be 2 MB at 20,000 and 100 MB at a million.
    let allowed = (4 << 20) + requests as u64 * 5;
    assert!(grown < allowed, "grew by {grown} bytes");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let stats = Stats::read(&envoy, "all").await.unwrap();
    assert_eq!(stats.requests as usize, 10_000 + requests);
    assert!(stats.retries > 0 && stats.denied > 0, "{stats:?}");
}
