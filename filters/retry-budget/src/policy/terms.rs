//! What a budget allows.

use std::fmt;
use std::time::Duration;

/// A percentage, exact to a thousandth of a percent, from 0 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent {
    thousandths: u32,
}

impl Percent {
    /// The largest percentage a budget may have: ten retries a request.
    pub const MAX: u32 = 1000;

    /// Thousandths of a percent in one whole.
    const WHOLE: u32 = 100_000;

    /// A whole percentage; `None` above [`Percent::MAX`].
    #[must_use]
    pub const fn whole(percent: u32) -> Option<Self> {
        if percent > Self::MAX {
            return None;
        }
        Some(Self {
            thousandths: percent * 1000,
        })
    }

    /// A percentage as a configuration writes it. `None` when it is out of range
    /// or has more than three decimals, which could not be held exactly.
    #[must_use]
    pub fn from_number(percent: f64) -> Option<Self> {
        let thousandths = (percent * 1000.0).round();
        // Exact enough: doubles keep 0..1000 with three decimals apart by far.
        let held = (thousandths / 1000.0 - percent).abs() < 1e-9;
        (held && (0.0..=f64::from(Self::MAX * 1000)).contains(&thousandths)).then_some(Self {
            thousandths: thousandths as u32,
        })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.thousandths) / 1000.0)
    }
}

/// How many retries a number of requests pays for, as two whole numbers: each
/// request brings `earns`, each retry takes `costs`. Nothing is divided until
/// the two sums are compared, so no ratio is ever truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What one request brings.
    pub earns: u32,
    /// What one retry takes; 0 when retries are free.
    pub costs: u32,
}

impl Share {
    /// Retries are at most `percent` of requests.
    #[must_use]
    pub const fn of_requests(percent: Percent) -> Self {
        Self {
            earns: percent.thousandths,
            costs: Percent::WHOLE,
        }
    }

    /// Retries are at most `percent` (0 to 100) of everything, themselves
    /// included: r <= p (f + r) is the same as r (1 - p) <= p f, so only first
    /// attempts need to be counted as earning.
    #[must_use]
    pub const fn of_attempts(percent: Percent) -> Self {
        Self {
            earns: percent.thousandths,
            costs: Percent::WHOLE.saturating_sub(percent.thousandths),
        }
    }

    /// What is left after `requests` and `retries`; negative when overdrawn.
    #[must_use]
    pub fn left(&self, requests: u64, retries: u64) -> i64 {
        let earned = requests.saturating_mul(u64::from(self.earns));
        let spent = retries.saturating_mul(u64::from(self.costs));
        saturating_i64(earned).saturating_sub(saturating_i64(spent))
    }

    /// Whole retries that `left` pays for.
    #[must_use]
    pub fn retries(&self, left: i64) -> i64 {
        match self.costs {
            0 => i64::from(u32::MAX),
            costs => left.div_euclid(i64::from(costs)),
        }
    }
}

fn saturating_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Retries that are allowed however few the requests are: at most `count` in any
/// `interval`. A rate, not a reserve: nothing of it can be saved up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// Retries in any one `interval`.
    pub count: u32,
    /// Over how long they are counted.
    pub interval: Duration,
}

/// The terms of one budget: in any `interval`, retries are at most the larger of
/// the share of the requests in it and what the floor gives over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Retries that requests pay for.
    pub share: Share,
    /// The sliding interval over which both are counted.
    pub interval: Duration,
    /// What is allowed in any case.
    pub floor: Floor,
}

impl Terms {
    /// What the floor adds up to over [`Terms::interval`]. Where the floor's own
    /// interval is the longer one, its count.
    #[must_use]
    pub fn floor_over_interval(&self) -> u64 {
        let floor = self.floor.interval.as_micros().max(1);
        let longer = self.interval.as_micros().max(floor);
        let whole = u128::from(self.floor.count) * longer / floor;
        u64::try_from(whole).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(value: f64) -> Percent {
        Percent::from_number(value).unwrap()
    }

    #[test]
    fn every_percent_from_0_to_1000_is_exact() {
        for whole in 0..=Percent::MAX {
            let share = Share::of_requests(Percent::whole(whole).unwrap());
            assert_eq!(
                share,
                Share::of_requests(percent(f64::from(whole))),
                "{whole}%"
            );
            assert_eq!(share.retries(share.left(100, 0)), i64::from(whole));
            assert_eq!(
                share.retries(share.left(1_000_003, 0)),
                i64::from(whole) * 1_000_003 / 100,
                "{whole}%"
            );
        }
    }

    #[test]
    fn decimals_are_exact_to_a_thousandth_and_refused_beyond() {
        let share = Share::of_requests(percent(0.1));
        assert_eq!(share.retries(share.left(999, 0)), 0);
        assert_eq!(share.retries(share.left(1000, 0)), 1);
        assert_eq!(percent(12.345).thousandths, 12_345);
        assert_eq!(Percent::from_number(0.0001), None);
        assert_eq!(Percent::from_number(-1.0), None);
        assert_eq!(Percent::from_number(1000.001), None);
        assert_eq!(Percent::from_number(f64::NAN), None);
    }

    #[test]
    fn a_share_of_attempts_counts_the_retries_too() {
        let share = Share::of_attempts(percent(20.0));
        // 25 retries beside 100 first attempts are 20 % of 125.
        assert_eq!(share.retries(share.left(100, 0)), 25);
        assert_eq!(share.retries(share.left(100, 25)), 0);
        let all = Share::of_attempts(percent(100.0));
        assert!(all.retries(all.left(0, 1_000_000)) > 0);
        let none = Share::of_attempts(percent(0.0));
        assert_eq!(none.retries(none.left(1_000_000, 0)), 0);
    }

    #[test]
    fn the_floor_scales_to_the_interval_but_never_below_its_count() {
        let floor = |interval: u64, count: u32, floor: u64| {
            Terms {
                share: Share::of_requests(percent(20.0)),
                interval: Duration::from_millis(interval),
                floor: Floor {
                    count,
                    interval: Duration::from_millis(floor),
                },
            }
            .floor_over_interval()
        };
        assert_eq!(floor(10_000, 10, 1000), 100);
        assert_eq!(floor(10_000, 1, 3000), 3);
        assert_eq!(floor(1000, 10, 60_000), 10);
        assert_eq!(floor(10_000, 0, 1000), 0);
    }
}
