//! `istio-manifests/canary-split` as it is shipped: shares, stickiness, callers elsewhere,
//! and a canary that fails.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use meshpack_harness::{Behavior, Outcomes, Request};
use meshpack_mesh::{Caller, Cluster, Manifest, Mesh};

const USERS: usize = 2000;
const REQUESTS: &str = "meshpack_canary_requests_total";

fn folder() -> String {
    let path = Manifest::root().join("istio-manifests/canary-split");
    path.to_string_lossy().into_owned()
}

fn by_user(index: usize) -> Request {
    Request::get("/pay").header("x-user-id", format!("user-{index}"))
}

/// Which version served each user.
fn versions(outcomes: &Outcomes) -> Result<BTreeMap<usize, String>> {
    let mut versions = BTreeMap::new();
    for outcome in outcomes.iter() {
        ensure!(outcome.status() == Some(200), "{outcome:?}");
        let version = outcome.upstream().unwrap_or_default();
        versions.insert(outcome.index, version.to_owned());
    }
    Ok(versions)
}

async fn ask(caller: &Caller) -> Result<BTreeMap<usize, String>> {
    versions(&caller.load(USERS, 8, by_user).await?)
}

fn of_canary(versions: &BTreeMap<usize, String>) -> usize {
    versions
        .values()
        .filter(|name| *name == "payments-v2")
        .count()
}

/// The plugin for callers in another namespace: a copy there.
fn copy_for(namespace: &str) -> Result<String> {
    let plugin = Manifest::read("istio-manifests/canary-split/wasmplugin.yaml")?.remove(0);
    Ok(plugin
        .changed(|plugin| plugin["metadata"]["namespace"] = namespace.into())
        .text())
}

pub(crate) async fn users_stay_in_their_version(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    mesh.apply_folder(&folder()).await?;
    let pod = mesh.pod("cart")?;
    let cart = mesh.caller("cart", "payments.shop")?;
    let labels = |arm| [("split", "payments"), ("arm", arm), ("reason", "sticky")];
    let before = pod.metric_now(REQUESTS, &labels("v2")).await?;
    let first = ask(&cart).await?;
    let canary = of_canary(&first);
    // The salt decides; by chance it would be 100 with a deviation of 9.7.
    ensure!((61..140).contains(&canary), "{canary} of {USERS} users");
    ensure!(ask(&cart).await? == first, "users changed their version");
    let expected = before + 2.0 * canary as f64;
    pod.metric(REQUESTS, &labels("v2"), |sum| sum == expected)
        .await?;

    let seen = mesh.pod("payments-v2")?.app().last();
    let seen = seen.and_then(|request| request.header_text("x-meshpack-subset").map(str::to_owned));
    ensure!(
        seen.is_none(),
        "the service sees the steering header: {seen:?}"
    );
    let forced = Request::get("/pay").header("x-canary", "always");
    ensure!(cart.send(forced).await?.upstream() == Some("payments-v2"));

    elsewhere(mesh, &first).await?;
    mesh.delete_folder(&folder()).await
}

/// A caller in another namespace gets v1, until it has a plugin of its own; then its users
/// are in the versions that they have everywhere.
async fn elsewhere(mesh: &Mesh, expected: &BTreeMap<usize, String>) -> Result<()> {
    let frontend = mesh.caller("frontend", "payments.shop")?;
    ensure!(
        of_canary(&ask(&frontend).await?) == 0,
        "loaded by nobody's plugin"
    );
    let copy = copy_for("web")?;
    mesh.apply(&copy).await?;
    ensure!(
        ask(&frontend).await? == *expected,
        "users differ by namespace"
    );
    mesh.delete(&copy).await
}

pub(crate) async fn a_failing_version_is_switched_off(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    mesh.apply_folder(&folder()).await?;
    // Not the caller of the other scenarios: the latch outlives the plugin.
    let pod = mesh.pod("orders")?;
    let caller = mesh.caller("orders", "payments.shop")?;
    let healthy = ask(&caller).await?;
    mesh.pod("payments-v2")?.app().set(Behavior::status(503));
    let aborted = async || {
        pod.metric_now("meshpack_canary_aborted", &[("split", "payments")])
            .await
    };
    let mut failed = 0;
    for round in 0.. {
        if aborted().await? == 1.0 {
            break;
        }
        ensure!(round < 100, "never aborted, {failed} failed");
        let outcomes = caller
            .load(200, 4, move |index| by_user(round * 200 + index))
            .await?;
        failed += outcomes.with_status(503);
    }
    ensure!(failed > 0, "nothing failed");
    let after = ask(&caller).await?;
    ensure!(
        of_canary(&healthy) > 0 && of_canary(&after) == 0,
        "users still fail"
    );
    mesh.pod("payments-v2")?.app().set(Behavior::echo());
    mesh.delete_folder(&folder()).await
}
