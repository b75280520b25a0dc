//! Simulated clients that compute their ids, seeded: they send what fails, or
//! what succeeds, to the arm of their choice.

use std::time::Duration;

use super::simulation::{Random, config};
use super::{Batch, Ended, Side, State, Suspected, Trip, Units};

/// Where everybody's requests come from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Addresses {
    /// From one: a sidecar's own application, a load balancer.
    Shared,
    /// Each user has its own.
    Own,
}

/// What the attack asks for.
#[derive(Debug, Clone, Copy)]
enum Attack {
    /// One path that fails whoever asks for it.
    Path,
    /// Any number of paths with a common beginning.
    Below,
    /// Any number of paths that have nothing in common.
    Anywhere,
    /// A path of everybody, made to fail by its query.
    Query,
    /// A path of everybody, made to fail by something that we do not see.
    Unseen,
}

#[derive(Debug, Clone, Copy)]
struct World {
    /// Requests per second of everybody.
    rps: f64,
    /// Part of them in the canary.
    share: f64,
    /// Failing part of everybody's requests in baseline and canary.
    rates: [f64; 2],
    addresses: Addresses,
    attack: Attack,
    /// Failing requests per second of the attack, and the arm it sends them to.
    attacks: f64,
    target: Side,
}

const TICK: f64 = 0.1;

/// Seconds until the abort, if there is one.
fn live(world: &World, seconds: f64, seed: u64) -> Option<f64> {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let config = config(1e-6);
    let mut state = State::default();
    let mut suspected = Suspected::default();
    let start = 1_800_000_000.0;
    for tick in 0..(seconds / TICK) as u64 {
        let mut requests: Vec<(Ended, bool)> = Vec::new();
        for (side, part, rate) in [
            (Side::Canary, world.share, world.rates[1]),
            (Side::Baseline, 1.0 - world.share, world.rates[0]),
        ] {
            for _ in 0..random.poisson(world.rps * part * TICK) {
                let user = random.bits() as u32;
                let path = format!("/p{}/{user}", random.bits() % 5);
                let address = match world.addresses {
                    Addresses::Shared => [0; 4],
                    Addresses::Own => user.to_le_bytes(),
                };
                let units = Units::for_test(&address, "shop", &path);
                let client = Some(user);
                requests.push((
                    Ended {
                        side,
                        client,
                        units,
                    },
                    random.unit() < rate,
                ));
            }
        }
        for _ in 0..random.poisson(world.attacks * TICK) {
            let number = random.bits() as u32;
            let path = match world.attack {
                Attack::Path => "/fail".to_owned(),
                Attack::Below => format!("/fail/{number}/x"),
                Attack::Anywhere => format!("/{number}"),
                Attack::Query => "/p1/1?fail".to_owned(),
                Attack::Unseen => format!("/p1/{number}"),
            };
            let address = match world.addresses {
                Addresses::Shared => &[0; 4],
                Addresses::Own => b"evil",
            };
            let units = Units::for_test(address, "shop", &path);
            let client = Some(number);
            let side = world.target;
            requests.push((
                Ended {
                    side,
                    client,
                    units,
                },
                true,
            ));
        }
        for turn in (1..requests.len()).rev() {
            requests.swap(turn, random.bits() as usize % (turn + 1));
        }
        let now = Duration::from_secs_f64(start + tick as f64 * TICK);
        let mut batch = Batch::default();
        for (at, (ended, fails)) in requests.iter().enumerate() {
            if *fails {
                batch.failure(*ended);
            } else {
                batch.success(ended, &suspected);
            }
            if *fails || (tick % 10 == 9 && at + 1 == requests.len()) {
                let trip = state.absorb(&config, now, &std::mem::take(&mut batch));
                suspected = state.suspected();
                if trip == Some(Trip::Failures) {
                    return Some(tick as f64 * TICK);
                }
            }
        }
    }
    None
}

/// What is bounded: by path from anywhere, by address whatever the path.
const BOUNDED: [(Addresses, Attack); 8] = [
    (Addresses::Shared, Attack::Path),
    (Addresses::Shared, Attack::Below),
    (Addresses::Shared, Attack::Query),
    (Addresses::Own, Attack::Path),
    (Addresses::Own, Attack::Below),
    (Addresses::Own, Attack::Anywhere),
    (Addresses::Own, Attack::Query),
    (Addresses::Own, Attack::Unseen),
];

#[test]
fn a_healthy_canary_survives_failures_sent_to_it() {
    for (addresses, attack) in BOUNDED {
        for (share, rate) in [(0.01, 0.01), (0.2, 0.001)] {
            let world = World {
                rps: 100.0,
                share,
                rates: [rate; 2],
                addresses,
                attack,
                attacks: 25.0,
                target: Side::Canary,
            };
            let aborted = (1..=10).filter(|&seed| live(&world, 60.0, seed).is_some());
            assert_eq!(aborted.count(), 0, "{world:?}");
        }
    }
}

#[test]
fn a_bad_canary_falls_whatever_fails_in_the_baseline() {
    for (addresses, attack) in BOUNDED {
        let world = World {
            rps: 100.0,
            share: 0.2,
            rates: [0.001, 0.2],
            addresses,
            attack,
            attacks: 20.0,
            target: Side::Baseline,
        };
        let mut after: Vec<f64> = (1..=10)
            .map(|seed| live(&world, 300.0, seed).expect("a bad canary is aborted"))
            .collect();
        after.sort_by(f64::total_cmp);
        assert!(after[9] < 60.0, "{after:?} {world:?}");
    }
}
