//! The core's store in the proxy's shared data.

use meshpack_sdk::shared::SharedData;

use crate::policy::{Change, Store, StoreError};

/// Shared data with compare-and-swap, the same for all workers of a proxy and
/// for all plugins with the same `vm_id`.
#[derive(Debug)]
pub(crate) struct Shared(SharedData);

impl Shared {
    pub(crate) fn new(plugin: &str) -> Self {
        Self(SharedData::new(plugin))
    }
}

impl Store for Shared {
    fn update(&self, name: &str, change: &mut Change<'_>) -> Result<(), StoreError> {
        match self.0.update(name, change) {
            Ok(_) => Ok(()),
            Err(error) => {
                log::warn!("retry_budget: shared data {name:?} was not changed: {error}");
                Err(StoreError)
            }
        }
    }
}
