use std::time::Duration;

use super::{Allocation, Hash, Interpolation, Ramp, Schedule, Share, Step, hash};

/// Shares of the arms behind the first.
fn shares(weights: &[u64]) -> Vec<Share> {
    let whole = weights.iter().sum();
    let behind = weights.iter().skip(1);
    behind.map(|&part| Share { part, whole }).collect()
}

fn flagd(weights: &[u64]) -> Allocation {
    Allocation::new(Hash::Flagd, &shares(weights))
}

#[test]
fn hashes_are_murmur3() {
    for (salt, id, expected) in [
        ("", "", 0),
        ("", "hello", 0x248b_fa47),
        ("hel", "lo", 0x248b_fa47),
        ("hello, ", "world", 0x149b_bb7f),
    ] {
        assert_eq!(hash(Hash::Flagd, salt, id.as_bytes()), expected);
    }
}

/// The `fractional` scenarios of flagd's test suite (integer bucketing).
#[test]
fn published_flagd_cases_with_two_variants() {
    let even = flagd(&[50, 50]);
    for (flag, key, upper) in [
        ("", "ejOoVL", false),
        ("", "bY9fO-", false),
        ("", "SI7p-", false),
        ("", "6LvT0", true),
        ("", "ceQdGm", true),
        ("fractional-flag-shorthand", "jon@company.com", false),
        ("fractional-flag-shorthand", "jane@company.com", true),
    ] {
        let arm = even.arm(hash(Hash::Flagd, flag, key.as_bytes()));
        assert_eq!(arm, usize::from(upper), "{flag} {key}");
    }
}

/// Unleash's client specification 03 and 10, and the numbers its clients share.
#[test]
fn published_unleash_cases() {
    for (group, id, number) in [("gr1", "123", 73), ("groupX", "999", 25)] {
        let position = hash(Hash::Unleash, group, id.as_bytes());
        assert_eq!(position % 100 + 1, number);
    }
    for (group, percent, id, enabled) in [
        ("AB12A", 100, "123", true),
        ("AB12A", 50, "122", true),
        ("AB12A", 50, "155", false),
        ("AB12A", 0, "122", false),
        ("Feature.flexibleRollout.10", 10, "174", true),
        ("Feature.flexibleRollout.10", 10, "499", false),
        ("Feature.flexibleRollout.userId.55", 55, "25", true),
        ("Feature.flexibleRollout.sessionId.42", 42, "147", true),
    ] {
        let allocation = Allocation::new(Hash::Unleash, &shares(&[100 - percent, percent]));
        let arm = allocation.arm(hash(Hash::Unleash, group, id.as_bytes()));
        assert_eq!(arm, usize::from(enabled), "{group} {percent} {id}");
    }
}

#[test]
fn nothing_depends_on_the_sum_of_the_weights() {
    assert_eq!(flagd(&[95, 5]), flagd(&[1900, 100]));
    assert_eq!(flagd(&[1, 1, 2]), flagd(&[25, 25, 50]));
}

#[test]
fn extremes_give_everything_to_one_arm() {
    for hash in [0, 1, u32::MAX / 2, u32::MAX] {
        assert_eq!(flagd(&[1, 0]).arm(hash), 0);
        assert_eq!(flagd(&[0, 1]).arm(hash), 1);
        assert_eq!(flagd(&[5]).arm(hash), 0);
        assert_eq!(flagd(&[0, 0, 7, 0]).arm(hash), 2);
    }
}

fn ramp(interpolation: Interpolation) -> Ramp {
    let step = |after, weight| Step {
        after: Duration::from_secs(after),
        weight,
    };
    Ramp {
        arm: 1,
        start: Duration::from_secs(1000),
        steps: vec![step(0, 10_000), step(100, 110_000)],
        interpolation,
    }
}

#[test]
fn a_ramp_moves_in_steps_or_evenly() {
    for (interpolation, at, weight) in [
        (Interpolation::Step, 999, 0),
        (Interpolation::Step, 1000, 10_000),
        (Interpolation::Step, 1099, 10_000),
        (Interpolation::Step, 1100, 110_000),
        (Interpolation::Step, 9999, 110_000),
        (Interpolation::Linear, 999, 0),
        (Interpolation::Linear, 1000, 10_000),
        (Interpolation::Linear, 1050, 60_000),
        (Interpolation::Linear, 1099, 109_000),
        (Interpolation::Linear, 1100, 110_000),
    ] {
        let found = ramp(interpolation).weight_at(Duration::from_secs(at)).0;
        assert_eq!(found, weight, "{interpolation:?} at {at}");
    }
}

