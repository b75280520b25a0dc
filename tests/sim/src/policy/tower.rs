//! tower's `TpsBudget` with Linkerd's use of it.

use meshpack_retry_budget::policy::Micros;

/// Slots of a second; one more is being written.
const SLOTS: usize = 10;
const SLOT: u64 = 1_000_000;
/// What a retry takes; a success brings 1, so 5 is 20 %.
const WITHDRAW: i64 = 5;
/// 10 a second over the 10 seconds that a deposit lives.
const RESERVE: i64 = 10 * 10 * WITHDRAW;

/// A balance over the last ten slots. Linkerd deposits when a request ends in
/// something that it would not retry, that is, on success.
#[derive(Debug, Default)]
pub(crate) struct Tower {
    slots: [i64; SLOTS],
    index: usize,
    writer: i64,
    since: u64,
}

impl Tower {
    fn expire(&mut self, now: Micros) {
        if self.since == 0 {
            self.since = now.0;
        }
        let mut waited = now.0.saturating_sub(self.since);
        if waited < SLOT {
            return;
        }
        self.slots[self.index] = std::mem::take(&mut self.writer);
        self.index = (self.index + 1) % SLOTS;
        waited -= SLOT;
        let mut cleared = 0;
        while waited >= SLOT && cleared < SLOTS {
            self.slots[self.index] = 0;
            self.index = (self.index + 1) % SLOTS;
            waited -= SLOT;
            cleared += 1;
        }
        self.since = now.0;
    }

    pub(crate) fn deposit(&mut self, now: Micros) {
        self.expire(now);
        self.writer += 1;
    }

    pub(crate) fn withdraw(&mut self, now: Micros) -> bool {
        self.expire(now);
        let balance = self.slots.iter().sum::<i64>() + self.writer + RESERVE;
        let allowed = balance >= WITHDRAW;
        self.writer -= if allowed { WITHDRAW } else { 0 };
        allowed
    }
}
