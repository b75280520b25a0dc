//! The inbound side: how large a share of what arrives may be retries.

use meshpack_sdk::HeaderMap;
use meshpack_sdk::{HostError, LocalReply};

use crate::config::SERVER;
use crate::core::{Account, Ledger, Micros, Store, Terms};
use crate::metrics::Metrics;
use crate::response::RATELIMITED;

/// Which attempt of its request this is; Envoy and Istio send it by default on
/// what they forward.
const ATTEMPT_COUNT: &[u8] = b"x-envoy-attempt-count";

/// The `server` part, running on one worker.
#[derive(Debug)]
pub(crate) struct Server {
    account: Account,
    metrics: Metrics,
}

impl Server {
    pub(crate) fn new(terms: &Terms, worker: u64) -> Result<Self, HostError> {
        let name = format!(
            "server.{}.{}",
            terms.interval.as_micros(),
            terms.floor.interval.as_micros()
        );
        let metrics = Metrics::define(SERVER)?;
        metrics.show_balance(Ledger::new(terms).room().retries);
        Ok(Self {
            account: Account::new(name, terms, worker),
            metrics,
        })
    }

    /// Counts an attempt, and answers it if it is a retry beyond the share.
    /// A first attempt is never refused.
    pub(crate) fn refuse(
        &mut self,
        headers: &HeaderMap<'_>,
        now: Micros,
        store: &dyn Store,
    ) -> Option<LocalReply> {
        self.metrics.requests.add(1);
        if !is_retry(headers) {
            self.account.arrive(now, 0, store);
            return None;
        }
        if self.account.take(now, 1, store) == 1 {
            self.account.finish(now, 1, 1, || now, store);
            self.metrics.retries.add(1);
            return None;
        }
        self.metrics.denied.add(1);
        let reply = LocalReply::new(503, "retry_share_exceeded").body("too many retries");
        // The one answer that stock Envoys do not retry.
        Some(reply.clone().header(RATELIMITED, "true").unwrap_or(reply))
    }

    pub(crate) fn tick(&mut self, now: Micros, store: &dyn Store) {
        if let Some(balance) = self.account.tick(now, store) {
            self.metrics.show_balance(balance);
        }
    }

    pub(crate) fn close(&mut self, now: Micros, store: &dyn Store) {
        self.account.close(now, store);
    }
}

/// Whether the hop that sent this request has sent it before. What does not say
/// so is a first attempt.
#[must_use]
pub fn is_retry(headers: &HeaderMap<'_>) -> bool {
    let attempt = headers.get(ATTEMPT_COUNT).and_then(attempt_number);
    attempt.is_some_and(|attempt| attempt > 1)
}

fn attempt_number(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}
