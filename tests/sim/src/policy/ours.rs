//! The budget of this project: the code that runs in Envoy.

use meshpack_retry_budget::policy::{Account, Floor, MemoryStore, Micros, Percent, Share, Terms};
use std::time::Duration;

use super::{Budget, MAX_RETRIES};

/// One proxy with one worker.
#[derive(Debug)]
pub(crate) struct Ours {
    account: Account,
    store: MemoryStore,
    reserves: bool,
}

impl Ours {
    pub(crate) fn new(budget: Budget, reserves: bool) -> Self {
        let percent = Percent::whole(budget.percent).unwrap_or_else(|| unreachable!());
        let (count, seconds) = budget.floor;
        let terms = Terms {
            share: Share::of_requests(percent),
            interval: Duration::from_secs(budget.interval),
            floor: Floor {
                count,
                interval: Duration::from_secs(seconds),
            },
        };
        Self {
            account: Account::new("b", &terms, 1),
            store: MemoryStore::default(),
            reserves,
        }
    }

    pub(crate) fn arrive(&mut self, now: Micros) -> u32 {
        if self.reserves {
            self.account.arrive(now, MAX_RETRIES, &self.store)
        } else if self.account.arrive_unreserved(now, &self.store) {
            MAX_RETRIES
        } else {
            0
        }
    }

    pub(crate) fn finish(&mut self, arrived: Micros, now: Micros, promised: u32, retries: u32) {
        let reserved = if self.reserves { promised } else { 0 };
        let now = || now;
        self.account
            .finish(arrived, reserved, retries, now, &self.store);
    }

    pub(crate) fn tick(&mut self, now: Micros) {
        self.account.tick(now, &self.store);
    }
}
