//! Who used the retries of a limit: none of them may use it up alone.

use std::time::Duration;

use super::Micros;
use super::hash::hash;

/// Most sources that are kept apart; further ones count as one.
pub const MAX_SOURCES: usize = 64;

/// Bytes of one source in the store.
const ENTRY: usize = 24;

/// Retries of each source in a sliding interval: those of this interval, and of
/// the one before as far as it still counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// Microseconds.
    width: u64,
    now: Micros,
    list: Vec<Source>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    key: u64,
    /// Number of the interval of `count`.
    slot: u64,
    count: u32,
    before: u32,
}

/// The sources that found no place.
const OTHERS: u64 = 0;

impl Sources {
    /// What a store keeps, as of now; foreign bytes are nothing.
    #[must_use]
    pub fn open(interval: Duration, bytes: Option<&[u8]>, now: Micros) -> Self {
        let width = u64::try_from(interval.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        let slot = now.0 / width;
        let entries = bytes
            .unwrap_or_default()
            .chunks_exact(ENTRY)
            .take(MAX_SOURCES + 1);
        let mut list: Vec<Source> = entries.filter_map(Source::read).collect();
        for source in &mut list {
            source.advance(slot);
        }
        list.retain(|source| source.count > 0 || source.before > 0);
        Self { width, now, list }
    }

    /// Takes a retry for a source, if it then has at most `percent` of all that
    /// there are to take: those taken and the `left` ones, at least `allowed`. The
    /// first is always its.
    pub fn take(&mut self, source: &[u8], left: i64, allowed: i64, percent: u32) -> bool {
        let mut key = hash(source).max(1);
        if self.count_of(key) == 0 && self.list.len() >= MAX_SOURCES {
            key = OTHERS;
        }
        let used = self.count_of(key);
        let all: u64 = self.list.iter().map(|source| self.weighed(source)).sum();
        let there_are = all.saturating_add(u64::try_from(left).unwrap_or(0));
        let there_are = there_are.max(u64::try_from(allowed).unwrap_or(0));
        let most = there_are.saturating_mul(percent.into()) / 100;
        if used > 0 && used >= most {
            return false;
        }
        let slot = self.now.0 / self.width;
        match self.list.iter_mut().find(|source| source.key == key) {
            Some(source) => source.count = source.count.saturating_add(1),
            None => self.list.push(Source {
                key,
                slot,
                count: 1,
                before: 0,
            }),
        }
        true
    }

    fn count_of(&self, key: u64) -> u64 {
        let source = self.list.iter().find(|source| source.key == key);
        source.map_or(0, |source| self.weighed(source))
    }

    /// Retries in the interval up to now, the last one's in proportion, rounded up.
    fn weighed(&self, source: &Source) -> u64 {
        let still = self.width - self.now.0 % self.width;
        let before = u128::from(source.before) * u128::from(still);
        let before = before.div_ceil(u128::from(self.width));
        u64::from(source.count) + u64::try_from(before).unwrap_or(u64::MAX)
    }

    /// For the store.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENTRY * self.list.len());
        for source in &self.list {
            out.extend_from_slice(&source.key.to_le_bytes());
            out.extend_from_slice(&source.slot.to_le_bytes());
            out.extend_from_slice(&source.count.to_le_bytes());
            out.extend_from_slice(&source.before.to_le_bytes());
        }
        out
    }
}

impl Source {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (key, bytes) = bytes.split_first_chunk::<8>()?;
        let (slot, bytes) = bytes.split_first_chunk::<8>()?;
        let (count, bytes) = bytes.split_first_chunk::<4>()?;
        Some(Self {
            key: u64::from_le_bytes(*key),
            slot: u64::from_le_bytes(*slot),
            count: u32::from_le_bytes(*count),
            before: u32::from_le_bytes(*bytes.first_chunk::<4>()?),
        })
    }

    /// A clock that was set back leaves the counts where they are.
    fn advance(&mut self, slot: u64) {
        match slot.checked_sub(self.slot) {
            None | Some(0) => return,
            Some(1) => self.before = self.count,
            Some(_) => self.before = 0,
        }
        self.count = 0;
        self.slot = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn at(millis: u64) -> Micros {
        Micros(1_000_000_000_000 + millis * 1000)
    }

    fn open(bytes: &[u8], millis: u64) -> Sources {
        Sources::open(INTERVAL, Some(bytes), at(millis))
    }

    #[test]
    fn one_source_leaves_the_rest_to_others() {
        let mut sources = open(&[], 0);
        let mut left = 10;
        for _ in 0..50 {
            if sources.take(b"forger", left, 0, 80) {
                left -= 1;
            }
        }
        assert_eq!(left, 2, "four fifths");
        assert!(sources.take(b"honest", left, 0, 80));
    }

    #[test]
    fn the_first_retry_of_a_source_is_its() {
        let mut sources = open(&[], 0);
        assert!(sources.take(b"a", 1, 0, 1));
        assert!(!sources.take(b"a", 0, 0, 100));
        assert!(sources.take(b"b", 0, 0, 1));
    }

    #[test]
    fn what_is_older_than_an_interval_is_forgotten() {
        let mut sources = open(&[], 0);
        for _ in 0..8 {
            assert!(sources.take(b"a", 100, 0, 80));
        }
        let bytes = sources.to_bytes();
        assert_eq!(open(&bytes, 5_000).count_of(hash(b"a")), 8);
        assert_eq!(open(&bytes, 15_000).count_of(hash(b"a")), 4);
        assert_eq!(open(&bytes, 20_000).to_bytes(), b"");
    }

    #[test]
    fn any_number_of_sources_takes_bounded_memory() {
        let mut sources = open(&[], 0);
        for n in 0..5000 {
            sources.take(format!("s{n}").as_bytes(), 10_000, 0, 80);
        }
        assert_eq!(sources.list.len(), MAX_SOURCES + 1);
        assert_eq!(open(&sources.to_bytes(), 0), sources);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_bytes_open(bytes: Vec<u8>, now: u64, left: i64, percent in 1_u32..=100) {
            let mut sources = Sources::open(INTERVAL, Some(&bytes), Micros(now));
            sources.take(b"a", left, 0, percent);
            proptest::prop_assert!(sources.to_bytes().len() <= (MAX_SOURCES + 1) * ENTRY + ENTRY);
        }
    }
}
