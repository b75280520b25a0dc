//! Failing canaries.

use std::time::{Duration, Instant};

use meshpack_e2e::canary::{by, filter, replace, split, steering};
use meshpack_e2e::undisturbed;
use meshpack_harness::{
    Behavior, Cluster, Envoy, Listener, Request, Route, Script, Upstream, versions,
};
use serde_json::{Value, json};

fn guarded(weights: [f64; 2], more: Value) -> Value {
    let mut abort = json!({"arm": "v2", "baseline": "v1", "cooldown": "10m"});
    replace(&mut abort, more);
    split("payments", weights, json!({"abort": abort}))
}

const ABORTED: &str = "wasmcustom.meshpack_canary_abortedsplit=.=payments;.;";

async fn aborted(envoy: &Envoy) -> bool {
    envoy.stat(ABORTED).await.unwrap() == Some(1)
}

/// Sends `rate` requests a second, the canary failing, until it is aborted.
/// Returns the seconds and the failed requests.
async fn until_aborted(envoy: &Envoy, rate: f64, canary: &Upstream) -> (f64, u64) {
    canary.forget();
    let before = canary.requests();
    let client = envoy.client("in");
    let started = Instant::now();
    let traffic = client.rate(rate, Duration::from_secs(12), |index| {
        by(&format!("visitor-{index}"), "payments")
    });
    let watch = async {
        while !aborted(envoy).await {
            assert!(
                started.elapsed() < Duration::from_secs(12),
                "still on after 12 s"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        started.elapsed().as_secs_f64()
    };
    let (seconds, _) = tokio::join!(watch, traffic);
    (seconds, canary.requests() - before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_failing_20_requests_a_second_costs_fewer_than_30() {
    undisturbed(attempt_a_canary_failing_20_requests_a_second_costs_fewer_than_30).await;
}

async fn attempt_a_canary_failing_20_requests_a_second_costs_fewer_than_30() {
    for (workers, weights, rate) in [(1, [80.0, 20.0], 100.0), (4, [50.0, 50.0], 40.0)] {
        let v1 = Upstream::start("v1").await.unwrap();
        let v2 = Upstream::start_with("v2", Behavior::status(503))
            .await
            .unwrap();
        let envoy = steering(filter(&[guarded(weights, json!({}))]), &v1, &v2)
            .concurrency(workers)
            .start()
            .await
            .unwrap();
        let (seconds, failed) = until_aborted(&envoy, rate, &v2).await;
        assert!(
            seconds < 10.0 && failed < 30,
            "{seconds} s, {failed} failed"
        );
        assert!(envoy.log_contains("split payments: arm v2 fails more often"));
        // Its users are served by the baseline, and what is forced still arrives.
        let client = envoy.client("in");
        let outcomes = client
            .load(200, 8, |index| by(&format!("later-{index}"), "payments"))
            .await;
        assert_eq!(outcomes.by_upstream().get("v2"), None);
        let name = "wasmcustom.meshpack_canary_requests_totalsplit=.=payments;.;arm=.=v1;.;reason=.=abort;.;";
        envoy
            .wait_for_stat(name, Duration::from_secs(60), |count| count > 20)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_breaks_after_good_times_is_off_as_fast() {
    undisturbed(attempt_a_canary_that_breaks_after_good_times_is_off_as_fast).await;
}

async fn attempt_a_canary_that_breaks_after_good_times_is_off_as_fast() {
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    let envoy = steering(filter(&[guarded([80.0, 20.0], json!({}))]), &v1, &v2)
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    let good = client
        .load(3000, 16, |index| by(&format!("early-{index}"), "payments"))
        .await;
    assert_eq!(good.with_status(200), 3000);
    assert!(!aborted(&envoy).await);
    v2.set(Behavior::reset());
    let (seconds, failed) = until_aborted(&envoy, 100.0, &v2).await;
    assert!(
        seconds < 10.0 && failed < 30,
        "{seconds} s, {failed} failed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_errors_count_as_failures() {
    let v1 = Upstream::start_with("v1", Behavior::grpc(&[b"ok"], 0))
        .await
        .unwrap();
    let v2 = Upstream::start_with("v2", Behavior::grpc_error(14))
        .await
        .unwrap();
    let envoy = Envoy::builder()
        .listener(
            Listener::new("in")
                .filter(filter(&[guarded(
                    [50.0, 50.0],
                    json!({"failures": ["grpc"]}),
                )]))
                .route(Route::to("v2").when_header(meshpack_e2e::canary::HEADER, "v2"))
                .route(Route::to("v1")),
        )
        .cluster(Cluster::new("v1").http2().endpoint(v1.address()))
        .cluster(Cluster::new("v2").http2().endpoint(v2.address()))
        .start()
        .await
        .unwrap();
    let client = envoy.client_http2("in");
    let started = Instant::now();
    let mut index = 0;
    while !aborted(&envoy).await {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "still on after {index} calls"
        );
        index += 1;
        let request = Request::post("/s/m", Vec::new())
            .authority("payments")
            .header("x-user-id", format!("caller-{index}"));
        let _ = client.grpc_with(request, &[b"hello"]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_without_endpoints_is_off_at_once_on_every_version() {
    let v1 = Upstream::start("v1").await.unwrap();
    for version in versions().unwrap() {
        let envoy = Envoy::builder()
            .listener(
                Listener::new("in")
                    .filter(filter(&[guarded([0.0, 1.0], json!({"cooldown": "2s"}))]))
                    .route(Route::to("v2").when_header(meshpack_e2e::canary::HEADER, "v2"))
                    .route(Route::to("v1")),
            )
            .cluster(Cluster::new("v1").endpoint(v1.address()))
            .cluster(Cluster::new("v2"))
            .concurrency(2)
            .version(version)
            .start()
            .await
            .unwrap();
        let client = envoy.client("in").connection_per_request();
        let first = client.send(by("user-1", "payments")).await.unwrap();
        assert_eq!(first.status, 503, "{version}");
        let limit = Duration::from_secs(60);
        envoy
            .wait_for_stat(ABORTED, limit, |value| value == 1)
            .await
            .unwrap();
        for index in 0..20 {
            let answer = client
                .send(by(&format!("user-{index}"), "payments"))
                .await
                .unwrap();
            assert_eq!(answer.upstream(), Some("v1"), "{version}");
        }
        assert!(
            envoy.log_contains("arm v2 has no healthy endpoint"),
            "{version}"
        );
        // After the cooldown it is tried again, and found as empty as before.
        envoy
            .wait_for_stat(ABORTED, Duration::from_secs(60), |value| value == 0)
            .await
            .unwrap();
        let again = client.send(by("user-1", "payments")).await.unwrap();
        assert_eq!(again.status, 503, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_as_good_as_its_baseline_stays() {
    // Independent errors, 5 % in both arms; then one client of the canary whose
    // every request fails, 20 times a second.
    let failing = |seed| Script::fraction(0.05, seed, Behavior::status(503), Behavior::echo());
    let v1 = Upstream::start_with("v1", failing(1)).await.unwrap();
    let v2 = Upstream::start_with("v2", failing(2)).await.unwrap();
    let splits = [guarded([80.0, 20.0], json!({"falsePositiveRate": 0.001}))];
    let envoy = steering(filter(&splits), &v1, &v2)
        .concurrency(2)
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    let traffic = |index: usize| by(&format!("user-{index}"), "payments");
    let outcomes = client.rate(250.0, Duration::from_secs(12), traffic).await;
    assert!(outcomes.with_status(503) > 60);
    assert!(!aborted(&envoy).await, "independent errors");

    let poisoned = |request: &meshpack_harness::Recorded, _| {
        let user = request.header_text("x-user-id").unwrap_or_default();
        if user == "poison" {
            Behavior::status(500)
        } else {
            Behavior::echo()
        }
    };
    v2.set(Script::new(poisoned));
    v1.set(Script::new(poisoned));
    let outcomes = client
        .rate(250.0, Duration::from_secs(12), |index| {
            let request = by(&format!("user-{index}"), "payments");
            if index % 10 == 0 {
                by("poison", "payments")
            } else {
                request
            }
        })
        .await;
    assert!(outcomes.with_status(500) > 250);
    assert!(!aborted(&envoy).await, "one broken client");
}
