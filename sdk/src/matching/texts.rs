//! Values found by text: exact, by prefix or by suffix, in time that depends on
//! the text looked up and not on how many are stored.

use super::TextMatch;
use crate::texts::{Hash, Texts};

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
    table: Texts,
    /// By the table's numbers.
    values: Vec<T>,
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self {
            table: Texts::default(),
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
        let number = self.table.insert(&text).number;
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
