//! A counter with labels whose number of series is bounded.

use std::collections::HashMap;

use super::{Counter, label};
use crate::host::HostError;

/// Longest label value; longer ones are cut.
const MAX_VALUE_LENGTH: usize = 100;
/// Value of every label of the series that takes what is over the cap.
const OTHER: &[u8] = b"other";

/// Counters of one metric, one per combination of label values, at most
/// `max_series` of them: one more takes all further combinations, with every
/// label `other`. Envoy never frees a stat, so without the bound a client that
/// controls a value controls the proxy's memory.
#[derive(Debug)]
pub struct CounterFamily {
    metric: String,
    labels: Vec<String>,
    max_series: usize,
    series: HashMap<Vec<u8>, Counter>,
    other: Option<Counter>,
}

impl CounterFamily {
    /// A family; no series exists until one is counted.
    #[must_use]
    pub fn new(metric: &str, labels: &[&str], max_series: usize) -> Self {
        Self {
            metric: metric.to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            max_series,
            series: HashMap::new(),
            other: None,
        }
    }

    /// The counter for these label values, in the order of the labels; missing
    /// values are empty.
    ///
    /// # Errors
    /// What the host answers to a new metric.
    pub fn with(&mut self, values: &[&[u8]]) -> Result<Counter, HostError> {
        let mut key = Vec::new();
        for value in values {
            let value = value.get(..MAX_VALUE_LENGTH * 2).unwrap_or(value);
            key.extend_from_slice(&(value.len() as u32).to_le_bytes());
            key.extend_from_slice(value);
        }
        if let Some(counter) = self.series.get(&key) {
            return Ok(*counter);
        }
        if self.series.len() >= self.max_series {
            return self.other();
        }
        let counter = Counter::define(&self.name(values.iter().copied()))?;
        self.series.insert(key, counter);
        Ok(counter)
    }

    fn other(&mut self) -> Result<Counter, HostError> {
        if let Some(counter) = self.other {
            return Ok(counter);
        }
        let counter = Counter::define(&self.name(self.labels.iter().map(|_| OTHER)))?;
        self.other = Some(counter);
        Ok(counter)
    }

    fn name<'a>(&'a self, values: impl Iterator<Item = &'a [u8]>) -> String {
        let values = values.chain(std::iter::repeat(&b""[..]));
        let labels = self.labels.iter().map(String::as_str).zip(values);
        label::stat_name(&self.metric, labels, MAX_VALUE_LENGTH)
    }
}
