//! What Prometheus would scrape: the endpoint where Istio's agent merges its own metrics
//! with the proxy's.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use meshpack_harness::Samples;
use tokio::time::Instant;

use crate::mesh::Mesh;
use crate::pod::Pod;

/// The agent's own port, which Istio's injector writes into `prometheus.io/port`.
const MERGED: u16 = 15020;

/// Counters reach Envoy once a second; only a broken proxy takes longer.
const LIMIT: Duration = Duration::from_secs(60);

impl Pod {
    /// One scrape.
    pub async fn metrics(&self) -> Result<Samples> {
        let answer = self.ask(MERGED, "/stats/prometheus").await?;
        ensure!(answer.status == 200, "{}: {}", self.name(), answer.text());
        Ok(Samples::parse(&answer.text()))
    }

    /// Scrapes until the sum over all series of `name` with these labels satisfies `holds`.
    pub async fn metric(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        holds: impl Fn(f64) -> bool,
    ) -> Result<f64> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let samples = self.metrics().await?;
            let sum = samples.sum(name, labels);
            if holds(sum) {
                return Ok(sum);
            }
            if Instant::now() > deadline {
                let family: Vec<_> = samples.named(name).collect();
                bail!("{}: {name} {labels:?} is {sum}: {family:#?}", self.name());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The sum over all series of `name` with these labels, now.
    pub async fn metric_now(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let samples = self.metrics().await.context("a scrape")?;
        Ok(samples.sum(name, labels))
    }
}

impl Mesh {
    /// One scrape of istiod.
    pub async fn control_plane_metrics(&self) -> Result<Samples> {
        self.istiod.metrics().await
    }
}
