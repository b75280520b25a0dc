//! `istio-manifests/retry-budget` as it is shipped, in an outage: what a budget leaves of
//! the retries that the routes ask for.

use std::time::Instant;

use anyhow::{Result, ensure};
use meshpack_harness::{Behavior, Request};
use meshpack_mesh::{Cluster, Manifest, Mesh};

const REQUESTS: usize = 600;

/// Requests of `pod` in an outage, and what arrived at the service for them.
async fn outage(mesh: &Mesh, pod: &str) -> Result<(f64, f64)> {
    let apps = [
        mesh.pod("payments-v1")?.app(),
        mesh.pod("payments-v2")?.app(),
    ];
    let arrived = || apps.iter().map(|app| app.requests()).sum::<u64>();
    let before = arrived();
    let started = Instant::now();
    let caller = mesh.caller(pod, "payments.shop")?;
    let outcomes = caller.load(REQUESTS, 4, |_| Request::get("/pay")).await?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(
        outcomes.with_status(503) == REQUESTS,
        "{:?}",
        outcomes.first()
    );
    let extra = (arrived() - before) as f64 - REQUESTS as f64;
    Ok((extra, seconds))
}

/// The floor of one ledger over its interval and the time that an outage took, in retries.
fn floor(seconds: f64) -> f64 {
    10.0 + seconds
}

pub(crate) async fn an_outage_is_not_multiplied(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    let folder = Manifest::root().join("istio-manifests/retry-budget");
    let folder = folder.to_string_lossy();
    let file = "istio-manifests/retry-budget/virtualservice.yaml";
    let routes = Manifest::read(file)?.remove(0).text();
    for name in ["payments-v1", "payments-v2"] {
        mesh.pod(name)?.app().set(Behavior::status(503));
    }
    mesh.apply(&routes).await?;
    let (native, _) = outage(mesh, "cart").await?;
    ensure!(
        native == 2.0 * REQUESTS as f64,
        "{native} retries without a budget"
    );

    mesh.apply_folder(&folder).await?;
    let (retries, seconds) = outage(mesh, "cart").await?;
    ensure!(retries > 0.1 * REQUESTS as f64, "only {retries} retries");
    let bound = (0.2 * REQUESTS as f64).max(floor(seconds));
    ensure!(retries <= bound, "{retries} retries in {seconds} s");

    // In another namespace nobody loads the callers' budget: the called side bounds it, in
    // each of its two pods, to a fifth of the attempts that it has let through lately.
    let (more, longer) = outage(mesh, "frontend").await?;
    let share = 0.25 * 2.0 * REQUESTS as f64;
    let bound = share.max(2.0 * floor(seconds + longer));
    ensure!(more > 0.0, "no retries from another namespace");
    ensure!(
        retries + more <= bound,
        "{retries} retries and {more}, at most {bound}"
    );
    let denied = [("budget", "server")];
    let name = "meshpack_retry_denied_total";
    mesh.pod("payments-v1")?
        .metric(name, &denied, |sum| sum > 0.0)
        .await?;
    for name in ["payments-v1", "payments-v2"] {
        mesh.pod(name)?.app().set(Behavior::echo());
    }
    mesh.delete_folder(&folder).await
}
