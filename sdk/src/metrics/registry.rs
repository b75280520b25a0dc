//! Which metrics this VM has defined.
//!
//! Envoy gives every definition an id of its own and keeps it for the life of the
//! VM, also when the metric is there already. So each is defined once, however
//! many configurations follow each other.

use std::cell::RefCell;

use super::Kind;
use crate::host::{HostError, abi};
use crate::texts::Texts;

thread_local! {
    static DEFINED: RefCell<Registry> = RefCell::default();
}

#[derive(Default)]
struct Registry {
    names: Texts,
    /// By the numbers of the names; `None` where the host refused the metric.
    numbers: Vec<Option<u32>>,
}

/// What a number of the registry stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registered {
    /// The id of a metric of this kind.
    Id(Kind),
    /// The slot of a counter that is added up in the worker.
    Slot,
}

/// The id of a metric, which is defined if it is new.
///
/// # Errors
/// What the host answers.
pub(crate) fn define(kind: Kind, name: &str) -> Result<u32, HostError> {
    find(Registered::Id(kind), name, &mut || {
        abi::define_metric(kind as u32, name.as_bytes())
    })
}

/// The number registered for a name, which `make` gives if it is new. Dynamic,
/// so that the map's code is there once.
#[cold]
pub(super) fn find(
    what: Registered,
    name: &str,
    make: &mut dyn FnMut() -> Result<u32, HostError>,
) -> Result<u32, HostError> {
    DEFINED.with(|defined| {
        let mut defined = defined
            .try_borrow_mut()
            .map_err(|_| HostError::InternalFailure)?;
        let mut key = Vec::with_capacity(name.len() + 1);
        key.push(match what {
            Registered::Id(kind) => kind as u8,
            Registered::Slot => u8::MAX,
        });
        key.extend_from_slice(name.as_bytes());
        let at = defined.names.insert(&key).number;
        if defined.numbers.len() <= at {
            defined.numbers.push(None);
        }
        let Some(number) = defined.numbers.get_mut(at) else {
            return Err(HostError::InternalFailure);
        };
        if number.is_none() {
            *number = Some(make()?);
        }
        number.ok_or(HostError::InternalFailure)
    })
}

/// Forgets every definition of this thread, as a VM that ends does.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn forget() {
    DEFINED.with(|defined| *defined.borrow_mut() = Registry::default());
    super::pending::forget();
}
