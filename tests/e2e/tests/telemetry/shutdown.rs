//! What a collector has got when Envoy ends.

use std::time::Duration;

use meshpack_e2e::telemetry::{envoy_with_labels, telemetry};
use meshpack_harness::{
    Cluster, Envoy, EnvoyVersion, Listener, Request, Route, Upstream, versions,
};
use serde_json::json;

use crate::telemetry::collector;

const LIMIT: Duration = Duration::from_secs(60);
const SENT: &str = "wasmcustom.meshpack_log_sent_total";
const QUEUED: &str = "wasmcustom.meshpack_log_queue_records";

async fn start(version: EnvoyVersion, interval: &str, collector: &Upstream) -> Envoy {
    let config = json!({"accessLog": {
        "sink": {"otlpHttp": {"cluster": "otel-collector"}},
        "batch": {"interval": interval, "maxRecords": 10},
    }});
    envoy_with_labels(&[])
        .version(version)
        .listener(
            Listener::new("in")
                .filter(telemetry(&config))
                .route(Route::direct(200, "ok")),
        )
        .cluster(Cluster::new("otel-collector").endpoint(collector.address()))
        .start()
        .await
        .unwrap()
}

/// Ends Envoy as a container's runtime does.
async fn terminate(envoy: &Envoy) {
    let Some(pid) = envoy.pid() else {
        envoy.quit(LIMIT).await.unwrap();
        return;
    };
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
    for _ in 0..500 {
        if !envoy.is_running().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("Envoy still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_longer_than_the_interval_loses_nothing() {
    for version in versions().unwrap() {
        let collector = collector::start().await;
        let envoy = start(version, "200ms", &collector).await;
        let client = envoy.client("in");
        let outcomes = client.load(57, 4, |_| Request::get("/")).await;
        assert_eq!(outcomes.with_status(200), 57);
        envoy
            .admin()
            .post("/drain_listeners?graceful")
            .await
            .unwrap();
        // What a pod's grace period is: longer than the interval by far.
        envoy
            .wait_for_stat(SENT, LIMIT, |sent| sent == 57)
            .await
            .unwrap();
        terminate(&envoy).await;
        assert_eq!(collector::records(&collector).len(), 57, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sudden_end_loses_at_most_what_still_waited() {
    // By a signal and by the admin interface, in turn.
    for (number, version) in versions().unwrap().into_iter().enumerate() {
        let collector = collector::start().await;
        let envoy = start(version, "1h", &collector).await;
        let client = envoy.client("in");
        // Four batches go because they are complete, three records wait.
        client.load(43, 1, |_| Request::get("/")).await;
        envoy
            .wait_for_stat(SENT, LIMIT, |sent| sent == 40)
            .await
            .unwrap();
        assert_eq!(envoy.stat(QUEUED).await.unwrap(), Some(3), "{version}");
        if number % 2 == 0 {
            terminate(&envoy).await;
        } else {
            envoy.quit(LIMIT).await.unwrap();
        }
        // Envoy's workers stop before a last call is answered, often before it
        // is made.
        let arrived = collector::records(&collector).len();
        assert!((40..=43).contains(&arrived), "{version}: {arrived}");
        assert!(
            !envoy.log_contains("Caught Segmentation fault"),
            "{version}"
        );
    }
}
