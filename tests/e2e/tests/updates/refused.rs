//! What stock Envoy does when a configuration fails where it had succeeded before, and
//! when the first one never was good: the tables of `docs/security.md`.

use std::time::Duration;

use meshpack_harness::{
    Cluster, Envoy, EnvoyVersion, FailurePolicy, Listener, Route, Swap, Upstream, WasmFilter,
    versions, wasm_module,
};
use serde_json::json;

const POLICIES: [FailurePolicy; 3] = [
    FailurePolicy::FailClosed,
    FailurePolicy::FailOpen,
    FailurePolicy::FailReload,
];

async fn proxy(version: EnvoyVersion, filter: WasmFilter, upstream: &Upstream) -> Envoy {
    Envoy::builder()
        .version(version)
        .quiet()
        .listener(
            Listener::new("in")
                .swappable_filter("guard", filter)
                .route(Route::to("app")),
        )
        .cluster(Cluster::new("app").endpoint(upstream.address()))
        .start()
        .await
        .unwrap()
}

async fn status(envoy: &Envoy) -> u16 {
    envoy.client("in").get("/").await.unwrap().status
}

/// Waits for a status that a swap brings to the workers, and gives the last one seen.
async fn settled(envoy: &Envoy, wanted: u16) -> u16 {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let seen = status(envoy).await;
        if seen == wanted || tokio::time::Instant::now() > deadline {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Why the sdk never fails in a worker.
#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_fails_in_a_worker_guards_nothing_under_any_policy() {
    let upstream = Upstream::start("app").await.unwrap();
    let module = wasm_module("examples/refusing").unwrap();
    for version in versions().unwrap() {
        for policy in POLICIES {
            // Answered with false, and with a trap.
            for second in ["{}", "{ }"] {
                let filter = |text: &str| {
                    WasmFilter::new("guard", &module)
                        .failure_policy(policy)
                        .config_text(text)
                };
                let case = format!("{version} {policy:?} {second:?}");
                let envoy = proxy(version, filter("{\"first\": 1}"), &upstream).await;
                assert_eq!(status(&envoy).await, 403, "{case}");
                let swap = envoy.swap_filter_config("guard", filter(second));
                assert_eq!(swap.await.unwrap(), Swap::Accepted, "{case}");
                assert_eq!(settled(&envoy, 200).await, 200, "{case}: unfiltered");
                let good = envoy.swap_filter_config("guard", filter("{\"third\": 1}"));
                assert_eq!(good.await.unwrap(), Swap::Rejected, "{case}: for good");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_configuration_over_ecds_that_is_bad_answers_500_until_a_good_one() {
    let upstream = Upstream::start("app").await.unwrap();
    let module = wasm_module("authz_policy").unwrap();
    for version in versions().unwrap() {
        for policy in POLICIES {
            let filter = |config| {
                WasmFilter::new("guard", &module)
                    .failure_policy(policy)
                    .config(&config)
            };
            let case = format!("{version} {policy:?}");
            let bad = filter(json!({"policies": [{"spec": {"action": "DENNY"}}]}));
            let envoy = proxy(version, bad, &upstream).await;
            assert_eq!(status(&envoy).await, 500, "{case}");
            let open =
                json!({"policies": [{"metadata": {"name": "all"}, "spec": {"rules": [{}]}}]});
            let good = envoy.swap_filter_config("guard", filter(open));
            assert_eq!(good.await.unwrap(), Swap::Accepted, "{case}");
            assert_eq!(settled(&envoy, 200).await, 200, "{case}");
        }
    }
}
