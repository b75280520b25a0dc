//! Values found by text: exact, by prefix or by suffix, in time that depends on
//! the text looked up and not on how many are stored.

use super::TextMatch;

/// Values stored under text matches. `FOLD` compares without ASCII case; stored
/// texts are then lower-case.
#[derive(Debug, Clone)]
pub(super) struct TextIndex<T, const FOLD: bool> {
    exact: Keyed<T>,
    prefixes: Keyed<T>,
    /// Texts are stored backwards.
    suffixes: Keyed<T>,
    always: Option<T>,
}

#[derive(Debug, Clone)]
struct Keyed<T> {
    table: Table,
    /// By the table's numbers.
    values: Vec<T>,
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self {
            table: Table::default(),
            values: Vec::new(),
        }
    }
}

impl<T, const FOLD: bool> Default for TextIndex<T, FOLD> {
    fn default() -> Self {
        Self {
            exact: Keyed::default(),
            prefixes: Keyed::default(),
            suffixes: Keyed::default(),
            always: None,
        }
    }
}

impl<T: Default> Keyed<T> {
    fn entry(&mut self, text: Vec<u8>) -> &mut T {
        let number = self.table.insert(text);
        if number >= self.values.len() {
            self.values.resize_with(number + 1, T::default);
        }
        #[allow(clippy::indexing_slicing)] // just made long enough
        &mut self.values[number]
    }
}

impl<T: Default, const FOLD: bool> TextIndex<T, FOLD> {
    /// The value stored under `text`, a default one when there is none yet.
    /// `None` stands for a match that any text fits.
    pub(super) fn entry(&mut self, text: Option<&TextMatch>) -> &mut T {
        match text {
            Some(TextMatch::Exact(text)) => self.exact.entry(text.bytes().collect()),
            Some(TextMatch::Prefix(text)) => self.prefixes.entry(text.bytes().collect()),
            Some(TextMatch::Suffix(text)) => self.suffixes.entry(text.bytes().rev().collect()),
            Some(TextMatch::Present) | None => self.always.get_or_insert_default(),
        }
    }

    /// Calls `visit` with the value of every match that `text` fits. Dynamic,
    /// because lookups nest, and each level would else be copied into the one
    /// above four times.
    pub(super) fn visit(&self, text: &[u8], visit: &mut dyn FnMut(&T)) {
        if let Some(value) = &self.always {
            visit(value);
        }
        let mut found = |keyed: &Keyed<T>, number: usize| {
            if let Some(value) = keyed.values.get(number) {
                visit(value);
            }
        };
        let bytes = text
            .iter()
            .map(|&b| if FOLD { b.to_ascii_lowercase() } else { b });
        if !self.exact.values.is_empty() {
            let hash = bytes.clone().fold(Hash::START, Hash::with);
            let number = self.exact.table.find(hash, text.len(), bytes.clone());
            if let Some(number) = number {
                found(&self.exact, number);
            }
        }
        let (prefixes, suffixes) = (&self.prefixes, &self.suffixes);
        prefixes
            .table
            .find_heads(bytes.clone(), &mut |number| found(prefixes, number));
        suffixes
            .table
            .find_heads(bytes.rev(), &mut |number| found(suffixes, number));
    }
}

/// A running hash, so that every prefix of a text is hashed in one pass
/// (FNV-1a, Fowler, Noll, Vo). Only configured texts are stored, so a client
/// can not fill a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hash(u32);

impl Hash {
    const START: Self = Self(0x811c_9dc5);

    fn with(self, byte: u8) -> Self {
        Self((self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
}

/// A hash table that numbers texts and knows the lengths that occur.
#[derive(Debug, Clone, Default)]
struct Table {
    /// Number of a text plus one, 0 for an empty slot; a power of two long.
    slots: Vec<u32>,
    texts: Vec<(Hash, Vec<u8>)>,
    /// Lengths of the stored texts, ascending.
    lengths: Vec<usize>,
}

impl Table {
    fn find(
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

    /// The number of a text, a new one when it is new.
    fn insert(&mut self, text: Vec<u8>) -> usize {
        let hash = text.iter().copied().fold(Hash::START, Hash::with);
        if let Some(number) = self.find(hash, text.len(), text.iter().copied()) {
            return number;
        }
        if let Err(at) = self.lengths.binary_search(&text.len()) {
            self.lengths.insert(at, text.len());
        }
        self.texts.push((hash, text));
        self.fill_slots();
        self.texts.len() - 1
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
    fn find_heads(&self, text: impl Iterator<Item = u8> + Clone, found: &mut dyn FnMut(usize)) {
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
