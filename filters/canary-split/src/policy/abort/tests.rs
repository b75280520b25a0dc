use std::time::Duration;

use super::{Batch, Observation, Outcome, Side, State, Trip, classify};
use crate::policy::abort::{AbortConfig, FailureClasses};

const ALL: FailureClasses = FailureClasses {
    server_errors: true,
    resets: true,
    grpc: true,
};

fn config() -> AbortConfig {
    AbortConfig {
        arm: 1,
        baseline: 0,
        failures: ALL,
        false_positive_rate: 1e-6,
        min_effect: 2.0,
        cooldown: Duration::from_secs(600),
    }
}

const START: Duration = Duration::from_secs(1_800_000_000);

fn batch(outcomes: impl IntoIterator<Item = (Side, Outcome, Option<u32>)>) -> Batch {
    let mut batch = Batch::default();
    for (side, outcome, client) in outcomes {
        batch.note(side, outcome, client);
    }
    batch
}

/// One canary failure of a client and 19 good requests of the baseline.
fn failing_second(client: u32) -> Batch {
    let good = (0..19).map(|_| (Side::Baseline, Outcome::Success, None));
    batch(good.chain([(Side::Canary, Outcome::Failure, Some(client))]))
}

#[test]
fn responses_are_classified_as_configured() {
    let seen = |code: u32, flags, grpc_status| Observation {
        code: (code > 0).then_some(code),
        flags,
        grpc_status,
    };
    let none = FailureClasses::default();
    for (observation, classes, outcome) in [
        (seen(200, 0, None), ALL, Outcome::Success),
        (seen(404, 0, None), ALL, Outcome::Success),
        (seen(500, 0, None), ALL, Outcome::Failure),
        (seen(500, 0, None), none, Outcome::Success),
        (seen(200, 0, Some(0)), ALL, Outcome::Success),
        (seen(200, 0, Some(5)), ALL, Outcome::Success),
        (seen(200, 0, Some(14)), ALL, Outcome::Failure),
        (seen(200, 0, Some(14)), none, Outcome::Success),
        (seen(200, 1 << 4, None), ALL, Outcome::Failure),
        (seen(503, 1 << 6, None), ALL, Outcome::Failure),
        (seen(503, 1 << 1, None), none, Outcome::NoEndpoint),
        (seen(503, 1 << 24, None), none, Outcome::NoEndpoint),
        (seen(0, 1 << 14, None), ALL, Outcome::Unknown),
        (seen(200, 1 << 14, None), ALL, Outcome::Unknown),
        (seen(0, 0, None), ALL, Outcome::Unknown),
    ] {
        assert_eq!(classify(&observation, classes), outcome, "{observation:?}");
    }
}

#[test]
fn a_canary_without_endpoints_is_out_at_once_and_for_the_cooldown() {
    let mut state = State::default();
    let empty = batch([(Side::Canary, Outcome::NoEndpoint, None)]);
    assert!(empty.is_urgent());
    assert_eq!(
        state.absorb(&config(), START, &empty),
        Some(Trip::NoEndpoint)
    );
    assert!(state.is_latched(START + Duration::from_secs(599)));
    assert!(!state.is_latched(START + Duration::from_secs(600)));
    let later = START + Duration::from_secs(1);
    assert_eq!(state.absorb(&config(), later, &empty), None, "already out");
    let later = START + Duration::from_secs(601);
    assert_eq!(
        state.absorb(&config(), later, &empty),
        Some(Trip::NoEndpoint),
        "tried again after the cooldown"
    );
}

#[test]
fn a_baseline_without_endpoints_is_a_failing_baseline() {
    let mut state = State::default();
    let empty = batch([(Side::Baseline, Outcome::NoEndpoint, None)]);
    assert_eq!(state.absorb(&config(), START, &empty), None);
}

#[test]
fn a_dead_canary_is_out_within_seconds() {
    let mut state = State::default();
    let tripped = (0..20).find(|&second| {
        let now = START + Duration::from_secs(second.into());
        state.absorb(&config(), now, &failing_second(second << 8)) == Some(Trip::Failures)
    });
    assert_eq!(tripped, Some(4));
}

#[test]
fn one_failing_client_is_not_a_failing_canary() {
    let mut state = State::default();
    for second in 0..3600 {
        let now = START + Duration::from_secs(second);
        assert_eq!(state.absorb(&config(), now, &failing_second(7 << 8)), None);
    }
}

#[test]
fn a_canary_alone_is_not_judged() {
    let mut state = State::default();
    for second in 0..600 {
        let now = START + Duration::from_secs(second.into());
        let failed = batch([(Side::Canary, Outcome::Failure, Some(second << 8))]);
        assert_eq!(state.absorb(&config(), now, &failed), None);
    }
}

#[test]
fn a_clock_that_jumps_does_no_harm() {
    let mut state = State::default();
    for (second, client) in [
        (0_u64, 1_u32),
        (3_000_000_000, 2),
        (5, 3),
        (u64::MAX / 2, 4),
    ] {
        let batch = failing_second(client << 8);
        assert_eq!(
            state.absorb(&config(), Duration::from_secs(second), &batch),
            None
        );
    }
}

#[test]
fn the_state_survives_its_encoding() {
    let mut state = State::default();
    assert_eq!(State::decode(&state.encode()), Some(state.clone()));
    for second in 0..400_u32 {
        let client = if second % 3 == 0 {
            Some(second << 4)
        } else {
            None
        };
        let outcomes = [
            (Side::Canary, Outcome::Success, None),
            (Side::Baseline, Outcome::Failure, client),
        ];
        let now = START + Duration::from_millis(u64::from(second) * 700);
        state.absorb(&config(), now, &batch(outcomes));
        assert_eq!(State::decode(&state.encode()), Some(state.clone()));
    }
    let bytes = state.encode();
    assert_eq!(State::decode(&bytes[..bytes.len() - 1]), None);
    assert_eq!(State::decode(&[]), None);
    assert_eq!(State::decode(&[9; 400]), None);
}
