//! Failures are retried by the hop right above them and by no other.

use meshpack_sdk::metrics::Counter;
use meshpack_sdk::{HostError, ResponseHeaders};

use crate::filter::response::{self, RATELIMITED};
use crate::policy::{FailedHops, Micros, RequestId, Store};

/// Marks answers that a hop further down has already retried.
#[derive(Debug)]
pub(crate) struct Amplification {
    marked: Counter,
}

impl Amplification {
    pub(crate) fn new() -> Result<Self, HostError> {
        Ok(Self {
            marked: Counter::define(crate::record::MARKED.name)?,
        })
    }

    /// Whether the hop above must not retry this answer: it failed, and this
    /// stream, or another one of the same request that began later in this proxy
    /// (the call that the application made for it), was retried in vain.
    pub(crate) fn must_stop(
        &self,
        cx: &mut ResponseHeaders<'_>,
        request: Option<RequestId>,
        began: Micros,
        now: impl FnOnce() -> Micros,
        store: &dyn Store,
    ) -> bool {
        if !response::is_failure(cx) {
            return false;
        }
        let failed_hops = FailedHops::new(store);
        if response::is_final_here(cx) {
            if let Some(request) = request {
                failed_hops.record(request, now());
            }
            return true;
        }
        request.is_some_and(|request| failed_hops.failed_since(request, began))
    }

    /// Marks the answer for every stock Envoy above.
    pub(crate) fn mark(&self, cx: &mut ResponseHeaders<'_>) {
        if response::is_marked(cx) {
            return;
        }
        match cx.set_header(RATELIMITED, b"true") {
            Ok(()) => self.marked.add(1),
            Err(error) => log::warn!("retry_budget: an answer could not be marked: {error}"),
        }
    }

    /// Counts an answer of this filter's own that carries the mark.
    pub(crate) fn count(&self) {
        self.marked.add(1);
    }
}
