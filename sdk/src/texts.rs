//! Texts of a configuration, found in constant time.
//!
//! The standard library's maps cost a module 4 to 6 KB for every type of key and
//! value; what is read once has no need of their speed.

/// A running hash, so that every prefix of a text is hashed in one pass
/// (FNV-1a, Fowler, Noll, Vo). Only configured texts are stored, so a client
/// can not fill a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(u32);

impl Hash {
    pub(crate) const START: Self = Self(0x811c_9dc5);

    pub(crate) fn with(self, byte: u8) -> Self {
        Self((self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
}

/// What became of a text that was to be inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inserted {
    /// Its number.
    pub number: usize,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// A hash table that numbers texts and knows the lengths that occur.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// Number of a text plus one, 0 for an empty slot; a power of two long.
    slots: Vec<u32>,
    texts: Vec<(Hash, Vec<u8>)>,
    /// Lengths of the stored texts, ascending.
    lengths: Vec<usize>,
}

impl Texts {
    pub(crate) fn find(
        &self,
        hash: Hash,
        length: usize,
        text: impl Iterator<Item = u8> + Clone,
    ) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash.0 as usize & mask;
        loop {
            let number = (*self.slots.get(at)? as usize).checked_sub(1)?;
            let (stored_hash, stored) = self.texts.get(number)?;
            if *stored_hash == hash
                && stored.len() == length
                && stored.iter().copied().eq(text.clone().take(length))
            {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }

    /// The number of a text, a new one when it is new. Numbers count from 0.
    #[cold]
    #[inline(never)]
    pub fn insert(&mut self, text: &[u8]) -> Inserted {
        if let Some(number) = self.number(text) {
            return Inserted {
                number,
                is_new: false,
            };
        }
        let hash = text.iter().copied().fold(Hash::START, Hash::with);
        if let Err(at) = self.lengths.binary_search(&text.len()) {
            self.lengths.insert(at, text.len());
        }
        self.texts.push((hash, text.to_vec()));
        self.fill_slots();
        Inserted {
            number: self.texts.len() - 1,
            is_new: true,
        }
    }

    /// How many texts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The number of a text that is there.
    #[cold]
    #[inline(never)]
    #[must_use]
    pub fn number(&self, text: &[u8]) -> Option<usize> {
        let hash = text.iter().copied().fold(Hash::START, Hash::with);
        self.find(hash, text.len(), text.iter().copied())
    }

    /// Puts the last text into a slot; all of them, when the table was half full.
    fn fill_slots(&mut self) {
        let wanted = (self.texts.len() * 2).next_power_of_two();
        let mut first = self.texts.len() - 1;
        if wanted > self.slots.len() {
            self.slots = vec![0; wanted];
            first = 0;
        }
        let mask = self.slots.len() - 1;
        for (number, (hash, _)) in self.texts.iter().enumerate().skip(first) {
            let mut at = hash.0 as usize & mask;
            while self.slots.get(at).is_some_and(|&slot| slot != 0) {
                at = (at + 1) & mask;
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = number as u32 + 1;
            }
        }
    }

    /// Calls `found` with the numbers of all stored texts that `text` starts with.
    pub(crate) fn find_heads(
        &self,
        text: impl Iterator<Item = u8> + Clone,
        found: &mut dyn FnMut(usize),
    ) {
        let mut hash = Hash::START;
        let mut hashed = 0;
        let mut rest = text.clone();
        for &length in &self.lengths {
            while hashed < length {
                let Some(byte) = rest.next() else {
                    return;
                };
                hash = hash.with(byte);
                hashed += 1;
            }
            if let Some(number) = self.find(hash, length, text.clone()) {
                found(number);
            }
        }
    }
}
