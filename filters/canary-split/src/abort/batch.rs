//! What a worker has seen since it last told the others.

use super::{Outcome, Side};

/// A batch holds at most this many failures; more say nothing new.
const MAX_FAILURES: usize = 256;

/// Ends of requests, not yet shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Of the canary and of the baseline.
    pub(super) successes: [u32; 2],
    /// In order, with the client's hash if it has one.
    pub(super) failures: Vec<(Side, Option<u32>)>,
    pub(super) no_endpoint: bool,
}

impl Batch {
    /// Notes the end of a request.
    pub fn note(&mut self, side: Side, outcome: Outcome, client: Option<u32>) {
        match (outcome, side) {
            (Outcome::Unknown, _) => {}
            (Outcome::NoEndpoint, Side::Canary) => self.no_endpoint = true,
            (Outcome::Success, _) => {
                let [canary, baseline] = &mut self.successes;
                let count = match side {
                    Side::Canary => canary,
                    Side::Baseline => baseline,
                };
                *count = count.saturating_add(1);
            }
            (Outcome::Failure | Outcome::NoEndpoint, _) => {
                if self.failures.len() < MAX_FAILURES {
                    self.failures.push((side, client));
                }
            }
        }
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the others should hear of it now rather than on the tick.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.no_endpoint || !self.failures.is_empty()
    }
}
