//! Where the workers of one proxy keep what they share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

/// A shared value could not be changed; nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreError;

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shared value could not be changed")
    }
}

impl std::error::Error for StoreError {}

/// Makes the new value of the old one; `None` leaves it as it is.
pub type Change<'a> = dyn FnMut(Option<&[u8]>) -> Option<Vec<u8>> + 'a;

/// Named bytes that change atomically. A proxy's shared data with
/// compare-and-swap, or a map in tests.
pub trait Store {
    /// Replaces the value by what `change` makes of it, atomically; `change` may
    /// run more than once.
    ///
    /// # Errors
    /// The value is unchanged.
    fn update(&self, name: &str, change: &mut Change<'_>) -> Result<(), StoreError>;
}

/// A [`Store`] in memory, for tests and simulations.
#[derive(Debug, Default)]
pub struct MemoryStore {
    values: RefCell<HashMap<String, Vec<u8>>>,
}

impl MemoryStore {
    /// The value under `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.values.borrow().get(name).cloned()
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.borrow().len()
    }

    /// Whether nothing was stored yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Store for MemoryStore {
    fn update(&self, name: &str, change: &mut Change<'_>) -> Result<(), StoreError> {
        let mut values = self.values.borrow_mut();
        if let Some(new) = change(values.get(name).map(Vec::as_slice)) {
            values.insert(name.to_owned(), new);
        }
        Ok(())
    }
}
