//! One worker's part in a budget.

use super::{Ledger, Micros, Room, Store, StoreError, Terms, Window};

/// A worker's dealings with one shared [`Ledger`].
///
/// The ledger is exact but costs two calls of the proxy that move bytes, more
/// than all the rest of a request. So a worker takes a few retries on lease,
/// hands them out and takes them back by itself, and settles with the ledger
/// - once a second,
/// - when it has none left and the ledger may have, and
/// - when it holds idle ones that other workers could want.
///
/// What it holds counts as taken in the ledger, so no error of this kind can
/// exceed the budget; at most an eighth of what is left can lie idle with one
/// worker, and no longer than until it settles next.
#[derive(Debug)]
pub struct Account {
    name: String,
    terms: Terms,
    worker: u64,
    clocks: Clocks,

    /// Requests not yet in the ledger.
    arrived: Dated,
    /// Leased retries made and not yet charged, by the arrival of their request;
    /// still part of what the ledger has as held.
    spent: Dated,
    /// Retries made without a lease, of which the ledger does not know yet.
    unleased: u32,
    unleased_at: Micros,
    /// Leased and with nobody.
    free: u32,
    /// Leased and with a request in flight.
    reserved: u32,
    /// Most that was reserved at once since the slot began.
    peak: u32,

    /// When it last settled, and what the ledger had then.
    settled_at: Option<Micros>,
    room: Room,
    used_since_tick: bool,
    /// Nothing was in the ledger then, so nothing can change by itself.
    ledger_is_empty: bool,
}

impl Account {
    /// An account of `worker` with the ledger that the store keeps under `name`.
    #[must_use]
    pub fn new(name: impl Into<String>, terms: &Terms, worker: u64) -> Self {
        Self {
            name: name.into(),
            terms: *terms,
            worker,
            clocks: Clocks::new(terms),
            arrived: Dated::default(),
            spent: Dated::default(),
            unleased: 0,
            unleased_at: Micros::default(),
            free: 0,
            reserved: 0,
            peak: 0,
            settled_at: None,
            room: Room {
                retries: 0,
                share_left: 0,
            },
            used_since_tick: false,
            ledger_is_empty: true,
        }
    }

    /// A request arrives: counts it and reserves up to `wanted` retries for it,
    /// but one at most when little is left: first retries save more requests than
    /// second ones. Returns how many; [`Account::finish`] must follow when the
    /// request can no longer be retried.
    pub fn arrive(&mut self, now: Micros, wanted: u32, store: &dyn Store) -> u32 {
        let short = self.free < self.ration(wanted) && self.ledger_may_have_more(now, 1);
        self.count(now, short, wanted, store);
        self.reserve(self.ration(wanted))
    }

    fn reserve(&mut self, wanted: u32) -> u32 {
        let granted = wanted.min(self.free);
        self.free -= granted;
        self.reserved += granted;
        self.peak = self.peak.max(self.reserved);
        granted
    }

    /// What one request may take of what seems to be left.
    fn ration(&self, wanted: u32) -> u32 {
        ration(wanted, self.room.retries.saturating_add(self.free.into()))
    }

    /// Takes up to `wanted` retries for a request that was counted before or
    /// does not count; otherwise as [`Account::arrive`].
    pub fn take(&mut self, now: Micros, wanted: u32, store: &dyn Store) -> u32 {
        self.used_since_tick = true;
        if self.free < wanted && self.ledger_may_have_more(now, 0) {
            self.settle(now, 0, wanted, store);
        }
        self.reserve(wanted)
    }

    /// A request arrives that is charged only when it is over: counts it and
    /// says whether the budget has anything left for it.
    pub fn arrive_unreserved(&mut self, now: Micros, store: &dyn Store) -> bool {
        // What other workers charge shows in the ledger only, so it is asked in
        // every slot and not just when this worker thinks that nothing is left.
        let short = self.uncharged_room() < 1 && self.ledger_may_have_more(now, 1);
        self.count(now, short || self.slot_is_over(now), 0, store);
        self.uncharged_room() >= 1
    }