#[test]
fn a_schedule_follows_its_ramp_and_then_leaves_the_clock_alone() {
    let ramp = ramp(Interpolation::Step);
    let mut schedule = Schedule::new(Hash::Flagd, shares(&[50, 50]), Some(ramp));
    let share = |allocation: &Allocation| {
        let hashes = (0..10_000_u32).map(|i| i * 429_496);
        hashes.filter(|&hash| allocation.arm(hash) == 1).count()
    };
    for (now, expected) in [(0, 0), (1000, 100), (1099, 100), (500, 0), (1100, 1100)] {
        let found = share(schedule.allocation(|| Duration::from_secs(now)));
        assert!(found.abs_diff(expected) <= 2, "{found} at {now}");
    }
    let found = share(schedule.allocation(|| panic!("the ramp is over")));
    assert!(found.abs_diff(1100) <= 2);
    assert_eq!(
        schedule.weights(Duration::from_secs(1000)),
        [990_000, 10_000]
    );
}

#[test]
fn configured_weights_are_reported_in_millionths() {
    let schedule = Schedule::new(Hash::Flagd, shares(&[1, 1, 1]), None);
    assert_eq!(
        schedule.weights(Duration::ZERO),
        [333_334, 333_333, 333_333]
    );
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use proptest::prelude::*;

    use super::*;

    /// flagd's own arithmetic, with the `murmur3` crate for the hash.
    fn reference(salt: &str, id: &str, weights: [u64; 2]) -> usize {
        let mut text = std::io::Cursor::new(format!("{salt}{id}"));
        let hash = murmur3::murmur3_32(&mut text, 0).unwrap();
        let bucket = (u64::from(hash) * (weights[0] + weights[1])) >> 32;
        usize::from(bucket >= weights[0])
    }

    proptest! {
        #[test]
        fn two_arms_equal_flagd(salt in ".{0,12}", id in ".{0,24}", first in 0_u64..1_000_000_000, second in 1_u64..1_000_000_000) {
            let arm = flagd(&[first, second]).arm(hash(Hash::Flagd, &salt, id.as_bytes()));
            prop_assert_eq!(arm, reference(&salt, &id, [first, second]));
        }

        #[test]
        fn flagd_boundaries_are_exact(first in 0_u64..2_000_000_000, second in 1_u64..147_483_648, offset in -2_i64..=2) {
            let total = first + second;
            let boundary = ((u128::from(first) << 32) / u128::from(total)) as i64;
            let near = (boundary + offset).clamp(0, i64::from(u32::MAX)) as u32;
            let bucket = (u64::from(near) * total) >> 32;
            prop_assert_eq!(flagd(&[first, second]).arm(near), usize::from(bucket >= first));
        }

        #[test]
        fn unleash_equals_its_formula(group in ".{0,12}", id in ".{0,24}", percent in 0_u64..=100) {
            let mut text = std::io::Cursor::new(format!("{group}:{id}"));
            let number = murmur3::murmur3_32(&mut text, 0).unwrap() % 100 + 1;
            let allocation = Allocation::new(Hash::Unleash, &shares(&[100 - percent, percent]));
            let arm = allocation.arm(hash(Hash::Unleash, &group, id.as_bytes()));
            prop_assert_eq!(arm, usize::from(u64::from(number) <= percent));
        }

        #[test]
        fn shares_are_exact_to_the_hash(weights in proptest::collection::vec(0_u64..1000, 2..7)) {
            let whole: u64 = weights.iter().sum();
            prop_assume!(whole > 0);
            let ends = flagd(&weights).lengths(weights.len());
            for (arm, weight) in weights.iter().enumerate() {
                let exact = (u128::from(*weight) << 32) as f64 / whole as f64;
                prop_assert!((ends[arm] as f64 - exact).abs() < weights.len() as f64);
            }
        }

        #[test]
        fn raising_an_arm_moves_clients_only_from_the_first_into_it(
            others in proptest::collection::vec(0_u64..=100, 1..6),
            raised in 0_usize..5,
            more in 1_u64..=100,
            hashes in proptest::collection::vec(any::<u32>(), 200),
        ) {
            // Each arm holds at most 1 / (arms - 1) before and after.
            let count = others.len() as u64;
            let whole = 100 * count;
            let raised = raised % others.len();
            let before: Vec<Share> = others.iter().map(|&part| Share { part, whole }).collect();
            let mut after = before.clone();
            after[raised].part = (after[raised].part + more).min(100);
            let (before, after) = (Allocation::new(Hash::Flagd, &before), Allocation::new(Hash::Flagd, &after));
            for hash in hashes {
                let (from, to) = (before.arm(hash), after.arm(hash));
                prop_assert!(from == to || (from == 0 && to == raised + 1), "{from} to {to}");
            }
        }

        #[test]
        fn two_salts_are_independent(seed: u64) {
            let allocation = flagd(&[90, 10]);
            let joint = (0..20_000).filter(|i| {
                let id = format!("{seed}-{i}");
                ["salt-a", "salt-b"].iter().all(|salt| allocation.arm(hash(Hash::Flagd, salt, id.as_bytes())) == 1)
            });
            // 1 % of 20,000, five standard deviations either way.
            let joint = joint.count();
            prop_assert!((130..270).contains(&joint), "{joint}");
        }
    }
}
