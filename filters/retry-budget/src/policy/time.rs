//! Time as the core sees it.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Microseconds since some fixed moment, the same for all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Micros(pub u64);

impl From<Duration> for Micros {
    fn from(duration: Duration) -> Self {
        // Not `as_micros`: 128 bits cost a call each on wasm32.
        let seconds = duration.as_secs().saturating_mul(1_000_000);
        Self(seconds.saturating_add(u64::from(duration.subsec_micros())))
    }
}

impl Add<Duration> for Micros {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::from(duration).0))
    }
}

impl Sub for Micros {
    type Output = Duration;

    /// Zero when `earlier` is later: clocks of a machine may be set back.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}
