//! What all workers of a proxy did with one budget in the last interval.

use std::time::Duration;

use super::{Micros, Terms, Window};

/// A worker that was not heard of for this long is gone (its VM trapped or was
/// replaced), and what it held counts as spent. Workers settle every second
/// while they hold anything.
pub const LEASE_TIME: Duration = Duration::from_secs(10);

/// Slots of the budget's interval: a hundredth of it is how sharply it is seen.
pub(super) const SLOTS: usize = 100;
pub(super) const FLOOR_SLOTS: usize = 20;

/// Requests and retries in the interval, and which worker holds how many retries
/// that it has not used yet.
///
/// A retry counts as made when its request arrived, beside that request, so the
/// ratio is the same however long requests take. It counts from the moment a
/// worker takes it until one interval after that arrival, and in any case until
/// the request has its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    terms: Terms,
    requests: Window,
    retries: Window,
    floor_retries: Window,
    leases: Vec<Lease>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lease {
    worker: u64,
    held: u32,
    renewed: Micros,
}

/// What a ledger has left to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Whole retries that may still be taken; negative when more were charged
    /// than is allowed.
    pub retries: i64,
    /// What the share has left, in the unit of [`super::Share::left`].
    pub share_left: i64,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(terms: &Terms) -> Self {
        Self {
            terms: *terms,
            requests: Window::new(terms.interval, SLOTS),
            retries: Window::new(terms.interval, SLOTS),
            floor_retries: Window::new(terms.floor.interval, FLOOR_SLOTS),
            leases: Vec::new(),
        }
    }

    /// The ledger as `bytes` hold it, brought forward to `now`. Bytes that are
    /// no ledger of the same intervals give an empty one.
    #[must_use]
    pub fn open(terms: &Terms, bytes: Option<&[u8]>, now: Micros) -> Self {
        let mut ledger = Self::new(terms);
        if let Some(bytes) = bytes
            && ledger.read(bytes).is_none()
        {
            ledger = Self::new(terms);
        }
        ledger.requests.advance(now);
        ledger.retries.advance(now);
        ledger.floor_retries.advance(now);
        ledger.reclaim(now);
        ledger
    }

    /// What the workers that are gone held is charged now.
    fn reclaim(&mut self, now: Micros) {
        let mut lost = 0_u32;
        self.leases.retain(|lease| {
            let alive = now - lease.renewed < LEASE_TIME;
            if !alive {
                lost = lost.saturating_add(lease.held);
            }
            alive
        });
        self.record_retries(now, lost);
    }

    /// Counts requests that arrived at `at`.
    pub fn record_requests(&mut self, at: Micros, count: u32) {
        if count > 0 {
            self.requests.add(at, count);
        }
    }

    /// Charges retries of requests that arrived at `at`.
    pub fn record_retries(&mut self, at: Micros, count: u32) {
        if count > 0 {
            self.retries.add(at, count);
            self.floor_retries.add(at, count);
        }
    }

    /// Sets what a worker holds; 0 ends its lease.
    pub fn set_held(&mut self, worker: u64, held: u32, now: Micros) {
        self.leases.retain(|lease| lease.worker != worker);
        if held > 0 {
            self.leases.push(Lease {
                worker,
                held,
                renewed: now,
            });
        }
    }

    /// Retries that workers hold and have not used.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.leases.iter().map(|lease| u64::from(lease.held)).sum()
    }

    /// Requests in the interval.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.total()
    }

    /// Retries charged in the interval.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.total()
    }

    /// Whether nothing is counted and nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests() == 0 && self.retries() == 0 && self.held() == 0
    }

    /// What may still be taken: the larger of share and floor. The floor gives
    /// no more than its rate, and over the whole interval no more than the floor
    /// alone would, so that floor and share never add up.
    #[must_use]
    pub fn room(&self) -> Room {
        let held = self.held();
        let used = held + self.retries.total();
        let share_left = self.terms.share.left(self.requests.total(), used);
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let floor_now =
            i64::from(self.terms.floor.count) - signed(held + self.floor_retries.total());
        let floor_over_interval = signed(self.terms.floor_over_interval()) - signed(used);
        Room {
            retries: self
                .terms
                .share
                .retries(share_left)
                .max(floor_now.min(floor_over_interval)),
            share_left,
        }
    }

    /// The ledger as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let windows = self.requests.encoded_len()
            + self.retries.encoded_len()
            + self.floor_retries.encoded_len();
        let mut out = Vec::with_capacity(windows + 20 * self.leases.len());
        self.requests.write(&mut out);
        self.retries.write(&mut out);
        self.floor_retries.write(&mut out);
        for lease in &self.leases {
            out.extend_from_slice(&lease.worker.to_le_bytes());
            out.extend_from_slice(&lease.held.to_le_bytes());
            out.extend_from_slice(&lease.renewed.0.to_le_bytes());
        }
        out
    }

    fn read(&mut self, bytes: &[u8]) -> Option<()> {
        let bytes = self.requests.read(bytes)?;
        let bytes = self.retries.read(bytes)?;
        let mut bytes = self.floor_retries.read(bytes)?;
        while let Some((worker, rest)) = bytes.split_first_chunk::<8>() {
            let (held, rest) = rest.split_first_chunk::<4>()?;
            let (renewed, rest) = rest.split_first_chunk::<8>()?;
            self.leases.push(Lease {
                worker: u64::from_le_bytes(*worker),
                held: u32::from_le_bytes(*held),
                renewed: Micros(u64::from_le_bytes(*renewed)),
            });
            bytes = rest;
        }
        bytes.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Floor, Percent, Share};

    fn terms(percent: u32, floor: u32) -> Terms {
        Terms {
            share: Share::of_requests(Percent::whole(percent).unwrap()),
            interval: Duration::from_secs(10),
            floor: Floor {
                count: floor,
                interval: Duration::from_secs(1),
            },
        }
    }

    fn at(millis: u64) -> Micros {
        Micros(1_000_000_000 + millis * 1000)
    }

    #[test]
    fn the_larger_of_share_and_floor_is_allowed_and_never_their_sum() {
        let mut ledger = Ledger::open(&terms(20, 10), None, at(0));
        assert_eq!(ledger.room().retries, 10, "the floor at no traffic");
        ledger.record_requests(at(0), 1000);
        assert_eq!(ledger.room().retries, 200, "the share");
        ledger.record_retries(at(0), 200);
        assert_eq!(ledger.room().retries, 0, "no floor on top of the share");
        let terms = terms(20, 10);
        let later = Ledger::open(&terms, Some(&ledger.to_bytes()), at(5000));
        assert_eq!(later.room().retries, 0);
        let expired = Ledger::open(&terms, Some(&ledger.to_bytes()), at(10_000));
        assert_eq!(expired.room().retries, 10);
    }

    #[test]
    fn what_a_lost_worker_held_is_spent_and_then_forgotten() {
        let terms = terms(100, 0);
        let mut ledger = Ledger::open(&terms, None, at(0));
        ledger.set_held(1, 5, at(0));
        ledger.set_held(2, 3, at(0));
        let mut ledger = Ledger::open(&terms, Some(&ledger.to_bytes()), at(6000));
        assert_eq!((ledger.held(), ledger.retries()), (8, 0));
        ledger.set_held(2, 3, at(6000));
        let ledger = Ledger::open(&terms, Some(&ledger.to_bytes()), at(10_000));
        assert_eq!((ledger.held(), ledger.retries()), (3, 5));
        let ledger = Ledger::open(&terms, Some(&ledger.to_bytes()), at(20_000));
        assert_eq!((ledger.held(), ledger.retries()), (0, 3));
    }

    #[test]
    fn foreign_bytes_give_an_empty_ledger() {
        let terms = terms(20, 10);
        for bytes in [&b""[..], b"x", &[0; 2000], &[255; 903]] {
            let ledger = Ledger::open(&terms, Some(bytes), at(0));
            assert_eq!((ledger.requests(), ledger.held()), (0, 0));
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_bytes_open(bytes: Vec<u8>, now: u64) {
            let _ = Ledger::open(&terms(20, 10), Some(&bytes), Micros(now)).room();
        }
    }
}
