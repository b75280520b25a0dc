//! Metrics with labels and a hard bound on series.
//!
//! The ABI has no labels: they are written into the stat name in a form that
//! Envoy's `stats_tags` take apart again ([`label`]). Counters are added up per
//! worker and handed to Envoy on the tick, so counting costs the request path no
//! host call.

pub mod label;
mod pending;
pub(crate) mod registry;
mod series;

use crate::host::{HostError, abi};

pub use pending::Counter;
pub(crate) use pending::flush;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use registry::forget;
pub use series::CounterFamily;

/// What a metric does with values (the ABI's metric type).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Only goes up.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// Distribution of whole numbers.
    Histogram = 2,
}

/// A gauge. Envoy keeps one value per process; writes are immediate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauge {
    id: u32,
}

impl Gauge {
    /// Defines the gauge under its full stat name.
    ///
    /// # Errors
    /// What the host answers.
    pub fn define(name: &str) -> Result<Self, HostError> {
        let id = registry::define(Kind::Gauge, name)?;
        Ok(Self { id })
    }

    /// Sets the value. One scalar host call.
    pub fn set(self, value: u64) {
        let _ = abi::record_metric(self.id, value);
    }

    /// Adds to the value, exactly across workers. One scalar host call.
    pub fn add(self, amount: i64) {
        if amount != 0 {
            let _ = abi::increment_metric(self.id, amount);
        }
    }

    /// The value in force, over all workers.
    ///
    /// # Errors
    /// What the host answers.
    pub fn value(self) -> Result<u64, HostError> {
        abi::metric(self.id)
    }
}

/// A histogram of whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram {
    id: u32,
}

impl Histogram {
    /// Defines the histogram under its full stat name.
    ///
    /// # Errors
    /// What the host answers.
    pub fn define(name: &str) -> Result<Self, HostError> {
        let id = registry::define(Kind::Histogram, name)?;
        Ok(Self { id })
    }

    /// Records one value. One scalar host call.
    pub fn record(self, value: u64) {
        let _ = abi::record_metric(self.id, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_wasm::types::MetricType;

    #[test]
    fn kinds_are_those_of_the_stock_crate() {
        for (ours, theirs) in [
            (Kind::Counter, MetricType::Counter),
            (Kind::Gauge, MetricType::Gauge),
            (Kind::Histogram, MetricType::Histogram),
        ] {
            assert_eq!(ours as u32, theirs as u32);
        }
    }
}
