//! State that all workers of a proxy share.
//!
//! Two mechanisms are exact under concurrency: a metric counter (an atomic in
//! Envoy; scalar calls, 1.2k instructions each) and shared data with
//! compare-and-swap (any bytes, but calls that return bytes cost ten times as
//! much). [`SharedCounter`] hides which of them keeps a number.

use crate::host::{HostError, abi};
use crate::metrics::{Kind, registry};

/// Named values with compare-and-swap.
///
/// Envoy keeps one namespace per `vm_id`, which is empty for every plugin under
/// Istio; so every key starts with the plugin's own name.
#[derive(Debug, Clone)]
pub struct SharedData {
    prefix: String,
}

impl SharedData {
    /// The namespace of one plugin.
    #[must_use]
    pub fn new(plugin: &str) -> Self {
        Self {
            prefix: format!("meshpack.{plugin}."),
        }
    }

    fn key(&self, name: &str) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + name.len());
        key.extend_from_slice(self.prefix.as_bytes());
        key.extend_from_slice(name.as_bytes());
        key
    }

    /// Reads a value, `None` when nobody wrote it yet.
    ///
    /// # Errors
    /// What the host answers beside "not found".
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, HostError> {
        match abi::shared_data(&self.key(name)) {
            Ok((bytes, _)) => Ok(Some(bytes.to_vec())),
            Err(HostError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a value, whatever it was.
    ///
    /// # Errors
    /// What the host answers.
    pub fn set(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        abi::set_shared_data(&self.key(name), value, 0)
    }

    /// Changes a value atomically: reads it, lets `change` compute the new one
    /// (`None` leaves it as it is), and tries again if another worker was
    /// faster. Returns the value in force afterwards.
    ///
    /// # Errors
    /// [`HostError::CasMismatch`] after 64 lost races, and what the host answers.
    pub fn update(
        &self,
        name: &str,
        mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, HostError> {
        let key = self.key(name);
        for _ in 0..64 {
            let (old, cas) = match abi::shared_data(&key) {
                Ok((bytes, cas)) => (Some(bytes), cas),
                // Any CAS but 0 creates an absent key; one that no key can have
                // makes the loser of a race to create it fail and try again.
                Err(HostError::NotFound) => (None, u32::MAX),
                Err(error) => return Err(error),
            };
            let Some(new) = change(old) else {
                return Ok(old.map(<[u8]>::to_vec));
            };
            match abi::set_shared_data(&key, &new, cas) {
                Ok(()) => return Ok(Some(new)),
                Err(HostError::CasMismatch) => {}
                Err(error) => return Err(error),
            }
        }
        Err(HostError::CasMismatch)
    }
}

/// A number that all workers share exactly.
pub trait SharedCounter {
    /// Adds `amount`; counters kept as metrics take no negative amounts.
    ///
    /// # Errors
    /// What the host answers.
    fn add(&self, amount: i64) -> Result<(), HostError>;

    /// The sum over all workers.
    ///
    /// # Errors
    /// What the host answers.
    fn total(&self) -> Result<i64, HostError>;
}

/// A [`SharedCounter`] kept in an Envoy metric. Survives VM restarts and
/// configuration changes, and anyone can see it in `/stats`.
#[derive(Debug, Clone, Copy)]
pub struct MetricCounter {
    id: u32,
}

impl MetricCounter {
    /// A counter (only up) under this stat name.
    ///
    /// # Errors
    /// What the host answers.
    pub fn counter(name: &str) -> Result<Self, HostError> {
        let id = registry::define(Kind::Counter, name)?;
        Ok(Self { id })
    }

    /// A gauge (up and down) under this stat name.
    ///
    /// # Errors
    /// What the host answers.
    pub fn gauge(name: &str) -> Result<Self, HostError> {
        let id = registry::define(Kind::Gauge, name)?;
        Ok(Self { id })
    }
}

impl SharedCounter for MetricCounter {
    fn add(&self, amount: i64) -> Result<(), HostError> {
        if amount == 0 {
            return Ok(());
        }
        abi::increment_metric(self.id, amount)
    }

    fn total(&self) -> Result<i64, HostError> {
        abi::metric(self.id).map(|value| value as i64)
    }
}

/// A [`SharedCounter`] kept in shared data.
#[derive(Debug, Clone)]
pub struct DataCounter {
    data: SharedData,
    name: String,
}

impl DataCounter {
    /// A counter of this plugin.
    #[must_use]
    pub fn new(data: SharedData, name: impl Into<String>) -> Self {
        Self {
            data,
            name: name.into(),
        }
    }
}

fn number(bytes: Option<&[u8]>) -> i64 {
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, i64::from_le_bytes)
}

impl SharedCounter for DataCounter {
    fn add(&self, amount: i64) -> Result<(), HostError> {
        self.data
            .update(&self.name, |old| {
                Some(number(old).wrapping_add(amount).to_le_bytes().to_vec())
            })
            .map(|_| ())
    }

    fn total(&self) -> Result<i64, HostError> {
        Ok(number(self.data.get(&self.name)?.as_deref()))
    }
}
