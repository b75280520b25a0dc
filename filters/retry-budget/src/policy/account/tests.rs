use super::*;
use crate::policy::{Floor, MemoryStore, Percent, Share};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn terms(percent: u32, floor: u32) -> Terms {
    Terms {
        share: Share::of_requests(Percent::whole(percent).unwrap()),
        interval: 10 * SECOND,
        floor: Floor {
            count: floor,
            interval: SECOND,
        },
    }
}

pub(super) fn at(millis: u64) -> Micros {
    Micros(1_000_000_000 + millis * 1000)
}

/// Requests that all fail at once, `per_second` of them, spread over `workers`.
fn all_failing(terms: &Terms, workers: u64, per_second: u64, seconds: u64) -> (u64, u64) {
    let store = MemoryStore::default();
    let mut accounts: Vec<Account> = (0..workers).map(|w| Account::new("b", terms, w)).collect();
    let (mut requests, mut retries) = (0, 0);
    for n in 0..per_second * seconds {
        let now = at(n * 1000 / per_second);
        let account = &mut accounts[(n * 7 % workers) as usize];
        let granted = account.arrive(now, 2, &store);
        account.finish(now, granted, granted, || now, &store);
        requests += 1;
        retries += u64::from(granted);
    }
    (requests, retries)
}

#[test]
fn at_total_failure_retries_are_exactly_the_percentage() {
    for workers in [1, 4] {
        for percent in [0, 1, 10, 20, 30, 33, 40, 51, 75, 99, 100, 150, 200] {
            let (requests, retries) = all_failing(&terms(percent, 0), workers, 200, 30);
            let allowed = requests * u64::from(percent) / 100;
            assert!(retries <= allowed, "{percent}%, {workers} workers");
            // A worker brings its requests in once they pay for a retry, so one
            // retry each may still be to come; and in each interval the rest
            // that makes no whole retry is lost.
            assert!(
                allowed - retries <= workers + allowed / 200,
                "{percent}%, {workers} workers: {retries} of {allowed}"
            );
        }
    }
}

#[test]
fn a_large_percentage_is_capped_by_retries_per_request_only() {
    let (requests, retries) = all_failing(&terms(1000, 0), 4, 100, 5);
    assert_eq!(retries, 2 * requests);
}

#[test]
fn the_floor_is_a_rate_and_not_a_burst() {
    let terms = terms(0, 10);
    for workers in [1, 4] {
        let store = MemoryStore::default();
        let mut accounts: Vec<Account> =
            (0..workers).map(|w| Account::new("b", &terms, w)).collect();
        let mut per_second = [0; 10];
        // Long quiet, then everything fails: the quiet must have saved nothing.
        for n in 0..2000_u64 {
            let account = &mut accounts[(n % workers) as usize];
            let now = at(120_000 + n * 5);
            let granted = account.arrive(now, 2, &store);
            account.finish(now, granted, granted, || now, &store);
            per_second[(n / 200) as usize] += granted;
        }
        assert_eq!(per_second, [10; 10], "{workers} workers");
    }
}

#[test]
fn quiet_minutes_save_up_no_more_than_one_interval() {
    let store = MemoryStore::default();
    let terms = terms(20, 0);
    let mut account = Account::new("b", &terms, 1);
    // Ten minutes of healthy traffic at 10 a second.
    for n in 0..6000 {
        let granted = account.arrive(at(n * 100), 2, &store);
        account.finish(at(n * 100), granted, 0, || at(n * 100), &store);
    }
    let mut retries = 0;
    for _ in 0..1000 {
        let granted = account.arrive(at(600_000), 2, &store);
        account.finish(at(600_000), granted, granted, || at(600_000), &store);
        retries += granted;
    }
    // An interval holds 100 healthy requests beside the 1000 failing ones.
    assert!((215..=220).contains(&retries), "{retries}");
}

#[test]
fn idle_workers_give_back_what_they_hold() {
    let store = MemoryStore::default();
    let terms = terms(20, 0);
    let (mut idle, mut busy) = (Account::new("b", &terms, 1), Account::new("b", &terms, 2));
    for n in 0..1000 {
        let granted = idle.arrive(at(n), 2, &store);
        idle.finish(at(n), granted, 0, || at(n), &store);
    }
    idle.tick(at(1000), &store);
    idle.tick(at(2000), &store);
    assert!(idle.is_settled());
    let mut taken = 0;
    for _ in 0..400 {
        taken += busy.arrive(at(2000), 2, &store);
    }
    assert_eq!(taken, 280);
}

#[test]
fn charging_afterwards_allows_while_anything_is_left() {
    let store = MemoryStore::default();
    let terms = terms(20, 0);
    let mut account = Account::new("b", &terms, 1);
    let mut retries = 0;
    for n in 0..3000 {
        if account.arrive_unreserved(at(n * 10), &store) {
            account.finish(at(n * 10), 0, 2, || at(n * 10), &store);
            retries += 2;
        }
    }
    assert!((600..=601).contains(&retries), "{retries}");
}
