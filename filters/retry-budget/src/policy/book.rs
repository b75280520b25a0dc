//! An account for every value of a budget's key.

use std::collections::HashMap;
use std::time::Duration;

use super::hash::hash;
use super::{Account, LEASE_TIME, Micros, Store, Terms};

/// Most values of one budget's key that have a budget each; further ones share
/// one. A bound is needed because a client may choose the host.
pub const MAX_KEYS: usize = 512;

/// Where an account stands in its [`AccountBook`]. Valid from
/// [`AccountBook::enter`] to [`AccountBook::leave`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

impl Place {
    const COMMON: Self = Self(MAX_KEYS);
}

/// The accounts of one worker with one budget.
///
/// A directory in the store gives each key a number, the same for all workers;
/// the ledger is kept under that number, so that the store never holds more than
/// a fixed set of values. A number goes to another key once its own was not in
/// use for so long that its ledger is empty anyway.
#[derive(Debug)]
pub struct AccountBook {
    name: String,
    terms: Terms,
    worker: u64,
    places: HashMap<Box<[u8]>, Place>,
    entries: Vec<Option<Entry>>,
    common: Account,
    /// No number was free; not asked again before the next tick.
    full: bool,
    renewed: Micros,
}

#[derive(Debug)]
struct Entry {
    key: Box<[u8]>,
    account: Account,
    in_flight: u32,
    used: Micros,
}

impl AccountBook {
    /// A book whose ledgers are kept under names that start with `name`.
    #[must_use]
    pub fn new(name: impl Into<String>, terms: &Terms, worker: u64) -> Self {
        let name = name.into();
        Self {
            common: Account::new(name.clone(), terms, worker),
            name,
            terms: *terms,
            worker,
            places: HashMap::new(),
            entries: Vec::new(),
            full: false,
            renewed: Micros::default(),
        }
    }

    /// The place of a request's account: that of `key`, or the common one for
    /// requests without a key and keys without a place.
    pub fn enter(&mut self, key: Option<&[u8]>, now: Micros, store: &dyn Store) -> Place {
        let Some(key) = key else { return Place::COMMON };
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => self.open(key, now, store),
        };
        if let Some(Some(entry)) = self.entries.get_mut(place.0) {
            entry.in_flight += 1;
            entry.used = now;
        }
        place
    }

    /// The account at a place.
    pub fn account(&mut self, place: Place) -> &mut Account {
        match self.entries.get_mut(place.0) {
            Some(Some(entry)) => &mut entry.account,
            _ => &mut self.common,
        }
    }

    /// A request that had entered is over.
    pub fn leave(&mut self, place: Place) {
        if let Some(Some(entry)) = self.entries.get_mut(place.0) {
            entry.in_flight = entry.in_flight.saturating_sub(1);
        }
    }

    /// Ticks all accounts, see [`Account::tick`], and closes those that nobody
    /// used for long. Returns the smallest balance of those that asked their
    /// ledger.
    pub fn tick(&mut self, now: Micros, store: &dyn Store) -> Option<i64> {
        self.full = false;
        let mut least = self.common.tick(now, store);
        let retention = self.retention();
        for slot in &mut self.entries {
            let Some(entry) = slot else { continue };
            let balance = entry.account.tick(now, store);
            least = balance.into_iter().chain(least).min();
            let unused = entry.in_flight == 0 && now - entry.used >= retention;
            if unused && entry.account.is_settled() {
                self.places.remove(&entry.key);
                *slot = None;
            }
        }
        if !self.places.is_empty() && now - self.renewed >= retention / 4 {
            self.renew(now, store);
        }
        least
    }

    /// Gives back what all accounts hold, see [`Account::close`].
    pub fn close(&mut self, now: Micros, store: &dyn Store) {
        self.common.close(now, store);
        for entry in self.entries.iter_mut().flatten() {
            entry.account.close(now, store);
        }
    }

    /// After this long a ledger that nobody wrote to is empty.
    fn retention(&self) -> Duration {
        2 * self
            .terms
            .interval
            .max(self.terms.floor.interval)
            .max(LEASE_TIME)
    }

    fn open(&mut self, key: &[u8], now: Micros, store: &dyn Store) -> Place {
        if self.full {
            return Place::COMMON;
        }
        let Some(number) = self.number(hash(key), now, store) else {
            self.full = true;
            return Place::COMMON;
        };
        let entry = Entry {
            key: key.into(),
            account: Account::new(format!("{}.{number}", self.name), &self.terms, self.worker),
            in_flight: 0,
            used: now,
        };
        if self.entries.len() <= number {
            self.entries.resize_with(number + 1, || None);
        }
        if let Some(slot) = self.entries.get_mut(number) {
            *slot = Some(entry);
        }
        self.places.insert(key.into(), Place(number));
        Place(number)
    }

    /// The number that the directory gives a key; `None` when all are taken.
    fn number(&self, key: u64, now: Micros, store: &dyn Store) -> Option<usize> {
        let unused_for = 2 * self.retention();
        let mut number = None;
        let updated = store.update(&format!("{}.keys", self.name), &mut |bytes| {
            let mut directory = Directory::read(bytes);
            number = directory.find(key).or_else(|| {
                let free = |entry: &Listed| now - entry.seen >= unused_for;
                directory.0.iter().position(free).or_else(|| {
                    (directory.0.len() < MAX_KEYS).then(|| {
                        directory.0.push(Listed { key, seen: now });
                        directory.0.len() - 1
                    })
                })
            });
            let listed = directory.0.get_mut(number?)?;
            *listed = Listed { key, seen: now };
            Some(directory.write())
        });
        number.filter(|_| updated.is_ok())
    }

    /// Tells the directory which numbers are in use.
    fn renew(&mut self, now: Micros, store: &dyn Store) {
        let updated = store.update(&format!("{}.keys", self.name), &mut |bytes| {
            let mut directory = Directory::read(bytes);
            for (key, place) in &self.places {
                let key = hash(key);
                if let Some(listed) = directory.0.get_mut(place.0)
                    && listed.key == key
                {
                    listed.seen = now;
                }
            }
            Some(directory.write())
        });
        if updated.is_ok() {
            self.renewed = now;
        }
    }
}

