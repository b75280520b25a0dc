//! An Envoy with one chain, its upstream, and what was sent through it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use meshpack_harness::{Behavior, Client, Envoy, EnvoyBuilder, Port, Upstream};
use meshpack_telemetry::policy::labels::{GOLDEN_LABELS, PACK_LABELS};

use crate::chain::{Chain, Proof, log_file};

/// Modules hand their counts to Envoy about once a second.
const SETTLED: Duration = Duration::from_secs(30);

/// A chain at work.
pub(crate) struct Running<'a> {
    pub(crate) envoy: Envoy,
    chain: &'a Chain,
    upstream: Upstream,
    folder: tempfile::TempDir,
    client: Client,
    sent: AtomicU64,
}

impl<'a> Running<'a> {
    /// Starts the chain in the Envoy that `configure` makes of a plain one.
    pub(crate) async fn start(
        chain: &'a Chain,
        configure: impl FnOnce(EnvoyBuilder) -> EnvoyBuilder,
    ) -> Result<Self> {
        Self::start_on(chain, None, configure).await
    }

    /// The same with its listener on a port that is held.
    pub(crate) async fn start_on(
        chain: &'a Chain,
        port: Option<&Port>,
        configure: impl FnOnce(EnvoyBuilder) -> EnvoyBuilder,
    ) -> Result<Self> {
        let upstream = Upstream::start_with("bench", Behavior::status(200)).await?;
        let folder = tempfile::tempdir()?;
        let mut listener = chain.listener("in", folder.path())?;
        if let Some(port) = port {
            listener = listener.port(port);
        }
        let mut builder = labelled(Envoy::builder())
            .listener(listener)
            .concurrency(chain.workers)
            .quiet();
        for cluster in chain.clusters(upstream.address()) {
            builder = builder.cluster(cluster);
        }
        let envoy = configure(builder)
            .start()
            .await
            .context("Envoy did not start")?;
        let client = envoy.client("in").timeout(Duration::from_secs(60));
        Ok(Self {
            envoy,
            chain,
            upstream,
            folder,
            client,
            sent: AtomicU64::new(0),
        })
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.envoy
            .pid()
            .context("Envoy has no process id here; unset ENVOY_BACKEND")
    }

    /// Sends `count` requests with so many headers, one connection for each worker;
    /// each must be answered with 200.
    pub(crate) async fn send(&self, count: usize, headers: Option<usize>) -> Result<()> {
        let request = self.chain.request(headers);
        let connections = self.chain.workers as usize;
        let outcomes = self
            .client
            .load(count, connections, move |_| request.clone())
            .await;
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
        if let Some(other) = outcomes
            .iter()
            .find(|outcome| outcome.status() != Some(200))
        {
            bail!(
                "request {} was answered {:?} instead of 200",
                other.index,
                other.result
            );
        }
        Ok(())
    }

    /// Holds the chain to what its name says.
    pub(crate) async fn prove(&self) -> Result<()> {
        let sent = self.sent.load(Ordering::Relaxed);
        for proof in &self.chain.proofs {
            match proof {
                Proof::Counter(name) => {
                    let counted = self
                        .settled(sent, async || Ok(self.envoy.stat(name).await?.unwrap_or(0)))
                        .await?;
                    ensure!(counted == sent, "{name} is {counted} after {sent} requests");
                }
                Proof::Series(metric, labels) => {
                    let counted = self
                        .settled(sent, async || {
                            let samples = self.envoy.admin().prometheus().await?;
                            Ok(samples.sum(metric, labels) as u64)
                        })
                        .await?;
                    ensure!(
                        counted == sent,
                        "{metric}{labels:?} is {counted} after {sent} requests"
                    );
                }
                Proof::UpstreamHeader(name, wanted) => {
                    let last = self.upstream.last().context("nothing arrived upstream")?;
                    let got = last.header_text(name);
                    ensure!(
                        got.is_some() && wanted.is_none_or(|wanted| got == Some(wanted)),
                        "the upstream got {name}: {got:?} instead of {wanted:?}"
                    );
                }
                // Last, for it sends a request more.
                Proof::Attempts(_) => {}
                Proof::LogLines => {
                    let lines = self
                        .settled(sent, async || {
                            let text = std::fs::read_to_string(log_file(self.folder.path()))?;
                            Ok(text.lines().count() as u64)
                        })
                        .await?;
                    ensure!(
                        lines == sent,
                        "the access log has {lines} lines after {sent} requests"
                    );
                }
            }
        }
        self.prove_attempts().await
    }

    async fn prove_attempts(&self) -> Result<()> {
        let wanted = self.chain.proofs.iter().find_map(|proof| match proof {
            Proof::Attempts(wanted) => Some(*wanted),
            _ => None,
        });
        let Some(wanted) = wanted else { return Ok(()) };
        self.upstream.set(Behavior::status(503));
        let before = self.upstream.requests();
        let answer = self.client.send(self.chain.request(None)).await?;
        let attempts = self.upstream.requests() - before;
        ensure!(
            (answer.status, attempts) == (503, wanted),
            "a failing request got {} after {attempts} attempts instead of 503 after {wanted}",
            answer.status
        );
        Ok(())
    }

    /// Reads until the value is `wanted` or nothing more can be expected.
    async fn settled(&self, wanted: u64, read: impl AsyncFn() -> Result<u64>) -> Result<u64> {
        let deadline = std::time::Instant::now() + SETTLED;
        loop {
            let value = read().await?;
            if value == wanted || std::time::Instant::now() > deadline {
                return Ok(value);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

/// Cuts the labels out of the names of our metrics.
fn labelled(builder: EnvoyBuilder) -> EnvoyBuilder {
    let golden = GOLDEN_LABELS.iter().map(|label| label.name());
    let all = golden.chain(PACK_LABELS.iter().copied());
    all.fold(builder, |builder, label| {
        builder.stats_tag(label, &format!(r"({label}=\.=(.*?);\.;)"))
    })
}
