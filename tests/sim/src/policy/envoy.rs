//! Envoy's `retry_budget`, as its documentation and source have it.

/// At most `max(20 % of active requests, 3)` retries at the same time. A retry
/// counts from the moment it is scheduled, its pause included, until its outcome;
/// while it pauses it is not an active request.
#[derive(Debug, Default)]
pub(crate) struct Envoy {
    active: u64,
    retries: u64,
}

impl Envoy {
    pub(crate) fn send(&mut self) {
        self.active += 1;
    }

    pub(crate) fn outcome(&mut self, of_retry: bool) {
        self.active -= 1;
        self.retries -= u64::from(of_retry);
    }

    pub(crate) fn may_retry(&mut self) -> bool {
        let allowed = self.retries < (self.active / 5).max(3);
        self.retries += u64::from(allowed);
        allowed
    }
}
