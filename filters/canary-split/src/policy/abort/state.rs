//! What the workers of a proxy share about one split's abort.

use std::time::Duration;

use super::clients::Clients;
use super::places::Places;
use super::settings::AbortConfig;
use super::steady::{Demands, Steady};
use super::sudden::Sudden;
use super::suspects::{Suspected, Suspects};
use super::{Batch, Side};

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
    pub(super) suspects: Suspects,
    pub(super) places: Places,
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
            *self = Self {
                places: std::mem::take(&mut self.places),
                ..Self::default()
            };
        }
        if self.is_gone(now, batch) {
            return Some(self.trip(config, now, Trip::NoEndpoint));
        }
        let demands = Demands {
            threshold: -config.false_positive_rate.ln(),
            min_effect: config.min_effect,
        };
        self.sudden.advance(now, &self.steady.burstiness);
        self.steady.advance(now, demands);
        for &(stratum, [canary, baseline]) in &batch.successes {
            self.sudden.successes(stratum, canary, baseline);
            self.steady.successes(stratum, canary, baseline);
        }
        for ended in &batch.failures {
            let counts = ended.client.is_none_or(|client| self.clients.admit(client));
            if counts {
                let stratum = self.suspects.stratum(&ended.units);
                let compared = self.steady.block.has_baseline(stratum);
                self.sudden.failure(now, stratum, ended.side, compared);
                self.steady.failure(stratum, ended.side);
                self.suspects.note(&ended.units);
            }
        }
        let canary_failed = batch
            .failures
            .iter()
            .any(|ended| ended.side == Side::Canary);
        let enough = canary_failed && self.evidence(now, demands) >= demands.threshold;
        enough.then(|| self.trip(config, now, Trip::Failures))
    }

    /// What is suspected, for the strata of the requests to come.
    #[must_use]
    pub fn suspected(&self) -> Suspected {
        self.suspects.suspected()
    }

    /// Learns where requests went; whether the canary is gone.
    fn is_gone(&mut self, now: u64, batch: &Batch) -> bool {
        for &(side, place) in &batch.served {
            match side {
                Side::Canary => self.places.canary_served(place.cluster),
                Side::Baseline => self.places.baseline_served(place),
            }
        }
        if batch.successes.iter().any(|(_, [canary, _])| *canary > 0) {
            self.places.succeeded = now;
        }
        for (side, place) in &batch.empty {
            if *side == Side::Baseline {
                self.places.baseline_went_to(place.cluster);
            }
        }
        let mut empty = batch.empty.iter().filter(|(side, _)| *side == Side::Canary);
        empty.any(|(_, place)| self.places.is_gone(now, *place))
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
            places: std::mem::take(&mut self.places),
            ..Self::default()
        };
        trip
    }
}
