//! Log lines that a client can cause, so many a second and no more.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

/// Lets through so many lines in each period, and counts what it leaves out.
///
/// Whoever can cause a line can cause a million; the log would hold nothing else
/// then, and writing it would be the worker's main work.
///
/// ```
/// use meshpack_sdk::LogLimit;
/// use std::time::Duration;
///
/// const SECOND: Duration = Duration::from_secs(1);
/// let limit = LogLimit::new(2, SECOND);
/// let lines: Vec<bool> = (0..5).map(|_| limit.admit(SECOND).is_some()).collect();
/// assert_eq!(lines, [true, true, false, false, false]);
/// assert_eq!(limit.admit(2 * SECOND).unwrap().to_string(), " (3 more were left out)");
/// ```
#[derive(Debug)]
pub struct LogLimit {
    most: u32,
    period: Duration,
    state: Cell<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// When the period began.
    since: Duration,
    written: u32,
    left_out: u64,
}

/// How many lines were left out; shown as the end of the next line, as nothing if
/// there were none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut(pub u64);

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more were left out)"),
        }
    }
}

impl LogLimit {
    /// At most `most` lines in each `period`.
    #[must_use]
    pub const fn new(most: u32, period: Duration) -> Self {
        Self {
            most,
            period,
            state: Cell::new(State {
                since: Duration::ZERO,
                written: 0,
                left_out: 0,
            }),
        }
    }

    /// Whether a line may be written now, and how many were left out before it.
    pub fn admit(&self, now: Duration) -> Option<LeftOut> {
        let mut state = self.state.get();
        if self.is_over(state, now) {
            state.since = now;
            state.written = 0;
        }
        let admitted = if state.written < self.most {
            state.written += 1;
            Some(LeftOut(std::mem::take(&mut state.left_out)))
        } else {
            state.left_out += 1;
            None
        };
        self.state.set(state);
        admitted
    }

    /// How many lines a period that is over has left out, if that was not said
    /// yet. To be asked on the tick, because no further line may come.
    pub fn overdue(&self, now: Duration) -> Option<LeftOut> {
        let mut state = self.state.get();
        if state.left_out == 0 || !self.is_over(state, now) {
            return None;
        }
        let left_out = LeftOut(std::mem::take(&mut state.left_out));
        self.state.set(state);
        Some(left_out)
    }

    /// Also when the clock was set back.
    fn is_over(&self, state: State, now: Duration) -> bool {
        now < state.since || now.saturating_sub(state.since) >= self.period
    }
}

#[cfg(test)]
mod tests {
    use super::{LeftOut, LogLimit};
    use std::time::Duration;

    #[test]
    fn what_is_left_out_is_said_once() {
        let second = Duration::from_secs(1);
        let limit = LogLimit::new(1, second);
        assert_eq!(limit.admit(second), Some(LeftOut(0)));
        assert_eq!(limit.admit(second), None);
        assert_eq!(limit.overdue(second), None, "the period is not over");
        assert_eq!(limit.overdue(2 * second), Some(LeftOut(1)));
        assert_eq!(limit.overdue(2 * second), None);
        assert_eq!(limit.admit(2 * second), Some(LeftOut(0)));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_end_the_log() {
        let limit = LogLimit::new(1, Duration::from_secs(1));
        assert!(limit.admit(Duration::from_secs(1_000_000)).is_some());
        assert!(limit.admit(Duration::from_secs(5)).is_some());
        assert!(limit.admit(Duration::from_secs(5)).is_none());
    }

    proptest::proptest! {
        #[test]
        fn every_line_is_written_or_counted(steps in proptest::collection::vec(0_u64..400, 1..200)) {
            let limit = LogLimit::new(3, Duration::from_secs(1));
            let (mut now, mut written, mut counted) = (Duration::from_secs(7), 0, 0);
            for step in &steps {
                now += Duration::from_millis(*step);
                if let Some(LeftOut(count)) = limit.admit(now) {
                    written += 1;
                    counted += count;
                }
                if let Some(LeftOut(count)) = limit.overdue(now) {
                    counted += count;
                }
            }
            counted += limit.overdue(now + Duration::from_secs(2)).map_or(0, |left| left.0);
            proptest::prop_assert_eq!(written + counted, steps.len() as u64);
            let periods = (now.as_millis() - 7000) / 1000 + 2;
            proptest::prop_assert!(u128::from(written) <= 3 * periods);
        }
    }
}
