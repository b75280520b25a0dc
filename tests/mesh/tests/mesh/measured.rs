//! `istio-manifests/telemetry` as it is shipped: metrics with their labels where
//! Prometheus scrapes, and access logs at the collector.

use std::time::Duration;

use anyhow::{Result, ensure};
use meshpack_harness::{Behavior, Request};
use meshpack_mesh::{Cluster, Manifest};

const REQUESTS: usize = 200;

pub(crate) async fn metrics_have_labels_and_failures_are_logged(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    let folder = Manifest::root().join("istio-manifests/telemetry");
    let folder = folder.to_string_lossy();
    mesh.apply_folder(&folder).await?;
    let pod = mesh.pod("shop")?;
    let caller = mesh.caller("frontend", "shop.default")?;
    let post = |index: usize| {
        let path = format!("/users/{index}");
        Request::post(path, "").header(
            "x-tenant",
            if index.is_multiple_of(4) {
                "acme"
            } else {
                "init"
            },
        )
    };
    let outcomes = caller.load(REQUESTS, 4, post).await?;
    ensure!(outcomes.with_status(200) == REQUESTS);
    let quarter = (REQUESTS / 4) as f64;
    let labels = [("operation", "/users/{id}"), ("tenant", "acme")];
    pod.metric("checkout_requests_total", &labels, |sum| sum == quarter)
        .await?;
    let labels = [("reporter", "destination"), ("response_code", "200")];
    pod.metric("meshpack_requests_total", &labels, |sum| {
        sum == REQUESTS as f64
    })
    .await?;

    let taken = || mesh.collected().matches("LogRecord #").count();
    let before = taken();
    pod.app().set(Behavior::status(500));
    let outcomes = caller.load(REQUESTS, 4, post).await?;
    pod.app().set(Behavior::echo());
    ensure!(outcomes.with_status(500) == REQUESTS);
    let all = |sum| sum >= REQUESTS as f64;
    pod.metric("meshpack_log_sent_total", &[], all).await?;
    ensure!(pod.metric_now("meshpack_log_dropped_total", &[]).await? == 0.0);
    // What is sent always is there, and perhaps of the sample.
    for _ in 0..600 {
        if taken() >= before + REQUESTS {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(
        taken() >= before + REQUESTS,
        "{} of {REQUESTS} records at the collector:\n{}",
        taken() - before,
        mesh.collected()
    );
    ensure!(
        mesh.collected().contains("acme"),
        "no field of ours:\n{}",
        mesh.collected()
    );
    mesh.delete_folder(&folder).await
}
