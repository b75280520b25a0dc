//! canary_split at work: shares, a ramp, an abort.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use meshpack_harness::{Behavior, Client, Cluster, Envoy, Listener, Route, Upstream, WasmFilter};
use serde_json::{Value, json};

use super::Table;
use crate::canary::{HEADER, by, filter, split, timestamp};

/// Users whose shares are counted.
const USERS: usize = 20_000;
/// Users who are followed through the ramp.
const FOLLOWED: usize = 5_000;
/// Requests per second while the canary fails; a fifth of them goes to it.
const RATE: f64 = 100.0;

/// Runs the demonstration and prints its tables. Takes about half a minute.
///
/// # Errors
/// When Envoy does not start, a request has no answer, or the filter did not do
/// what it promises.
pub async fn canary() -> Result<()> {
    let v1 = Upstream::start("v1").await?;
    let v2 = Upstream::start("v2").await?;
    let v3 = Upstream::start("v3").await?;
    shares(&[&v1, &v2, &v3]).await?;
    ramp(&[&v1, &v2, &v3]).await?;
    abort(&[&v1, &v2, &v3]).await
}

async fn start(split: Value, arms: &[&Upstream]) -> Result<Envoy> {
    let filter: WasmFilter = filter(&[split]);
    let mut listener = Listener::new("in").filter(filter);
    for arm in &arms[1..] {
        listener = listener.route(Route::to(arm.name()).when_header(HEADER, arm.name()));
    }
    let mut envoy = Envoy::builder()
        .listener(listener.route(Route::to(arms[0].name())))
        .concurrency(2)
        .quiet();
    for arm in arms {
        envoy = envoy.cluster(Cluster::new(arm.name()).endpoint(arm.address()));
    }
    envoy.start().await.context("Envoy does not start")
}

async fn shares(arms: &[&Upstream]) -> Result<()> {
    eprintln!("canary_split: sending {USERS} users, one request each …");
    let weights = [80.0, 15.0, 5.0];
    let configured: Vec<Value> = arms
        .iter()
        .zip(weights)
        .map(|(arm, weight)| json!({"value": arm.name(), "weight": weight}))
        .collect();
    let more = json!({"arms": configured});
    let envoy = start(split("shop", [0.0, 0.0], more), arms).await?;
    let outcomes = envoy
        .client("in")
        .load(USERS, 32, |index| by(&format!("user-{index}"), "shop"))
        .await;
    let counts = outcomes.by_upstream();
    let mut table = Table::new(
        format!("canary_split: {USERS} users over three arms"),
        &["arm", "weight %", "requests", "share %"],
    );
    for (arm, weight) in arms.iter().zip(weights) {
        let count = counts.get(arm.name()).copied().unwrap_or(0);
        let share = count as f64 * 100.0 / USERS as f64;
        ensure!((share - weight).abs() < 1.0, "{} got {share} %", arm.name());
        table.row(&[&arm.name(), &weight, &count, &format!("{share:.2}")]);
    }
    println!("{table}");
    Ok(())
}

/// The users whom the canary serves.
async fn in_canary(client: &Client) -> Result<BTreeSet<usize>> {
    let outcomes = client
        .load(FOLLOWED, 32, |index| by(&format!("user-{index}"), "shop"))
        .await;
    ensure!(outcomes.with_status(200) == FOLLOWED, "a request failed");
    let canary = outcomes.iter().filter(|o| o.upstream() == Some("v2"));
    Ok(canary.map(|outcome| outcome.index).collect())
}

async fn ramp(arms: &[&Upstream]) -> Result<()> {
    eprintln!("canary_split: following {FOLLOWED} users through a ramp from 5 to 25 % …");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let ramp = json!({"arm": "v2", "start": timestamp(now.as_secs()), "steps": [
        {"after": "0s", "weight": 5}, {"after": "10s", "weight": 25},
    ]});
    let more = json!({ "ramp": ramp });
    let envoy = start(split("shop", [95.0, 5.0], more), &arms[..2]).await?;
    let client = envoy.client("in");
    let before = in_canary(&client).await?;
    let gauge = "wasmcustom.meshpack_canary_weightsplit=.=shop;.;arm=.=v2;.;";
    envoy
        .wait_for_stat(gauge, Duration::from_secs(20), |weight| weight == 250_000)
        .await
        .context("the ramp did not move")?;
    let after = in_canary(&client).await?;
    let mut table = Table::new(
        format!("canary_split: a ramp under way, the same {FOLLOWED} users"),
        &["weight %", "in the canary", "share %", "joined", "left"],
    );
    let share =
        |users: &BTreeSet<usize>| format!("{:.2}", users.len() as f64 * 100.0 / FOLLOWED as f64);
    let joined = after.difference(&before).count();
    let left = before.difference(&after).count();
    table.row(&[&5, &before.len(), &share(&before), &before.len(), &0]);
    table.row(&[&25, &after.len(), &share(&after), &joined, &left]);
    println!("{table}");
    ensure!(left == 0, "{left} users left the canary as its weight rose");
    Ok(())
}

async fn abort(arms: &[&Upstream]) -> Result<()> {
    eprintln!("canary_split: breaking a canary that serves 20 requests a second …");
    let more = json!({"abort": {"arm": "v2", "baseline": "v1"}});
    let envoy = start(split("shop", [80.0, 20.0], more), &arms[..2]).await?;
    let canary = arms[1];
    let client = envoy.client("in");
    let healthy = client
        .rate(RATE, Duration::from_secs(3), |index| {
            by(&format!("early-{index}"), "shop")
        })
        .await;
    ensure!(
        healthy.with_status(200) == healthy.len(),
        "a request failed"
    );
    canary.set(Behavior::status(503));
    let served = canary.requests();
    let started = Instant::now();
    let gauge = "wasmcustom.meshpack_canary_abortedsplit=.=shop;.;";
    let watch = async {
        let limit = Duration::from_secs(10);
        let aborted = envoy.wait_for_stat(gauge, limit, |value| value == 1).await;
        aborted.map(|_| started.elapsed().as_secs_f64())
    };
    let traffic = client.rate(RATE, Duration::from_secs(6), |index| {
        by(&format!("late-{index}"), "shop")
    });
    let (seconds, outcomes) = tokio::join!(watch, traffic);
    let seconds = seconds.context("the failing canary was not aborted")?;
    let failed = canary.requests() - served;
    canary.set(Behavior::echo());
    let mut table = Table::new(
        "canary_split: the canary answers 503 to every request",
        &[
            "aborted after s",
            "failed requests",
            "of",
            "served all the same",
        ],
    );
    let good = outcomes.with_status(200);
    table.row(&[&format!("{seconds:.1}"), &failed, &outcomes.len(), &good]);
    println!("{table}");
    ensure!(failed < 30, "{failed} requests failed before the abort");
    Ok(())
}
