//! The streams under way, by the id of their context.

/// Slots of a table that has held a stream.
const FEWEST_SLOTS: usize = 16;

/// A table indexed by the lowest bits of the ids. Envoy counts them up, so streams
/// hardly ever meet in a slot, and finding one is an addition and a comparison; a
/// general hash map costs every callback several times that.
#[derive(Debug)]
pub(crate) struct Streams<S> {
    /// A power of two, at least twice as many as streams; a stream whose slot is
    /// taken has the next free one.
    slots: Vec<Option<Entry<S>>>,
    count: usize,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Entry<S> {
    pub(crate) id: u32,
    pub(crate) root: u32,
    pub(crate) state: Option<S>,
}

impl<S> Streams<S> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            count: 0,
        }
    }

    pub(crate) fn insert(&mut self, id: u32, root: u32, state: Option<S>) {
        if self.slots.len() < 2 * (self.count + 1) {
            self.grow();
        }
        let entry = Entry { id, root, state };
        let at = self.place(id);
        if let Some(slot) = self.slots.get_mut(at) {
            self.count += usize::from(slot.is_none());
            *slot = Some(entry);
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Entry<S>> {
        let at = self.place(id);
        self.slots.get_mut(at)?.as_mut()
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Entry<S>> {
        let at = self.place(id);
        let removed = self.slots.get_mut(at)?.take()?;
        self.count -= 1;
        self.close_gap(at);
        Some(removed)
    }

    /// Drops the streams that `keep` does not want.
    #[cold]
    #[inline(never)]
    pub(crate) fn retain(&mut self, keep: &dyn Fn(&Entry<S>) -> bool) {
        let entries = self.slots.iter().flatten();
        let unwanted: Vec<u32> = entries.filter(|e| !keep(e)).map(|e| e.id).collect();
        for id in unwanted {
            self.remove(id);
        }
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<S>> {
        self.slots.iter_mut().flatten()
    }

    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    /// The slot that has the stream, or else the one where it belongs. There is
    /// always a free one to end at.
    #[inline]
    fn place(&self, id: u32) -> usize {
        let mask = self.mask();
        let mut at = id as usize & mask;
        while let Some(Some(entry)) = self.slots.get(at)
            && entry.id != id
        {
            at = (at + 1) & mask;
        }
        at
    }

    /// Moves back the streams that would not be found any more behind a free slot.
    fn close_gap(&mut self, gap: usize) {
        let mask = self.mask();
        let mut at = (gap + 1) & mask;
        while let Some(slot) = self.slots.get_mut(at)
            && let Some(entry) = slot.take()
        {
            let to = self.place(entry.id);
            if let Some(slot) = self.slots.get_mut(to) {
                *slot = Some(entry);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let slots = FEWEST_SLOTS.max(2 * self.slots.len());
        let old = std::mem::take(&mut self.slots);
        self.slots.resize_with(slots, || None);
        for entry in old.into_iter().flatten() {
            let at = self.place(entry.id);
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = Some(entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn an_empty_table_has_nothing() {
        let mut streams = Streams::<u32>::new();
        assert!(streams.get_mut(7).is_none());
        assert!(streams.remove(7).is_none());
    }

    proptest::proptest! {
        #[test]
        fn it_answers_as_a_map_does(steps: Vec<(u8, u8)>) {
            let mut streams = Streams::new();
            let mut map = HashMap::new();
            for (step, id) in steps {
                // Few lowest bits, so that slots are contested.
                let id = u32::from(id % 8) * 16 + u32::from(id / 128);
                match step % 4 {
                    0 | 1 => {
                        streams.insert(id, 1, None);
                        map.insert(id, None);
                        if step % 8 > 3 {
                            streams.get_mut(id).unwrap().state = Some(step);
                            map.insert(id, Some(step));
                        }
                    }
                    2 => {
                        let removed = streams.remove(id).map(|entry| entry.state);
                        proptest::prop_assert_eq!(removed, map.remove(&id));
                    }
                    _ => {
                        streams.retain(&|entry| entry.id % 3 > 0);
                        map.retain(|id, _| *id % 3 > 0);
                    }
                }
                proptest::prop_assert_eq!(streams.count, map.len());
                for id in 0..200 {
                    let state = streams.get_mut(id).map(|entry| entry.state);
                    proptest::prop_assert_eq!(state, map.get(&id).copied());
                }
            }
        }
    }
}
