//! Taking a failing canary out: decided inside the proxy, from what passes
//! through it.
//!
//! The question is whether failures are tied to the arm or to chance. Five
//! things keep chance from looking like a bad canary:
//!
//! * sequential tests that stay valid although they are looked at after every
//!   failure (`evidence`): one for the canary that is dead (`sudden`), one
//!   for the canary that is merely worse (`steady`);
//! * one client that fails again and again counts at most twice (`clients`):
//!   stickiness puts all its failures into one arm;
//! * arms are compared within what failures have in common (`suspects`, `strata`):
//!   an address, a host, a path or a beginning of one that has failed twice is
//!   from then on compared with itself in the other arm, so what is sent to one
//!   arm only, by whoever can compute its ids, decides nothing;
//! * failures that come in bursts weigh less, by the burstiness measured on the
//!   baseline (`burstiness`);
//! * no single burst decides, unless nothing succeeds any more.

mod batch;
mod burstiness;
mod clients;
mod codec;
mod evidence;
mod outcome;
mod places;
mod settings;
mod state;
mod steady;
mod strata;
mod sudden;
mod suspects;
mod units;

pub use batch::{Batch, Ended};
pub use outcome::{Observation, Outcome, classify};
pub use settings::{AbortConfig, FailureClasses};
pub use state::{State, Trip};
pub use suspects::Suspected;
pub use units::Units;

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod attacks;
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod simulation;
#[cfg(test)]
mod tests;

/// The two sides of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The arm under suspicion.
    Canary,
    /// The arm it is compared with.
    Baseline,
}

/// Requests and failures of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    canary: Tally,
    baseline: Tally,
}

/// Requests of one side and how many of them failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tally {
    requests: u32,
    failures: u32,
}

impl Counts {
    /// Whether both arms have requests.
    fn compares(&self) -> bool {
        self.canary.requests > 0 && self.baseline.requests > 0
    }

    fn side(&mut self, side: Side) -> &mut Tally {
        match side {
            Side::Canary => &mut self.canary,
            Side::Baseline => &mut self.baseline,
        }
    }
}

impl Tally {
    fn add(&mut self, requests: u32, failures: u32) {
        self.requests = self.requests.saturating_add(requests);
        self.failures = self.failures.saturating_add(failures);
    }
}
