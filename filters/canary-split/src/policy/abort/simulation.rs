//! Thousands of simulated canaries, seeded: how often a canary equal to its
//! baseline is aborted, and how soon a failing one is.

use std::collections::BinaryHeap;
use std::time::Duration;

use super::{Batch, Outcome, Side, State, Trip};
use crate::policy::abort::{AbortConfig, FailureClasses};

/// SplitMix64: the same runs on every machine.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In (0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    pub(super) fn poisson(&mut self, mean: f64) -> u32 {
        if mean > 30.0 {
            // Normal approximation; the counts are of successes only.
            let (a, b) = (self.unit(), self.unit());
            let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
            return (mean + normal * mean.sqrt()).round().max(0.0) as u32;
        }
        let limit = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product > limit {
            count += 1;
            product *= self.unit();
        }
        count
    }

    fn geometric(&mut self, mean: f64) -> u32 {
        if mean <= 1.0 {
            return 1;
        }
        1 + (self.unit().ln() / (1.0 - 1.0 / mean).ln()) as u32
    }
}

/// How failures come.
#[derive(Debug, Clone, Copy)]
enum Failures {
    /// Each on its own.
    Independent,
    /// One client fails several times within some seconds.
    ByClient { mean: f64, spread: f64 },
    /// Several clients of one arm fail within some seconds.
    ByArm { mean: f64, spread: f64 },
}

#[derive(Debug, Clone, Copy)]
struct World {
    /// Requests per second in both arms together.
    rps: f64,
    /// Part of them in the canary.
    share: f64,
    /// Failing part of the baseline's requests,
    baseline: f64,
    /// and of the canary's.
    canary: f64,
    failures: Failures,
    /// Every five minutes both arms fail ten times as often for half a minute.
    incidents: bool,
    /// When the canary begins to fail (seconds); before it is like the baseline.
    onset: f64,
}

const EQUAL: World = World {
    rps: 100.0,
    share: 0.05,
    baseline: 0.01,
    canary: 0.01,
    failures: Failures::Independent,
    incidents: false,
    onset: 0.0,
};

struct Caught {
    after: f64,
    failed: u32,
}

pub(super) fn config(rate: f64) -> AbortConfig {
    AbortConfig {
        arm: 1,
        baseline: 0,
        failures: FailureClasses::default(),
        false_positive_rate: rate,
        min_effect: 2.0,
        cooldown: Duration::from_secs(600),
    }
}

const TICK: f64 = 0.1;

/// One canary's life. `None` when it was never aborted.
fn live(world: &World, alpha: f64, seconds: f64, seed: u64) -> Option<Caught> {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let config = config(alpha);
    let mut state = State::default();
    let mut batch = Batch::default();
    let mut failed = 0;
    // Failures to come, soonest first: (-milliseconds, canary?, client).
    let mut coming: BinaryHeap<(i64, bool, u32)> = BinaryHeap::new();
    let start = 1_700_000_000_000_i64;
    for tick in 0..(seconds / TICK) as u64 {
        let now = tick as f64 * TICK;
        for (is_canary, side) in [(true, Side::Canary), (false, Side::Baseline)] {
            let part = if is_canary {
                world.share
            } else {
                1.0 - world.share
            };
            let own = if is_canary && now >= world.onset {
                world.canary
            } else {
                world.baseline
            };
            let burst = world.incidents && now % 300.0 < 30.0;
            let rate = (own * if burst { 10.0 } else { 1.0 }).min(1.0);
            let requests = world.rps * part * TICK;
            for _ in 0..random.poisson(requests * (1.0 - rate)) {
                batch.note(side, Outcome::Success, None);
            }
            let (mean, spread, one_client) = match world.failures {
                Failures::Independent => (1.0, TICK, true),
                Failures::ByClient { mean, spread } => (mean, spread, true),
                Failures::ByArm { mean, spread } => (mean, spread, false),
            };
            for _ in 0..random.poisson(requests * rate / mean) {
                let client = random.bits() as u32;
                for _ in 0..random.geometric(mean) {
                    let at = start + ((now + random.unit() * spread) * 1000.0) as i64;
                    let client = if one_client {
                        client
                    } else {
                        random.bits() as u32
                    };
                    coming.push((-at, is_canary, client));
                }
            }
        }
        let end = start + ((now + TICK) * 1000.0) as i64;
        while let Some((at, is_canary, client)) = coming.peek().copied()
            && -at < end
        {
            coming.pop();
            let side = if is_canary {
                Side::Canary
            } else {
                Side::Baseline
            };
            batch.note(side, Outcome::Failure, Some(client));
            failed += u32::from(is_canary && (-at - start) as f64 / 1000.0 >= world.onset);
            let now = Duration::from_millis(-at as u64);
            let trip = state.absorb(&config, now, &std::mem::take(&mut batch));
            if trip == Some(Trip::Failures) {
                let after = (-at - start) as f64 / 1000.0 - world.onset;
                return Some(Caught { after, failed });
            }
        }
        if tick % 10 == 9 {
            let now = Duration::from_millis(end as u64);
            let trip = state.absorb(&config, now, &std::mem::take(&mut batch));
            if trip.is_some() {
                return Some(Caught {
                    after: now.as_secs_f64() - start as f64 / 1000.0 - world.onset,
                    failed,
                });
            }
        }
    }
    None
}