    /// The request that arrived at `arrived` and had `reserved` retries taken for
    /// it is over, or can no longer be retried, after `spent` retries. More than
    /// were reserved is possible (then it was not this filter that allowed them)
    /// and charged too.
    pub fn finish(
        &mut self,
        arrived: Micros,
        reserved: u32,
        spent: u32,
        now: impl FnOnce() -> Micros,
        store: &dyn Store,
    ) {
        self.used_since_tick = true;
        self.reserved = self.reserved.saturating_sub(reserved);
        self.free += reserved.saturating_sub(spent);
        self.spent.add(&self.clocks, arrived, spent.min(reserved));
        let unleased = spent.saturating_sub(reserved);
        let gives_back = self.free > 0 && self.is_scarce();
        // Reading the clock is a call of the proxy; a healthy request needs none.
        if unleased == 0 && !gives_back {
            return;
        }
        let now = now();
        if unleased > 0 {
            self.unleased = self.unleased.saturating_add(unleased);
            self.unleased_at = now;
        }
        if gives_back {
            self.settle(now, 0, 0, store);
        }
    }

    /// To be called about once a second: charges what is not charged yet, shows
    /// the ledger that this worker lives, and gives back what lies idle. Returns
    /// the balance if it asked the ledger.
    pub fn tick(&mut self, now: Micros, store: &dyn Store) -> Option<i64> {
        let idle = !std::mem::take(&mut self.used_since_tick);
        if idle {
            self.peak = self.reserved;
        }
        // Once the ledger has run empty, an unused account costs nothing.
        let current = idle && self.is_settled() && self.ledger_is_empty;
        (!current && self.settle(now, 0, 0, store)).then(|| self.balance())
    }

    /// Gives back everything that lies idle and charges everything made; for
    /// the end of a worker.
    pub fn close(&mut self, now: Micros, store: &dyn Store) {
        self.peak = 0;
        self.settle(now, 0, 0, store);
    }

    /// Retries that this worker could take as of the last settlement.
    fn balance(&self) -> i64 {
        self.room.retries + i64::from(self.free)
    }

    /// Retries that are left for this worker, those lent to requests under way not
    /// included; as of the last settlement.
    #[must_use]
    pub fn left(&self) -> i64 {
        self.balance()
    }

    /// Whether nothing of this account is under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let nothing_held = [self.unleased, self.free, self.reserved] == [0; 3];
        nothing_held && self.arrived.is_empty() && self.spent.is_empty()
    }

    /// When it last settled, `None` before the first time.
    #[must_use]
    pub fn settled_at(&self) -> Option<Micros> {
        self.settled_at
    }

    /// Counts a request, and settles at once if `settle`.
    fn count(&mut self, now: Micros, settle: bool, wanted: u32, store: &dyn Store) {
        self.used_since_tick = true;
        if !settle || !self.settle(now, 1, wanted, store) {
            self.arrived.add(&self.clocks, now, 1);
        }
    }

    fn uncharged_room(&self) -> i64 {
        self.room.retries - i64::from(self.unleased)
    }

    /// Whether the ledger's slot is another one than when it last settled.
    fn slot_is_over(&self, now: Micros) -> bool {
        self.settled_at
            .is_none_or(|at| self.clocks.slots(at) != self.clocks.slots(now))
    }

    /// Whether settling could give something: the ledger had something left, time
    /// has freed something, or the requests of this worker pay for one more.
    fn ledger_may_have_more(&self, now: Micros, arriving: u32) -> bool {
        let share = &self.terms.share;
        let arrived = self.arrived.total().saturating_add(arriving);
        let earned = share.left(arrived.into(), self.unleased.into());
        self.room.retries >= 1
            || self.slot_is_over(now)
            || share.retries(self.room.share_left.saturating_add(earned)) >= 1
    }

    /// So little left that what lies idle here could be missed elsewhere.
    fn is_scarce(&self) -> bool {
        self.room.retries < i64::from(self.peak.max(2).saturating_mul(4))
    }

    /// Brings ledger and account together: counts what is pending and `arriving`
    /// requests of this moment, charges what was spent, and takes or gives back
    /// retries. False if the store refused; then everything stays pending here
    /// and nothing new is granted.
    fn settle(&mut self, now: Micros, arriving: u32, wanted: u32, store: &dyn Store) -> bool {
        let mut outcome = (self.free, self.room, self.ledger_is_empty);
        let updated: Result<(), StoreError> = store.update(&self.name, &mut |bytes| {
            let mut ledger = Ledger::open(&self.terms, bytes, now);
            for (at, count) in self.arrived.iter().chain([(now, arriving)]) {
                ledger.record_requests(at, count);
            }
            for (arrived, count) in self.spent.iter() {
                ledger.record_retries(arrived, count);
            }
            ledger.record_retries(self.unleased_at, self.unleased);
            ledger.set_held(self.worker, self.reserved, now);
            let available = ledger.room().retries.max(0);
            let free = i64::from(self.lease(wanted, available)).min(available) as u32;
            ledger.set_held(self.worker, self.reserved.saturating_add(free), now);
            outcome = (free, ledger.room(), ledger.is_empty());
            Some(ledger.to_bytes())
        });
        if updated.is_err() {
            return false;
        }
        (self.free, self.room, self.ledger_is_empty) = outcome;
        self.arrived.clear();
        self.spent.clear();
        self.unleased = 0;
        self.peak = self.reserved;
        self.settled_at = Some(now);
        true
    }

    /// How many to hold: what is wanted now, and as many more as were in use at
    /// once of late, but of those no more than an eighth of what is left.
    fn lease(&self, wanted: u32, available: i64) -> u32 {
        let wanted = ration(wanted, available);
        let spare = u32::try_from(available / 8).unwrap_or(u32::MAX);
        let of_late = self.peak.saturating_sub(self.reserved);
        let growth = if wanted > 0 { self.reserved } else { 0 };
        wanted.saturating_add(of_late.max(growth).min(spare))
    }
}

