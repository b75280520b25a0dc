//! Counters that are added up in the worker and settled on the tick.

use std::cell::RefCell;

use super::Kind;
use super::registry::{self, Registered};
use crate::host::{HostError, abi};

struct Pending {
    id: u32,
    amount: u64,
}

thread_local! {
    static PENDING: RefCell<Vec<Pending>> = const { RefCell::new(Vec::new()) };
}

/// A counter. [`Counter::add`] is a memory write; Envoy gets the sum on the next
/// tick (once a second at the latest) and when the plugin shuts down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    slot: usize,
}

impl Counter {
    /// Defines the counter under its full stat name. The same name gives the
    /// same counter, so that a new configuration goes on counting.
    ///
    /// # Errors
    /// What the host answers.
    pub fn define(name: &str) -> Result<Self, HostError> {
        let slot = registry::find(Registered::Slot, name, &mut || {
            PENDING.with(|pending| {
                let mut pending = pending
                    .try_borrow_mut()
                    .map_err(|_| HostError::InternalFailure)?;
                let id = abi::define_metric(Kind::Counter as u32, name.as_bytes())?;
                pending.push(Pending { id, amount: 0 });
                u32::try_from(pending.len() - 1).map_err(|_| HostError::InternalFailure)
            })
        })?;
        Ok(Self {
            slot: slot as usize,
        })
    }

    /// Adds to the counter.
    pub fn add(self, amount: u64) {
        PENDING.with(|pending| {
            if let Ok(mut pending) = pending.try_borrow_mut()
                && let Some(entry) = pending.get_mut(self.slot)
            {
                entry.amount = entry.amount.saturating_add(amount);
            }
        });
    }

    /// The sum over all workers as Envoy knows it, what this worker has not
    /// handed over yet included.
    ///
    /// # Errors
    /// What the host answers.
    pub fn total(self) -> Result<u64, HostError> {
        PENDING.with(|pending| {
            let pending = pending
                .try_borrow()
                .map_err(|_| HostError::InternalFailure)?;
            let entry = pending.get(self.slot).ok_or(HostError::NotFound)?;
            Ok(abi::metric(entry.id)?.saturating_add(entry.amount))
        })
    }
}

/// Hands every sum to Envoy. A sum that the host refuses is kept.
pub(crate) fn flush() {
    PENDING.with(|pending| {
        let Ok(mut pending) = pending.try_borrow_mut() else {
            return;
        };
        for entry in pending.iter_mut().filter(|entry| entry.amount > 0) {
            let amount = i64::try_from(entry.amount).unwrap_or(i64::MAX);
            if abi::increment_metric(entry.id, amount).is_ok() {
                entry.amount -= amount.unsigned_abs();
            }
        }
    });
}

/// Forgets every counter of this thread, as a VM that ends does.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn forget() {
    PENDING.with(|pending| {
        if let Ok(mut pending) = pending.try_borrow_mut() {
            pending.clear();
        }
    });
}
