//! What was looked up lately.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// A bounded map whose entries are believed for a while.
#[derive(Debug)]
pub struct Expiring<T> {
    /// Places in `entries`; one map type for the whole filter keeps it small.
    places: HashMap<Box<[u8]>, usize>,
    entries: Vec<Entry<T>>,
    lifetime: Duration,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<T> {
    until: Duration,
    value: Rc<T>,
}

impl<T> Expiring<T> {
    /// Entries are believed for `lifetime`; at most `capacity` are kept.
    #[must_use]
    pub fn new(lifetime: Duration, capacity: usize) -> Self {
        Self {
            places: HashMap::new(),
            entries: Vec::new(),
            lifetime,
            capacity,
        }
    }

    /// The entry under `key`, unless it is too old.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &[u8], now: Duration) -> Option<Rc<T>> {
        let entry = self.entries.get(*self.places.get(key)?)?;
        (now < entry.until).then(|| Rc::clone(&entry.value))
    }

    /// Adds an entry, or replaces an old one. A full map forgets everything:
    /// what is in use comes back with its next request.
    pub fn insert(&mut self, key: &[u8], value: T, now: Duration) -> Rc<T> {
        let value = Rc::new(value);
        let entry = Entry {
            until: now + self.lifetime,
            value: Rc::clone(&value),
        };
        let place = self.places.get(key).copied();
        if let Some(old) = place.and_then(|place| self.entries.get_mut(place)) {
            *old = entry;
            return value;
        }
        if self.entries.len() >= self.capacity {
            self.places.clear();
            self.entries.clear();
        }
        self.places.insert(key.into(), self.entries.len());
        self.entries.push(entry);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_believed_for_their_lifetime_and_bounded() {
        let second = Duration::from_secs(1);
        let mut map = Expiring::new(second * 5, 2);
        map.insert(b"a", 1, second);
        assert_eq!(map.get(b"a", second * 5).as_deref(), Some(&1));
        assert_eq!(map.get(b"a", second * 6), None);
        map.insert(b"a", 2, second * 7);
        map.insert(b"b", 3, second * 7);
        assert_eq!(map.get(b"a", second * 7).as_deref(), Some(&2));
        map.insert(b"c", 4, second * 7);
        assert_eq!(map.get(b"a", second * 7), None);
        assert_eq!(map.entries.len(), 1);
    }
}