/// `wanted`, or one when `left` is less than two requests could want.
fn ration(wanted: u32, left: i64) -> u32 {
    if left < 2 * i64::from(wanted) {
        wanted.min(1)
    } else {
        wanted
    }
}

/// Tells the slots of a ledger apart.
#[derive(Debug)]
struct Clocks {
    interval: Window,
    floor: Window,
}

impl Clocks {
    fn new(terms: &Terms) -> Self {
        Self {
            interval: Window::new(terms.interval, super::ledger::SLOTS),
            floor: Window::new(terms.floor.interval, super::ledger::FLOOR_SLOTS),
        }
    }

    fn slots(&self, at: Micros) -> (u64, u64) {
        (self.interval.slot(at), self.floor.slot(at))
    }

    /// When the first of the slots at `at` ends.
    fn slot_end(&self, at: Micros) -> Micros {
        self.interval.slot_end(at).min(self.floor.slot_end(at))
    }
}

/// Most slots that [`Dated`] keeps, more than both windows have: reached only when
/// the store refuses for longer than an interval, and then the oldest are worth
/// nothing any more.
const MOST_SLOTS: usize = 256;

/// Counts on their way to the ledger, one for each slot.
#[derive(Debug, Default)]
struct Dated {
    counts: Vec<Count>,
    total: u32,
}

/// So many of one slot, which is known to span these moments.
#[derive(Debug)]
struct Count {
    first: Micros,
    before: Micros,
    count: u32,
}

impl Dated {
    fn add(&mut self, clocks: &Clocks, at: Micros, count: u32) {
        if count == 0 {
            return;
        }
        self.total = self.total.saturating_add(count);
        // Nearly always the newest.
        let same = |counted: &&mut Count| counted.first <= at && at < counted.before;
        if let Some(counted) = self.counts.iter_mut().rev().find(same) {
            counted.count = counted.count.saturating_add(count);
            return;
        }
        if self.counts.len() >= MOST_SLOTS {
            let oldest = self.counts.remove(0);
            self.total = self.total.saturating_sub(oldest.count);
        }
        self.counts.push(Count {
            first: at,
            before: clocks.slot_end(at),
            count,
        });
    }

    fn total(&self) -> u32 {
        self.total
    }

    fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = (Micros, u32)> + '_ {
        self.counts
            .iter()
            .map(|counted| (counted.first, counted.count))
    }

    fn clear(&mut self) {
        self.counts.clear();
        self.total = 0;
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod interleavings;
#[cfg(test)]
mod tests;
