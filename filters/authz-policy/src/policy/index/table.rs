//! A hash table from keys to lists of numbers, built once, probed with hashes
//! that the caller computes while it walks a text.

use crate::policy::sort::sort_and_dedup;

/// How a key is to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// The whole text.
    Exact,
    /// The start of a text.
    Prefix,
    /// The end of a text.
    Suffix,
}

/// Which keys are meant: a dimension's number and a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    pub(super) dimension: u32,
    pub(super) form: Form,
}

/// FNV-1a over 64 bits. Keys come from the configuration, so nobody outside
/// can choose them to collide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(u64);

impl Hash {
    pub(super) fn new(dimension: u32) -> Self {
        Self(0xcbf2_9ce4_8422_2325 ^ (u64::from(dimension) << 32))
    }

    pub(super) fn byte(self, byte: u8) -> Self {
        Self((self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    pub(super) fn forward(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |hash, &b| hash.byte(b))
    }

    /// The hash of a suffix: bytes from the last to the first.
    pub(super) fn backward(self, bytes: &[u8]) -> Self {
        bytes.iter().rev().fold(self, |hash, &b| hash.byte(b))
    }

    pub(super) fn of(tag: Tag, bytes: &[u8]) -> Self {
        let start = Self::new(tag.dimension);
        match tag.form {
            Form::Suffix => start.backward(bytes),
            Form::Exact | Form::Prefix => start.forward(bytes),
        }
    }

    pub(super) fn value(self) -> u64 {
        self.0
    }

    fn slot(self, mask: usize) -> usize {
        ((self.0 ^ (self.0 >> 32)) as usize) & mask
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    hash: Hash,
    tag: Tag,
    key_start: u32,
    key_length: u32,
    first: u32,
    count: u32,
}

/// The table.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Table {
    /// Entry number plus one; zero is free. Length is a power of two.
    slots: Vec<u32>,
    entries: Vec<Entry>,
    keys: Vec<u8>,
    numbers: Vec<u32>,
}

impl Table {
    /// Builds the table from keys and the number each is to lead to.
    pub(super) fn build(mut pairs: Vec<(Tag, Vec<u8>, u32)>) -> Self {
        sort_and_dedup(&mut pairs);
        let mut table = Self::default();
        for group in pairs.chunk_by(|a, b| a.0 == b.0 && a.1 == b.1) {
            let Some((tag, key, _)) = group.first() else {
                continue;
            };
            table.entries.push(Entry {
                hash: Hash::of(*tag, key),
                tag: *tag,
                key_start: table.keys.len() as u32,
                key_length: key.len() as u32,
                first: table.numbers.len() as u32,
                count: group.len() as u32,
            });
            table.keys.extend_from_slice(key);
            table
                .numbers
                .extend(group.iter().map(|(.., number)| number));
        }
        table.place();
        table
    }

    fn place(&mut self) {
        let size = (self.entries.len() * 2).next_power_of_two();
        let mask = size - 1;
        self.slots = vec![0; size];
        for (number, entry) in self.entries.iter().enumerate() {
            let mut at = entry.hash.slot(mask);
            while self.slots.get(at).is_some_and(|taken| *taken != 0) {
                at = (at + 1) & mask;
            }
            if let Some(free) = self.slots.get_mut(at) {
                *free = number as u32 + 1;
            }
        }
    }

    /// The numbers under a key whose hash is known.
    pub(super) fn get(&self, tag: Tag, hash: Hash, key: &[u8]) -> &[u32] {
        if self.entries.is_empty() {
            return &[];
        }
        let mask = self.slots.len() - 1;
        let mut at = hash.slot(mask);
        while let Some(number) = self.slots.get(at).and_then(|slot| slot.checked_sub(1)) {
            if let Some(entry) = self.entries.get(number as usize)
                && entry.hash == hash
                && entry.tag == tag
                && self.key(entry) == Some(key)
            {
                let first = entry.first as usize;
                let numbers = self.numbers.get(first..first + entry.count as usize);
                return numbers.unwrap_or(&[]);
            }
            at = (at + 1) & mask;
        }
        &[]
    }

    fn key(&self, entry: &Entry) -> Option<&[u8]> {
        let start = entry.key_start as usize;
        self.keys.get(start..start + entry.key_length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, Hash, Table, Tag};

    #[test]
    fn keys_lead_to_their_numbers_and_forms_do_not_mix() {
        let exact = Tag {
            dimension: 1,
            form: Form::Exact,
        };
        let prefix = Tag {
            dimension: 1,
            form: Form::Prefix,
        };
        let other = Tag {
            dimension: 2,
            form: Form::Exact,
        };
        let mut pairs = vec![
            (exact, b"a".to_vec(), 1),
            (exact, b"a".to_vec(), 2),
            (exact, b"a".to_vec(), 2),
            (prefix, b"a".to_vec(), 3),
        ];
        pairs.extend((0..500).map(|n| (other, format!("k{n}").into_bytes(), n)));
        let table = Table::build(pairs);
        let get = |tag, key: &[u8]| table.get(tag, Hash::of(tag, key), key).to_vec();
        assert_eq!(get(exact, b"a"), [1, 2]);
        assert_eq!(get(prefix, b"a"), [3]);
        assert_eq!(get(other, b"a"), [0; 0]);
        for n in 0..500 {
            assert_eq!(get(other, format!("k{n}").as_bytes()), [n]);
        }
        assert_eq!(
            Table::build(vec![]).get(exact, Hash::of(exact, b"a"), b"a"),
            [0; 0]
        );
    }
}