/// The part of the runs in which the canary is aborted.
fn aborted(world: &World, alpha: f64) -> f64 {
    let aborted = (1..=RUNS).filter(|&seed| live(world, alpha, MINUTES * 60.0, seed).is_some());
    aborted.count() as f64 / RUNS as f64
}

/// Runs per scenario; the simulated minutes of each.
const RUNS: u64 = 2000;
const MINUTES: f64 = 10.0;

#[test]
fn a_canary_equal_to_its_baseline_is_not_aborted_when_errors_are_independent() {
    for (share, rps, rate) in [(0.05, 100.0, 0.01), (0.05, 100.0, 0.001), (0.5, 40.0, 0.05)] {
        let world = World {
            share,
            rps,
            baseline: rate,
            canary: rate,
            ..EQUAL
        };
        assert!(aborted(&world, 1e-3) <= 1e-3, "{world:?}");
    }
}

#[test]
fn nor_when_one_client_fails_again_and_again() {
    for (share, mean, rate) in [(0.05, 5.0, 0.01), (0.05, 20.0, 0.001), (0.5, 20.0, 0.01)] {
        let failures = Failures::ByClient { mean, spread: 10.0 };
        let world = World {
            share,
            baseline: rate,
            canary: rate,
            failures,
            ..EQUAL
        };
        assert!(aborted(&world, 1e-3) <= 1e-3, "{world:?}");
    }
}

#[test]
fn nor_when_both_arms_have_the_same_incidents() {
    let world = World {
        incidents: true,
        ..EQUAL
    };
    assert!(aborted(&world, 1e-3) <= 1e-3);
}

/// Bursts of many clients in one arm are what a bad canary looks like, too; the
/// measured burstiness keeps them rare, not impossible.
#[test]
fn and_rarely_when_errors_of_many_clients_come_in_bursts() {
    for (share, mean, spread, most) in [
        (0.05, 5.0, 5.0, 1e-3),
        (0.05, 20.0, 10.0, 0.01),
        (0.5, 20.0, 10.0, 0.01),
    ] {
        let failures = Failures::ByArm { mean, spread };
        let world = World {
            share,
            failures,
            ..EQUAL
        };
        let part = aborted(&world, 1e-6);
        assert!(part <= most, "{part} of {world:?}");
    }
}

/// Median, 95th percentile and worst of seconds and failed requests.
fn caught(world: &World) -> ([f64; 3], [u32; 3]) {
    let runs: Vec<Caught> = (1..=300)
        .map(|seed| live(world, 1e-6, world.onset + 600.0, seed).expect("a bad canary is aborted"))
        .collect();
    let mut after: Vec<f64> = runs.iter().map(|caught| caught.after).collect();
    let mut failed: Vec<u32> = runs.iter().map(|caught| caught.failed).collect();
    after.sort_by(f64::total_cmp);
    failed.sort_unstable();
    let at = [150, 285, 299];
    (at.map(|at| after[at]), at.map(|at| failed[at]))
}

#[test]
fn a_dead_canary_at_20_requests_per_second_costs_fewer_than_30() {
    for (share, onset) in [
        (0.05, 0.0),
        (0.05, 303.3),
        (0.2, 0.0),
        (0.2, 63.3),
        (0.5, 0.0),
    ] {
        let rps = 20.0 / share;
        let world = World {
            rps,
            share,
            baseline: 0.001,
            canary: 1.0,
            onset,
            ..EQUAL
        };
        let (after, failed) = caught(&world);
        assert!(
            after[2] < 10.0 && failed[2] < 30,
            "{after:?} {failed:?} {world:?}"
        );
    }
}

#[test]
fn a_dead_canary_with_one_request_per_second_is_off_within_10_seconds() {
    let world = World {
        rps: 20.0,
        canary: 1.0,
        baseline: 0.0,
        ..EQUAL
    };
    let (after, failed) = caught(&world);
    assert!(after[1] < 10.0 && failed[2] < 30, "{after:?} {failed:?}");
}

#[test]
fn a_worse_canary_is_found_too() {
    for (canary, baseline, seconds) in [
        (0.2, 0.001, 40.0),
        (0.05, 0.001, 120.0),
        (0.05, 0.01, 400.0),
    ] {
        let world = World {
            rps: 400.0,
            canary,
            baseline,
            ..EQUAL
        };
        let (after, _) = caught(&world);
        assert!(after[1] < seconds, "{after:?} {world:?}");
    }
}
