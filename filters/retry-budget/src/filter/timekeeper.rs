//! The time, asked of the host no more often than it matters.

use std::cell::Cell;
use std::time::Duration;

use meshpack_sdk::clock;

use crate::policy::Micros;

/// How much earlier than they came arrivals may be dated while they keep coming: a
/// third of the shortest slot that a budget of ten seconds tells apart.
const CLOSE_ENOUGH: Duration = Duration::from_millis(31);

/// Most arrivals that share one reading.
const MOST: u64 = 64;

/// One worker's clock. A reading costs about as much as all that is computed for a
/// request, so arrivals that are expected within [`CLOSE_ENOUGH`] of each other
/// share one. Should they stop in between, the next of them are dated up to a
/// second early, until the tick; never late. That moves requests and their retries
/// together, so it changes no share of them.
#[derive(Debug, Default)]
pub(crate) struct Timekeeper {
    read: Cell<Micros>,
    /// Arrivals that may still share the reading.
    left: Cell<u64>,
    /// Arrivals since `counted_from`, and when that was.
    count: Cell<u64>,
    counted_from: Cell<Micros>,
}

impl Timekeeper {
    /// The time.
    pub(crate) fn now(&self) -> Micros {
        let now = clock::now().into();
        self.read.set(now);
        now
    }

    /// The time, of which a request that arrives just before the next tick must not
    /// be told what it was before this one.
    pub(crate) fn tick(&self) -> Micros {
        self.left.set(0);
        self.now()
    }

    /// The time of a request that arrives now, or shortly before.
    pub(crate) fn arrival(&self) -> Micros {
        self.count.set(self.count.get() + 1);
        let left = self.left.get();
        if left > 0 {
            self.left.set(left - 1);
            return self.read.get();
        }
        let now = self.now();
        let elapsed = now - self.counted_from.replace(now);
        let count = self.count.replace(0);
        let expected = u128::from(count) * CLOSE_ENOUGH.as_micros() / elapsed.as_micros().max(1);
        let expected = u64::try_from(expected).unwrap_or(MOST);
        // Twice as many at most: one burst is no rate.
        self.left
            .set(expected.min(2 * count).min(MOST).saturating_sub(1));
        now
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use meshpack_sdk::mock::MockHost;

    use super::*;

    const START: Duration = Duration::from_secs(1_700_000_000);

    /// Arrivals `every` so often for a second, with readings and the largest error.
    fn second(time: &Timekeeper, every: Duration) -> (usize, Duration) {
        let mut worst = Duration::ZERO;
        MockHost::reset_calls();
        let count = (1_000_000 / every.as_micros()) as u32;
        for _ in 0..count {
            MockHost::advance(every);
            let now = Micros::from(clock::now());
            let dated = time.arrival();
            assert!(dated <= now, "never late");
            worst = worst.max(now - dated);
        }
        (MockHost::calls("now") - count as usize, worst)
    }

    fn keeper() -> Timekeeper {
        MockHost::reset();
        MockHost::set_time(START);
        let time = Timekeeper::default();
        time.tick();
        time
    }

    #[test]
    fn few_arrivals_are_dated_exactly() {
        let time = keeper();
        let (readings, worst) = second(&time, Duration::from_millis(40));
        assert_eq!((readings, worst), (25, Duration::ZERO));
    }

    #[test]
    fn many_arrivals_share_readings_and_stay_close() {
        let time = keeper();
        second(&time, Duration::from_millis(2));
        let (readings, worst) = second(&time, Duration::from_millis(2));
        assert!((30..=40).contains(&readings), "{readings}");
        assert!(worst <= CLOSE_ENOUGH, "{worst:?}");
    }

    #[test]
    fn a_tick_ends_what_is_shared() {
        let time = keeper();
        second(&time, Duration::from_micros(100));
        MockHost::advance(Duration::from_secs(1));
        time.tick();
        MockHost::advance(Duration::from_millis(500));
        assert_eq!(time.arrival(), Micros::from(clock::now()));
        let (_, worst) = second(&time, Duration::from_millis(100));
        assert_eq!(
            worst,
            Duration::ZERO,
            "one slow arrival and the pace is known"
        );
    }

    #[test]
    fn a_burst_after_silence_is_no_rate() {
        let time = keeper();
        MockHost::advance(Duration::from_secs(60));
        time.tick();
        for _ in 0..3 {
            time.arrival();
        }
        assert!(time.left.get() <= 4, "{}", time.left.get());
    }
}
