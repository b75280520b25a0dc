//! A model of workers, requests and what can happen to them.

use std::time::Duration;

use proptest::prelude::*;

use super::tests::{at, terms};
use super::*;
use crate::policy::{MemoryStore, Percent, Share};

const SECOND: Duration = Duration::from_secs(1);

/// What happened in a run, to be checked against the definition of a budget.
#[derive(Default)]
struct Log {
    /// Arrivals of requests.
    requests: Vec<Micros>,
    /// Retries of the finished ones, by the arrival of their request.
    retries: Vec<Micros>,
}

impl Log {
    fn finished(&mut self, request: &InFlight) {
        let retries = std::iter::repeat_n(request.arrived, request.spent as usize);
        self.retries.extend(retries);
    }

    fn within(events: &[Micros], now: Micros, interval: Duration) -> u64 {
        events.iter().filter(|at| now - **at < interval).count() as u64
    }
}

#[derive(Debug, Clone)]
enum Step {
    Arrive {
        worker: usize,
    },
    /// The nth request in flight makes one of its retries.
    Retry {
        request: usize,
    },
    /// It has its answer, or was aborted, or reset.
    Finish {
        request: usize,
    },
    Wait {
        millis: u64,
    },
    Tick {
        worker: usize,
    },
    /// A worker's VM is lost, with all that it held in flight.
    Crash {
        worker: usize,
    },
    /// A new configuration with another percentage for the same budget.
    Swap {
        percent: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_usize).prop_map(|worker| Step::Arrive { worker }),
        6 => any::<usize>().prop_map(|request| Step::Retry { request }),
        6 => any::<usize>().prop_map(|request| Step::Finish { request }),
        3 => (0..400_u64).prop_map(|millis| Step::Wait { millis }),
        1 => (0..3_usize).prop_map(|worker| Step::Tick { worker }),
        1 => (0..3_usize).prop_map(|worker| Step::Crash { worker }),
        1 => prop::sample::select(vec![10, 50, 150]).prop_map(|percent| Step::Swap { percent }),
    ]
}

struct InFlight {
    arrived: Micros,
    account: usize,
    reserved: u32,
    spent: u32,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 192 }))]

    /// No interleaving of arrivals, retries, ends, lost workers and new
    /// configurations gets more retries than the larger of share and floor, and
    /// in the end every retry is accounted for.
    #[test]
    fn no_interleaving_mints_or_loses_a_retry(
        steps in prop::collection::vec(step(), 1..400),
        floor in prop::sample::select(vec![0_u32, 1, 3]),
    ) {
        let store = MemoryStore::default();
        let mut now = at(0);
        let mut terms = terms(50, floor);
        let mut accounts: Vec<Account> = (0..3).map(|w| Account::new("b", &terms, w)).collect();
        // Which account serves the new requests of a worker.
        let mut serving = [0, 1, 2];
        let mut lost: Vec<usize> = Vec::new();
        let mut in_flight: Vec<InFlight> = Vec::new();
        let mut log = Log::default();
        for step in steps {
            match step {
                Step::Arrive { worker } => {
                    log.requests.push(now);
                    let account = serving[worker];
                    let reserved = accounts[account].arrive(now, 2, &store);
                    if reserved > 0 {
                        let open: u64 = in_flight.iter().map(|r| u64::from(r.reserved)).sum();
                        // A slot is a hundredth of the interval.
                        let made = Log::within(&log.retries, now, 99 * terms.interval / 100);
                        let requests = Log::within(&log.requests, now, terms.interval);
                        let share = terms.share.retries(terms.share.left(requests, 0)) as u64;
                        let allowed = share.max(terms.floor_over_interval());
                        prop_assert!(made + open + u64::from(reserved) <= allowed);
                    }
                    in_flight.push(InFlight { arrived: now, account, reserved, spent: 0 });
                }
                Step::Retry { request } => {
                    let count = in_flight.len().max(1);
                    if let Some(request) = in_flight.get_mut(request % count)
                        && request.spent < request.reserved
                    {
                        request.spent += 1;
                    }
                }
                Step::Finish { request } => if !in_flight.is_empty() {
                    let done = in_flight.swap_remove(request % in_flight.len());
                    log.finished(&done);
                    accounts[done.account].finish(done.arrived, done.reserved, done.spent, || now, &store);
                },
                Step::Wait { millis } => now = now + Duration::from_millis(millis),
                Step::Tick { worker } => {
                    accounts[serving[worker]].tick(now, &store);
                }
                Step::Crash { worker } => {
                    // The VM that is lost may serve old configurations too; this
                    // one serves the current only.
                    in_flight.retain(|request| request.account != serving[worker]);
                    lost.push(serving[worker]);
                    serving[worker] = accounts.len();
                    accounts.push(Account::new("b", &terms, accounts.len() as u64));
                }
                Step::Swap { percent } => {
                    terms.share = Share::of_requests(Percent::whole(percent).unwrap());
                    // Requests in flight stay with the account that they came to.
                    for account in &mut serving {
                        *account = accounts.len();
                        accounts.push(Account::new("b", &terms, accounts.len() as u64));
                    }
                }
            }
            // Workers tick every second, come what may.
            for (index, account) in accounts.iter_mut().enumerate() {
                if !lost.contains(&index) && account.settled_at().is_some_and(|at| now - at >= SECOND) {
                    account.tick(now, &store);
                }
            }
        }
        let spent_open: u32 = in_flight.iter().map(|request| request.spent).sum();
        for done in in_flight.drain(..) {
            log.finished(&done);
            accounts[done.account].finish(done.arrived, done.reserved, done.spent, || now, &store);
        }
        for (index, account) in accounts.iter_mut().enumerate() {
            if !lost.contains(&index) {
                account.close(now, &store);
            }
        }
        let ledger = Ledger::open(&terms, store.get("b").as_deref(), now);
        if lost.is_empty() {
            prop_assert_eq!(ledger.held(), 0, "{} retries were open", spent_open);
            prop_assert!(ledger.requests() <= log.requests.len() as u64);
            let charged = Log::within(&log.retries, now, 99 * terms.interval / 100);
            prop_assert!(ledger.retries() >= charged);
            prop_assert!(ledger.retries() <= log.retries.len() as u64);
        }
        let later = Ledger::open(&terms, store.get("b").as_deref(), now + 10 * SECOND);
        prop_assert_eq!(later.held(), 0, "nothing is lost for longer than a lease");
    }
}
