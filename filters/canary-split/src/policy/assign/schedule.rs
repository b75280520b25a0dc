//! Weights over time.

use std::time::Duration;

use super::{Allocation, Hash, Share};

/// How a ramp's weight moves between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interpolation {
    /// It stays until the next step.
    #[default]
    Step,
    /// It moves evenly, second by second.
    Linear,
}

/// From `after` on, the ramped arm has this weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Time since the ramp's start.
    pub after: Duration,
    /// Millionths of the split's traffic.
    pub weight: u64,
}

/// An arm whose weight changes with time; the first arm gives and takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ramp {
    /// Position of the ramped arm; not the first.
    pub arm: usize,
    /// Time since the Unix epoch; before it the arm gets nothing.
    pub start: Duration,
    /// Ascending by `after`.
    pub steps: Vec<Step>,
    /// What happens between steps.
    pub interpolation: Interpolation,
}

const MILLION: u64 = 1_000_000;

impl Ramp {
    /// The weight at a time, in millionths, and until when it is in force
    /// (`None`: for ever).
    #[must_use]
    pub fn weight_at(&self, now: Duration) -> (u64, Option<Duration>) {
        let Some(elapsed) = now.checked_sub(self.start) else {
            return (0, Some(self.start));
        };
        let next = self.steps.iter().find(|step| elapsed < step.after);
        let current = self.steps.iter().rev().find(|step| step.after <= elapsed);
        let current = current.copied().unwrap_or(Step {
            after: Duration::ZERO,
            weight: 0,
        });
        match (next, self.interpolation) {
            (None, _) => (current.weight, None),
            (Some(next), Interpolation::Step) => (current.weight, Some(self.start + next.after)),
            (Some(next), Interpolation::Linear) => {
                // Whole seconds, so that all proxies change at the same moments.
                let second = Duration::from_secs(elapsed.as_secs()).max(current.after);
                let span = (next.after - current.after).as_millis().max(1) as i128;
                let done = (second - current.after).as_millis() as i128;
                let (from, to) = (i128::from(current.weight), i128::from(next.weight));
                let weight = from + (to - from) * done / span;
                let until = Duration::from_secs(elapsed.as_secs() + 1).min(next.after);
                (
                    u64::try_from(weight).unwrap_or(0).min(MILLION),
                    Some(self.start + until),
                )
            }
        }
    }
}

/// The allocation in force, recomputed when a ramp moves.
#[derive(Debug, Clone)]
pub struct Schedule {
    hash: Hash,
    /// Shares of the arms behind the first, as configured.
    shares: Vec<Share>,
    ramp: Option<Ramp>,
    current: Allocation,
    /// When `current` holds: from, until. `None` when it holds for ever.
    holds: Option<(Duration, Duration)>,
}

impl Schedule {
    /// A schedule; `shares` are those of the arms behind the first.
    #[must_use]
    pub fn new(hash: Hash, shares: Vec<Share>, ramp: Option<Ramp>) -> Self {
        let current = Allocation::new(hash, &shares);
        let holds = ramp.as_ref().map(|_| (Duration::ZERO, Duration::ZERO));
        Self {
            hash,
            shares,
            ramp,
            current,
            holds,
        }
    }

    /// The allocation in force. The clock is read only while a ramp is under way.
    pub fn allocation(&mut self, now: impl FnOnce() -> Duration) -> &Allocation {
        if let (Some((from, until)), Some(ramp)) = (self.holds, &self.ramp) {
            let now = now();
            if now < from || now >= until {
                let (weight, until) = ramp.weight_at(now);
                self.holds = until.map(|until| (now, until));
                let shares = ramped(&self.shares, ramp.arm, weight);
                self.current = Allocation::new(self.hash, &shares);
            }
        }
        &self.current
    }

    /// The weights of all arms at a time, in millionths, the first one included.
    #[must_use]
    pub fn weights(&self, now: Duration) -> Vec<u64> {
        let shares = match &self.ramp {
            Some(ramp) => ramped(&self.shares, ramp.arm, ramp.weight_at(now).0),
            None => self.shares.clone(),
        };
        let mut weights = vec![0];
        weights.extend(shares.iter().map(|share| rounded_millionths(*share)));
        let first = MILLION.saturating_sub(weights.iter().sum());
        if let Some(weight) = weights.first_mut() {
            *weight = first;
        }
        weights
    }

    /// Whether the weights still move.
    #[must_use]
    pub fn has_ramp(&self) -> bool {
        self.ramp.is_some()
    }
}

fn rounded_millionths(share: Share) -> u64 {
    share.of(2 * MILLION).div_ceil(2)
}

fn ramped(shares: &[Share], arm: usize, weight: u64) -> Vec<Share> {
    let mut shares = shares.to_vec();
    if let Some(share) = arm.checked_sub(1).and_then(|at| shares.get_mut(at)) {
        *share = Share {
            part: weight,
            whole: MILLION,
        };
    }
    shares
}
