//! Clients that compute their ids: they decide no verdict.

use std::time::{Duration, Instant};

use meshpack_e2e::canary::{HEADER, by, filter, flagd, replace, split, steering};
use meshpack_harness::{
    Behavior, Cluster, Envoy, Listener, Recorded, Request, Route, Script, Upstream,
};
use serde_json::{Value, json};

const ABORTED: &str = "wasmcustom.meshpack_canary_abortedsplit=.=payments;.;";

fn guarded(weights: [u64; 2], more: Value) -> Value {
    let mut with = json!({"abort": {"arm": "v2", "baseline": "v1", "cooldown": "10m"}});
    replace(&mut with, more);
    split("payments", weights.map(|weight| weight as f64), with)
}

async fn aborted(envoy: &Envoy) -> bool {
    envoy.stat(ABORTED).await.unwrap() == Some(1)
}

/// Ids of one arm, as anybody computes them who knows the salt.
fn ids_of(arm: &str, weights: [u64; 2], count: usize) -> Vec<String> {
    let ids = (0..).map(|number| format!("chosen-{number}"));
    ids.filter(|id| flagd("salt", id, weights) == arm)
        .take(count)
        .collect()
}

/// Everybody's requests fail below `/fail`, or by this query.
fn failing(request: &Recorded) -> bool {
    request.path.starts_with("/fail") || request.path.contains("fail=")
}

fn failing_paths() -> Script {
    Script::new(|request: &Recorded, _| {
        if failing(request) {
            Behavior::status(500)
        } else {
            Behavior::echo()
        }
    })
}

fn chosen(id: &str, path: &str) -> Request {
    Request::get(path)
        .authority("payments")
        .header("x-user-id", id)
}

/// The path of an attack's request.
type Path = fn(usize) -> String;

const PATHS: [Path; 4] = [
    |_| "/fail".to_owned(),
    |number| format!("/fail/{number}/{}", number * 7919),
    |number| format!("/fail?x={number}"),
    |_| "/?fail=1".to_owned(),
];

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_the_canary_on_failing_paths_abort_no_healthy_canary() {
    let weights = [99, 1];
    let v1 = Upstream::start_with("v1", failing_paths()).await.unwrap();
    let v2 = Upstream::start_with("v2", failing_paths()).await.unwrap();
    let envoy = steering(filter(&[guarded(weights, json!({}))]), &v1, &v2)
        .concurrency(2)
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    let ids = ids_of("v2", weights, 1000);
    for path in PATHS {
        let second = Duration::from_secs(6);
        let everybody = client.rate(100.0, second, |index| {
            by(&format!("user-{index}"), "payments")
        });
        let attack = client.rate(25.0, second, |index| chosen(&ids[index], &path(index)));
        let (_, attack) = tokio::join!(everybody, attack);
        assert!(attack.with_status(500) > 100);
        assert!(!aborted(&envoy).await, "{}", path(1));
    }
    // And it is still taken out when it fails.
    v2.set(Behavior::status(500));
    let everybody = client.rate(200.0, Duration::from_secs(30), |index| {
        by(&ids[index % 500], "payments")
    });
    let others = client.rate(50.0, Duration::from_secs(30), |index| {
        by(&format!("user-{index}"), "payments")
    });
    let off = envoy.wait_for_stat(ABORTED, Duration::from_secs(30), |value| value == 1);
    tokio::select! {
        off = off => { off.unwrap(); }
        _ = async { tokio::join!(everybody, others) } => panic!("a dead canary is still on"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_the_baseline_on_failing_paths_keep_no_bad_canary() {
    let weights = [80, 20];
    let v1 = Upstream::start_with("v1", failing_paths()).await.unwrap();
    let bad = Script::fraction(0.2, 5, Behavior::status(503), Behavior::echo());
    let v2 = Upstream::start_with("v2", bad).await.unwrap();
    let ids = ids_of("v1", weights, 3000);
    for path in PATHS {
        let envoy = steering(filter(&[guarded(weights, json!({}))]), &v1, &v2)
            .start()
            .await
            .unwrap();
        let client = envoy.client("in");
        let started = Instant::now();
        let most = Duration::from_secs(60);
        let everybody = client.rate(200.0, most, |index| {
            by(&format!("user-{index}"), "payments")
        });
        let attack = client.rate(40.0, most, |index| chosen(&ids[index], &path(index)));
        let off = envoy.wait_for_stat(ABORTED, most, |value| value == 1);
        tokio::select! {
            off = off => { off.unwrap(); }
            _ = async { tokio::join!(everybody, attack) } => panic!("still on: {}", path(1)),
        }
        eprintln!("off after {:?}: {}", started.elapsed(), path(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_routes_empty_cluster_aborts_no_canary() {
    let weights = [80, 20];
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    let all = guarded(weights, json!({"match": {}}));
    let envoy = Envoy::builder()
        .listener(
            Listener::new("in")
                .filter(filter(&[all]))
                .route(Route::to("scaled-to-zero").prefix("/other"))
                .route(Route::to("v2").when_header(HEADER, "v2"))
                .route(Route::to("v1")),
        )
        .cluster(Cluster::new("v1").endpoint(v1.address()))
        .cluster(Cluster::new("v2").endpoint(v2.address()))
        .cluster(Cluster::new("scaled-to-zero"))
        .concurrency(2)
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    let good = client
        .load(1000, 8, |index| by(&format!("user-{index}"), "payments"))
        .await;
    assert_eq!(good.with_status(200), 1000);
    assert!(v2.requests() > 100);
    let ids = ids_of("v2", weights, 20);
    let elsewhere = async |count: usize| {
        for id in &ids[..count] {
            let answer = client.send(chosen(id, "/other")).await.unwrap();
            assert_eq!(answer.status, 503);
        }
    };
    elsewhere(2).await;
    assert!(!aborted(&envoy).await, "while its successes are fresh");
    tokio::time::sleep(Duration::from_secs(6)).await;
    elsewhere(5).await;
    assert!(!aborted(&envoy).await, "when they are not");
}
