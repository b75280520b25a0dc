//! What a worker has seen since it last told the others.

#[cfg(test)]
use super::Outcome;
use super::Side;
use super::places::Place;
use super::suspects::Suspected;
use super::units::Units;

/// A batch holds at most this many failures; more say nothing new.
const MAX_FAILURES: usize = 256;
/// and this many strata of successes, and places.
const MAX_STRATA: usize = 32;

/// A request whose end is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its arm.
    pub side: Side,
    /// Hash of the client's key, when it has one.
    pub client: Option<u32>,
    /// What it has in common with others.
    pub units: Units,
}

/// Ends of requests, not yet shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Of the canary and of the baseline, by stratum.
    pub(super) successes: Vec<(u32, [u32; 2])>,
    /// In order.
    pub(super) failures: Vec<Ended>,
    /// Where requests found no endpoint.
    pub(super) empty: Vec<(Side, Place)>,
    /// Where some of the successful ones went.
    pub(super) served: Vec<(Side, Place)>,
}

impl Batch {
    /// Notes a request that went well.
    pub fn success(&mut self, ended: &Ended, suspected: &Suspected) {
        let stratum = suspected.stratum(&ended.units);
        let known = self.successes.iter().position(|(key, _)| *key == stratum);
        let at = known.unwrap_or_else(|| {
            if self.successes.len() < MAX_STRATA {
                self.successes.push((stratum, [0, 0]));
            }
            self.successes.len() - 1
        });
        if let Some((key, [canary, baseline])) = self.successes.get_mut(at)
            && *key == stratum
        {
            let count = match ended.side {
                Side::Canary => canary,
                Side::Baseline => baseline,
            };
            *count = count.saturating_add(1);
        }
    }

    /// Notes a request that failed.
    pub fn failure(&mut self, ended: Ended) {
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(ended);
        }
    }

    /// Notes a request that found no endpoint.
    pub fn no_endpoint(&mut self, ended: Ended, cluster: u32) {
        let head = ended.units.head();
        if self.empty.len() < MAX_STRATA {
            self.empty.push((ended.side, Place { cluster, head }));
        }
        self.failure(ended);
    }

    /// Notes where a successful request went; some of them are enough.
    pub fn served(&mut self, ended: &Ended, cluster: u32) {
        let head = ended.units.head();
        if self.served.len() < MAX_STRATA {
            self.served.push((ended.side, Place { cluster, head }));
        }
    }

    /// Notes the end of a request for which nothing but its outcome is known.
    #[cfg(test)]
    pub(super) fn note(&mut self, side: Side, outcome: Outcome, client: Option<u32>) {
        let units = Units::default();
        let ended = Ended {
            side,
            client,
            units,
        };
        match outcome {
            Outcome::Unknown => {}
            Outcome::NoEndpoint => self.no_endpoint(ended, 1),
            Outcome::Success => self.success(&ended, &Suspected::default()),
            Outcome::Failure => self.failure(ended),
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
        !self.failures.is_empty()
    }
}
