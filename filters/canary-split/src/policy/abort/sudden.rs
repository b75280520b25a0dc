//! The canary that fails (nearly) every request: caught within seconds.

use super::Side;
use super::burstiness::Burstiness;
use super::evidence::Hypothesis;
use super::strata::Strata;

/// It fails, and the baseline does not. One success of the canary outweighs
/// several failures.
const DEAD: Hypothesis = Hypothesis::Broken { r: 1000.0, s: 0.02 };

/// A slot lasts at least this long, milliseconds,
const SLOT_MIN_MILLIS: u64 = 250;
/// and until both sides have this many requests in it,
const SLOT_REQUESTS: u32 = 4;
/// but not longer than this, milliseconds.
const SLOT_MAX_MILLIS: u64 = 10_000;

/// Nothing is decided before this many failures in a row,
const RUN_FAILURES: u32 = 18;
/// or, where requests are few, failures in a row for this long, milliseconds.
const RUN_MILLIS: u64 = 4_000;

/// Log of the e-value of [`DEAD`], from slot to slot, and the current run of
/// failures. Times are milliseconds since the Unix epoch.
///
/// The log never falls below 0: a canary that was healthy for days and then dies
/// must not have to use up its credit first.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sudden {
    pub(super) log: f64,
    pub(super) slot_start: u64,
    pub(super) slot: Strata,
    pub(super) run: u32,
    pub(super) run_start: u64,
}

impl Sudden {
    /// Closes the slot if it is over.
    pub(super) fn advance(&mut self, now: u64, burstiness: &Burstiness) {
        let age = now.abs_diff(self.slot_start);
        let compared = self.slot.compared();
        let full = compared.canary.requests >= SLOT_REQUESTS
            && compared.baseline.requests >= SLOT_REQUESTS;
        if age >= SLOT_MAX_MILLIS || (age >= SLOT_MIN_MILLIS && full) {
            self.log = self.log_with_slot(burstiness).max(0.0);
            self.slot = Strata::default();
            self.slot_start = now;
        }
    }

    pub(super) fn successes(&mut self, stratum: u32, canary: u32, baseline: u32) {
        for (side, requests) in [(Side::Canary, canary), (Side::Baseline, baseline)] {
            if requests > 0 {
                self.slot.add(stratum, side, requests, 0);
            }
        }
        if canary > 0 {
            self.run = 0;
        }
    }

    /// Notes a failure; only those beside which the baseline has requests to
    /// compare with make a run.
    pub(super) fn failure(&mut self, now: u64, stratum: u32, side: Side, compared: bool) {
        self.slot.add(stratum, side, 1, 1);
        if side == Side::Canary && compared {
            if self.run == 0 {
                self.run_start = now;
            }
            self.run = self.run.saturating_add(1);
        }
    }

    /// Log of the e-value, if the run is long enough to look at it.
    pub(super) fn verdict(&self, now: u64, burstiness: &Burstiness) -> Option<f64> {
        let long = self.run >= RUN_FAILURES
            || (self.run > 0 && now.saturating_sub(self.run_start) >= RUN_MILLIS);
        long.then(|| self.log_with_slot(burstiness))
    }

    fn log_with_slot(&self, burstiness: &Burstiness) -> f64 {
        let gain: f64 = self
            .slot
            .counts()
            .map(|counts| DEAD.gain(counts, 1.0))
            .sum();
        self.log + gain / burstiness.discount_of_runs()
    }
}
