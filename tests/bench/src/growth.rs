//! How the cost grows with the size of one thing.

use anyhow::{Context, Result};
use serde_json::json;

use crate::callgrind::{Effort, measure};
use crate::chain::{Chain, Routes};
use crate::results::Series;
use crate::{ours, peers};

/// Request headers, `host` included.
const HEADERS: [usize; 3] = [10, 20, 40];

/// Valgrind runs one thread at a time: beyond two workers the switching between them
/// drowns what a filter adds.
const WORKERS: [usize; 2] = [1, 2];

/// Measures every series whose axis or name contains one of `parts`.
pub(crate) async fn run(parts: &[String], effort: Effort) -> Result<Vec<Series>> {
    let wanted = |axis: &str, name: &str| {
        let has = |part: &String| axis.contains(part.as_str()) || name.contains(part.as_str());
        parts.is_empty() || parts.iter().any(has)
    };
    let mut all = Vec::new();
    let mut without: Vec<(Routes, Vec<f64>)> = Vec::new();
    for (name, chain) in filters() {
        if wanted("headers", name) {
            let counts = HEADERS.map(Some);
            let base = match without.iter().find(|(routes, _)| *routes == chain.routes) {
                Some((_, base)) => base.clone(),
                None => {
                    eprintln!("[headers] {}", chain.routes.baseline());
                    let base =
                        measure("headers none", &chain.without_filters(), effort, &counts).await?;
                    without.push((chain.routes, base.clone()));
                    base
                }
            };
            eprint!("[headers] {name}");
            let figures = measure(name, &chain, effort, &counts)
                .await
                .with_context(|| format!("headers, {name:?}"))?;
            let points = HEADERS.iter().zip(figures).zip(base);
            all.push(finish(
                "headers",
                name,
                points
                    .map(|((size, with), base)| (*size, with - base))
                    .collect(),
            ));
        }
    }
    let mut baselines: Vec<((Routes, u32), f64)> = Vec::new();
    for (axis, name, points) in by_configuration() {
        if !wanted(axis, name) {
            continue;
        }
        eprint!("[{axis}] {name}");
        let mut measured = Vec::new();
        for (size, chain) in points {
            let key = (chain.routes, chain.workers);
            let base = match baselines.iter().find(|(other, _)| *other == key) {
                Some((_, base)) => *base,
                None => {
                    let base = one(name, &chain.without_filters(), effort).await?;
                    baselines.push((key, base));
                    base
                }
            };
            let with = one(name, &chain, effort)
                .await
                .with_context(|| format!("{axis}, {name:?} at {size}"))?;
            measured.push((size, with - base));
        }
        all.push(finish(axis, name, measured));
    }
    Ok(all)
}

async fn one(name: &str, chain: &Chain, effort: Effort) -> Result<f64> {
    let figures = measure(name, chain, effort, &[None]).await?;
    figures.first().copied().context("nothing was counted")
}

fn finish(axis: &str, name: &str, points: Vec<(usize, f64)>) -> Series {
    for (size, over) in &points {
        eprint!("  {size}: {:+.1}k", over / 1000.0);
    }
    eprintln!();
    let points = points
        .into_iter()
        .map(|(size, over)| (size, over.round()))
        .collect();
    Series {
        axis: axis.to_owned(),
        name: name.to_owned(),
        points,
    }
}

/// Every filter of ours, for which the bound on headers holds.
fn filters() -> Vec<(&'static str, Chain)> {
    vec![
        (
            "authz_policy",
            Chain::on(Routes::Plain).wasm("authz_policy", ours::authz_allowing()),
        ),
        (
            "canary_split",
            Chain::on(Routes::Canary).wasm("canary_split", ours::canary(1)),
        ),
        (
            "retry_budget",
            Chain::on(Routes::Retry).wasm("retry_budget", ours::retry()),
        ),
        (
            "telemetry",
            Chain::on(Routes::Plain).wasm("telemetry", ours::telemetry(0)),
        ),
        (
            "meshpack",
            Chain::on(Routes::CanaryRetry).wasm("meshpack", ours::pack()),
        ),
    ]
}

type Growing = (&'static str, &'static str, Vec<(usize, Chain)>);

fn by_configuration() -> Vec<Growing> {
    let plain = || Chain::on(Routes::Plain);
    let sizes = |sizes: &[usize], chain: &dyn Fn(usize) -> Chain| -> Vec<(usize, Chain)> {
        sizes.iter().map(|&size| (size, chain(size))).collect()
    };
    vec![
        (
            "policies",
            "authz_policy",
            sizes(&[1, 10, 100, 1000, 10_000], &|n| {
                plain().wasm("authz_policy", ours::authz_denying(n))
            }),
        ),
        (
            "policies",
            "native RBAC",
            sizes(&[1, 10, 100, 1000], &|n| {
                plain().filter(peers::rbac_denying(n))
            }),
        ),
        (
            "splits",
            "canary_split",
            sizes(&[1, 10, 100], &|n| {
                Chain::on(Routes::Canary).wasm("canary_split", ours::canary(n))
            }),
        ),
        (
            "labels",
            "telemetry, attributes beside the golden labels",
            sizes(&[0, 2, 5, 10], &|n| {
                plain().wasm("telemetry", ours::telemetry(n))
            }),
        ),
        (
            "workers",
            "meshpack",
            sizes(&WORKERS, &|n| {
                workers(
                    Chain::on(Routes::CanaryRetry).wasm("meshpack", ours::pack()),
                    n,
                )
            }),
        ),
        (
            "workers",
            "empty filter, stock SDK",
            sizes(&WORKERS, &|n| {
                workers(plain().wasm("bench/stock_empty", json!({})), n)
            }),
        ),
    ]
}

fn workers(chain: Chain, count: usize) -> Chain {
    chain.workers(u32::try_from(count).unwrap_or(1))
}
