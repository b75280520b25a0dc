//! A count over a sliding interval.

use std::time::Duration;

use super::Micros;

/// Narrowest slot worth having: finer ones would make workers settle more often
/// than a proxy's event loop turns.
const MIN_SLOT: Duration = Duration::from_millis(50);

/// How many things happened within the last interval, in slots of equal width.
///
/// The slots together never span more than the interval, so nothing counts
/// longer than that; they span at least all but one slot of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Microseconds.
    width: u64,
    /// Number of the newest slot, counted from time 0.
    newest: u64,
    counts: Vec<u32>,
    total: u64,
}

impl Window {
    /// An empty window over `interval`, of 10 to `most` slots.
    #[must_use]
    pub fn new(interval: Duration, most: usize) -> Self {
        let wanted = interval.as_micros() / MIN_SLOT.as_micros();
        let slots = usize::try_from(wanted)
            .unwrap_or(most)
            .clamp(10, most.max(10));
        let width = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX) / slots as u64;
        Self {
            width: width.max(1),
            newest: 0,
            counts: vec![0; slots],
            total: 0,
        }
    }

    /// Number of the slot that `at` falls into.
    #[must_use]
    pub fn slot(&self, at: Micros) -> u64 {
        at.0 / self.width
    }

    /// When the slot that `at` falls into ends.
    #[must_use]
    pub fn slot_end(&self, at: Micros) -> Micros {
        Micros((self.slot(at) + 1).saturating_mul(self.width))
    }

    /// Sum over the window.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Forgets what is older than the interval at `now`. A clock that was set
    /// back by less than the interval stands still until it is caught up with;
    /// one set back further starts an empty window.
    pub fn advance(&mut self, now: Micros) {
        let slot = self.slot(now);
        let slots = self.counts.len() as u64;
        if slot.abs_diff(self.newest) >= slots {
            self.counts.fill(0);
            self.total = 0;
            self.newest = slot;
        }
        while self.newest < slot {
            self.newest += 1;
            let index = (self.newest % slots) as usize;
            if let Some(count) = self.counts.get_mut(index) {
                self.total = self.total.saturating_sub(u64::from(*count));
                *count = 0;
            }
        }
    }

    /// Counts `amount` at a time that may be in the past; what is older than the
    /// window is forgotten at once. Call [`Window::advance`] first.
    pub fn add(&mut self, at: Micros, amount: u32) {
        let slots = self.counts.len() as u64;
        let slot = self.slot(at).min(self.newest);
        if self.newest - slot >= slots {
            return;
        }
        let index = (slot % slots) as usize;
        if let Some(count) = self.counts.get_mut(index) {
            let before = *count;
            *count = before.saturating_add(amount);
            self.total += u64::from(*count - before);
        }
    }

    /// Appends the window to `out`, little-endian: newest slot, then all counts.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.newest.to_le_bytes());
        for count in &self.counts {
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    /// Bytes that [`Window::write`] appends.
    pub(super) fn encoded_len(&self) -> usize {
        8 + 4 * self.counts.len()
    }

    /// Takes over what [`Window::write`] wrote of a window of the same shape;
    /// returns the bytes behind it.
    pub(super) fn read<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (newest, bytes) = bytes.split_first_chunk::<8>()?;
        let (counts, rest) = bytes.split_at_checked(4 * self.counts.len())?;
        self.newest = u64::from_le_bytes(*newest);
        self.total = 0;
        for (count, bytes) in self.counts.iter_mut().zip(counts.chunks_exact(4)) {
            *count = bytes.try_into().map_or(0, u32::from_le_bytes);
            self.total += u64::from(*count);
        }
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(not(target_arch = "wasm32"))]
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Micros {
        Micros(1_000_000_000 + millis * 1000)
    }

    #[test]
    fn a_count_is_forgotten_within_one_interval() {
        let mut window = Window::new(10 * SECOND, 100);
        window.advance(at(0));
        window.add(at(0), 7);
        window.advance(at(9_899));
        assert_eq!(window.total(), 7);
        window.advance(at(10_000));
        assert_eq!(window.total(), 0);
    }

    #[test]
    fn late_news_counts_when_it_happened() {
        let mut window = Window::new(10 * SECOND, 100);
        window.advance(at(15_000));
        window.add(at(14_000), 1);
        window.add(at(4_000), 1);
        assert_eq!(window.total(), 1);
        window.advance(at(24_000));
        assert_eq!(window.total(), 0);
    }

    #[test]
    fn a_clock_set_back_a_little_stands_still_and_a_lot_starts_again() {
        let mut window = Window::new(10 * SECOND, 100);
        window.advance(at(60_000));
        window.add(at(60_000), 3);
        window.advance(at(55_000));
        assert_eq!(window.total(), 3);
        window.advance(at(1_000));
        assert_eq!(window.total(), 0);
        window.add(at(1_000), 2);
        assert_eq!(window.total(), 2);
    }

    #[test]
    fn slots_never_span_more_than_the_interval() {
        for millis in [100, 333, 1000, 1550, 7001, 10_000, 3_600_000] {
            let window = Window::new(Duration::from_millis(millis), 100);
            let span = window.width * window.counts.len() as u64;
            assert!(span <= millis * 1000);
            assert!(span + window.width > millis * 1000);
            assert!((10..=100).contains(&window.counts.len()));
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest! {
        #[test]
        fn the_total_is_what_a_list_of_events_says(
            events in proptest::collection::vec((0_u64..3000, 0_u32..5), 1..60)
        ) {
            let mut window = Window::new(10 * SECOND, 100);
            let (mut now, mut log) = (at(0), Vec::new());
            for (wait, amount) in events {
                now = now + Duration::from_millis(wait);
                window.advance(now);
                window.add(now, amount);
                log.push((window.slot(now), amount));
                let newest = window.slot(now);
                let expected: u64 = log.iter()
                    .filter(|(slot, _)| newest - slot < 100)
                    .map(|(_, amount)| u64::from(*amount))
                    .sum();
                prop_assert_eq!(window.total(), expected);
                let mut bytes = Vec::new();
                window.write(&mut bytes);
                prop_assert_eq!(bytes.len(), window.encoded_len());
                let mut copy = Window::new(10 * SECOND, 100);
                prop_assert_eq!(copy.read(&bytes), Some(&[][..]));
                prop_assert_eq!(&copy, &window);
            }
        }
    }
}
