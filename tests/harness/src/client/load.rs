//! Many requests: as fast as they go, or at a steady rate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Client, ClientError, Request, Response};

/// How one request of a load went.
#[derive(Debug)]
pub struct Outcome {
    /// The number of the request, from 0.
    pub index: usize,
    /// When it was sent, since the load began.
    pub at: Duration,
    /// How long it took.
    pub latency: Duration,
    /// The answer.
    pub result: Result<Response, ClientError>,
}

impl Outcome {
    /// The status, or `None` if no complete answer came.
    pub fn status(&self) -> Option<u16> {
        self.result.as_ref().ok().map(|answer| answer.status)
    }

    /// The upstream that answered, if one did.
    pub fn upstream(&self) -> Option<&str> {
        self.result.as_ref().ok().and_then(Response::upstream)
    }
}

/// How the requests of a load went, in the order of their numbers.
#[derive(Debug, Default)]
pub struct Outcomes(Vec<Outcome>);

impl Outcomes {
    fn new(mut outcomes: Vec<Outcome>) -> Self {
        outcomes.sort_unstable_by_key(|outcome| outcome.index);
        Self(outcomes)
    }

    /// How many requests got `status`.
    pub fn with_status(&self, status: u16) -> usize {
        self.count(|outcome| outcome.status() == Some(status))
    }

    /// How many requests got no complete answer.
    pub fn without_answer(&self) -> usize {
        self.count(|outcome| outcome.result.is_err())
    }

    /// How many requests each upstream answered; those of none are left out.
    pub fn by_upstream(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for name in self.0.iter().filter_map(Outcome::upstream) {
            *counts.entry(name).or_default() += 1;
        }
        counts
    }

    /// How many outcomes satisfy `condition`.
    pub fn count(&self, condition: impl Fn(&Outcome) -> bool) -> usize {
        self.0.iter().filter(|outcome| condition(outcome)).count()
    }
}

impl std::ops::Deref for Outcomes {
    type Target = [Outcome];

    fn deref(&self) -> &[Outcome] {
        &self.0
    }
}

impl IntoIterator for Outcomes {
    type Item = Outcome;
    type IntoIter = std::vec::IntoIter<Outcome>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Client {
    /// Sends `count` requests, `concurrency` at a time, each as soon as the one
    /// before it is answered. `request` makes request number `n`.
    pub async fn load(
        &self,
        count: usize,
        concurrency: usize,
        request: impl Fn(usize) -> Request + Send + Sync + 'static,
    ) -> Outcomes {
        let started = Instant::now();
        let next = Arc::new(AtomicUsize::new(0));
        let request = Arc::new(request);
        let mut senders = JoinSet::new();
        for _ in 0..concurrency.clamp(1, count.max(1)) {
            let (client, next, request) = (self.clone(), next.clone(), request.clone());
            senders.spawn(async move {
                let mut outcomes = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return outcomes;
                    }
                    outcomes.push(client.timed(started, index, request(index)).await);
                }
            });
        }
        Outcomes::new(senders.join_all().await.into_iter().flatten().collect())
    }

    /// Sends `per_second` requests a second for `duration`, on schedule whether or
    /// not earlier ones are answered, and waits for the answers.
    pub async fn rate(
        &self,
        per_second: f64,
        duration: Duration,
        request: impl Fn(usize) -> Request,
    ) -> Outcomes {
        let started = Instant::now();
        let count = (per_second * duration.as_secs_f64()).round() as usize;
        let mut senders = JoinSet::new();
        for index in 0..count {
            let due = Duration::from_secs_f64(index as f64 / per_second);
            tokio::time::sleep_until((started + due).into()).await;
            let (client, request) = (self.clone(), request(index));
            senders.spawn(async move { client.timed(started, index, request).await });
        }
        Outcomes::new(senders.join_all().await)
    }

    async fn timed(&self, started: Instant, index: usize, request: Request) -> Outcome {
        let sent = Instant::now();
        let result = self.send(request).await;
        Outcome {
            index,
            at: sent - started,
            latency: sent.elapsed(),
            result,
        }
    }
}
