//! retry_budget at work: three hops in a row whose leaf is down.

use std::time::Instant;

use anyhow::{Result, ensure};
use meshpack_harness::{Behavior, Request, Upstream};

use super::Table;
use crate::retry::{Chain, Protection, Shape};

/// Runs the demonstration and prints its table. Takes about 20 seconds.
///
/// # Errors
/// When Envoy does not start, or the filter did not do what it promises.
pub async fn retry() -> Result<()> {
    println!("retry_budget: three Envoys in a row, each retries twice, and the leaf is down …");
    let mut table = Table::new(
        "retry_budget: what reaches the leaf of three hops while it fails",
        &[
            "protection",
            "requests",
            "at the leaf",
            "for each",
            "promised",
        ],
    );
    for (protection, name, requests, promised) in [
        (Protection::None, "none", 60, 27.0),
        (Protection::Budgets, "budgets of 20 %", 1500, 1.8),
        (
            Protection::StopAmplification,
            "budgets and stopAmplification",
            1500,
            1.3,
        ),
    ] {
        let leaf = Upstream::start_with("leaf", Behavior::status(503)).await?;
        let chain = Chain::start_quietly(leaf, Shape::Sidecars, protection).await?;
        let client = chain.client();
        client.load(requests, 4, |_| Request::get("/")).await;
        let arrived = chain.leaf.requests();
        let factor = arrived as f64 / requests as f64;
        ensure!(
            (1.0..=promised).contains(&factor),
            "{name}: {factor} requests at the leaf for each"
        );
        let (factor, promised) = (format!("{factor:.2}x"), format!("{promised}x"));
        table.row(&[&name, &requests, &arrived, &factor, &promised]);
        if protection == Protection::StopAmplification {
            recover(&chain).await?;
        }
    }
    println!("{table}");
    Ok(())
}

/// The leaf comes back: nothing is left that would hold it down.
async fn recover(chain: &Chain) -> Result<()> {
    chain.leaf.set(Behavior::status(200));
    let began = Instant::now();
    let outcomes = chain.client().load(200, 4, |_| Request::get("/")).await;
    ensure!(
        outcomes.with_status(200) == 200,
        "{} of 200 requests succeed after the leaf's recovery",
        outcomes.with_status(200)
    );
    println!(
        "retry_budget: the leaf is back, and all of the next 200 requests succeed, within {} ms",
        began.elapsed().as_millis()
    );
    Ok(())
}
