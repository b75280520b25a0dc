//! What the workers of a proxy share about one split's abort.

use std::time::Duration;

use super::clients::Clients;
use super::steady::{Demands, Steady};
use super::sudden::Sudden;
use super::{Batch, Side};
use crate::config::AbortConfig;

/// Why a canary was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trip {
    /// It has no endpoint that could take a request.
    NoEndpoint,
    /// It fails more often than chance explains.
    Failures,
}

/// What the workers share.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// End of the latch, milliseconds since the Unix epoch; 0 when it is open.
    pub(super) latched_until: u64,
    pub(super) sudden: Sudden,
    pub(super) steady: Steady,
    pub(super) clients: Clients,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl State {
    /// Whether the canary is out at `now`.
    #[must_use]
    pub fn is_latched(&self, now: Duration) -> bool {
        millis(now) < self.latched_until
    }

    /// Takes in what a worker has seen. Returns why the canary was taken out, if
    /// this batch did it.
    pub fn absorb(&mut self, config: &AbortConfig, now: Duration, batch: &Batch) -> Option<Trip> {
        let now = millis(now);
        if now < self.latched_until {
            // Stragglers of the time before the abort.
            return None;
        }
        if self.latched_until != 0 {
            *self = Self::default();
        }
        if batch.no_endpoint {
            return Some(self.trip(config, now, Trip::NoEndpoint));
        }
        let demands = Demands {
            threshold: -config.false_positive_rate.ln(),
            min_effect: config.min_effect,
        };
        self.sudden.advance(now, &self.steady.burstiness);
        self.steady.advance(now, demands);
        let [canary, baseline] = batch.successes;
        self.sudden.successes(canary, baseline);
        self.steady.successes(canary, baseline);
        for &(side, client) in &batch.failures {
            if client.is_none_or(|client| self.clients.admit(client)) {
                self.sudden.failure(now, side);
                self.steady.failure(side);
            }
        }
        let canary_failed = batch.failures.iter().any(|(side, _)| *side == Side::Canary);
        let enough = canary_failed && self.evidence(now, demands) >= demands.threshold;
        enough.then(|| self.trip(config, now, Trip::Failures))
    }

    /// Log of the mixture of both tests, evenly believed in.
    fn evidence(&self, now: u64, demands: Demands) -> f64 {
        let steady = self.steady.verdict(demands);
        let sudden = self.sudden.verdict(now, &self.steady.burstiness);
        let sudden = sudden.unwrap_or(f64::NEG_INFINITY);
        let larger = steady.max(sudden);
        larger + ((steady - larger).exp() + (sudden - larger).exp()).ln() - 2.0_f64.ln()
    }

    fn trip(&mut self, config: &AbortConfig, now: u64, trip: Trip) -> Trip {
        *self = Self {
            latched_until: now.saturating_add(millis(config.cooldown)).max(1),
            ..Self::default()
        };
        trip
    }
}
