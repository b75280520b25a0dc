//! The metrics of one budget.

use meshpack_sdk::HostError;
use meshpack_sdk::metrics::{Counter, Gauge, label};

use crate::config::MAX_NAME;
use crate::record::{BALANCE, DENIED, REQUESTS, RETRIES};

/// Counted per budget, all values of its key together.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Requests that came under the budget.
    pub(crate) requests: Counter,
    /// Retries made for them.
    pub(crate) retries: Counter,
    /// Retries that were wanted and refused.
    pub(crate) denied: Counter,
    balance: Gauge,
}

impl Metrics {
    pub(crate) fn define(budget: &str) -> Result<Self, HostError> {
        let name =
            |metric: &str| label::stat_name(metric, [("budget", budget.as_bytes())], MAX_NAME);
        Ok(Self {
            requests: Counter::define(&name(REQUESTS.name))?,
            retries: Counter::define(&name(RETRIES.name))?,
            denied: Counter::define(&name(DENIED.name))?,
            balance: Gauge::define(&name(BALANCE.name))?,
        })
    }

    /// Shows how many retries are left; nothing below zero can be shown.
    pub(crate) fn show_balance(&self, balance: i64) {
        self.balance.set(u64::try_from(balance).unwrap_or(0));
    }
}