/// Which key has which number: its position.
struct Directory(Vec<Listed>);

struct Listed {
    key: u64,
    seen: Micros,
}

impl Directory {
    fn read(bytes: Option<&[u8]>) -> Self {
        let entries = bytes.unwrap_or_default().chunks_exact(16);
        Self(
            entries
                .filter_map(|entry| {
                    let (key, seen) = entry.split_first_chunk::<8>()?;
                    Some(Listed {
                        key: u64::from_le_bytes(*key),
                        seen: Micros(u64::from_le_bytes(seen.try_into().ok()?)),
                    })
                })
                .collect(),
        )
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 * self.0.len());
        for listed in &self.0 {
            out.extend_from_slice(&listed.key.to_le_bytes());
            out.extend_from_slice(&listed.seen.0.to_le_bytes());
        }
        out
    }

    fn find(&self, key: u64) -> Option<usize> {
        self.0.iter().position(|listed| listed.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Floor, MemoryStore, Percent, Share};

    fn terms() -> Terms {
        Terms {
            share: Share::of_requests(Percent::whole(100).unwrap()),
            interval: Duration::from_secs(10),
            floor: Floor {
                count: 0,
                interval: Duration::from_secs(1),
            },
        }
    }

    fn book(worker: u64) -> AccountBook {
        AccountBook::new("b", &terms(), worker)
    }

    fn at(seconds: u64) -> Micros {
        Micros(1_000_000_000 + seconds * 1_000_000)
    }

    fn use_once(book: &mut AccountBook, key: &str, seconds: u64, store: &MemoryStore) -> Place {
        let place = book.enter(Some(key.as_bytes()), at(seconds), store);
        let granted = book.account(place).arrive(at(seconds), 1, store);
        book.account(place)
            .finish(at(seconds), granted, 0, || at(seconds), store);
        book.leave(place);
        place
    }

    #[test]
    fn each_key_has_its_own_budget_that_all_workers_share() {
        let store = MemoryStore::default();
        let (mut one, mut two) = (book(1), book(2));
        use_once(&mut one, "a", 0, &store);
        one.tick(at(1), &store);
        one.tick(at(2), &store);
        let a = two.enter(Some(b"a"), at(2), &store);
        let b = two.enter(Some(b"b"), at(2), &store);
        assert_ne!(a, b);
        // Two requests have come for one, and one for the other.
        assert_eq!(two.account(a).arrive(at(2), 1, &store), 1);
        assert_eq!(two.account(a).take(at(2), 5, &store), 1);
        assert_eq!(two.account(b).arrive(at(2), 1, &store), 1);
        assert_eq!(two.account(b).take(at(2), 5, &store), 0);
    }

    #[test]
    fn any_number_of_hostile_keys_takes_bounded_memory() {
        let store = MemoryStore::default();
        let mut book = book(1);
        for n in 0..5000 {
            let place = use_once(&mut book, &format!("host-{n}"), 0, &store);
            assert_eq!(place == Place::COMMON, n >= MAX_KEYS);
        }
        book.tick(at(1), &store);
        // The ledgers, the common one and the directory.
        assert_eq!(store.len(), MAX_KEYS + 2);
        assert!(book.places.len() <= MAX_KEYS);
    }

    #[test]
    fn unused_keys_make_room_once_their_ledger_is_empty() {
        let store = MemoryStore::default();
        let (mut one, mut two) = (book(1), book(2));
        for n in 0..MAX_KEYS {
            use_once(&mut one, &format!("host-{n}"), 0, &store);
        }
        for second in 1..=20 {
            one.tick(at(second), &store);
        }
        assert!(one.places.is_empty());
        assert_eq!(use_once(&mut two, "late", 30, &store), Place::COMMON);
        two.tick(at(57), &store);
        assert_ne!(use_once(&mut two, "late", 57, &store), Place::COMMON);
    }

    #[test]
    fn a_key_with_requests_in_flight_keeps_its_number() {
        let store = MemoryStore::default();
        let mut one = book(1);
        let place = one.enter(Some(b"long"), at(0), &store);
        for second in 1..200 {
            one.tick(at(second), &store);
        }
        let mut two = book(2);
        assert_eq!(two.enter(Some(b"long"), at(200), &store), place);
        assert_ne!(two.enter(Some(b"other"), at(200), &store), place);
    }
}
