//! Records custom metrics.

use std::borrow::Cow;

use meshpack_sdk::metrics::Kind;

use super::host::{Handle, HostStats};
use super::values::{Shown, Values};
use crate::config::{Cardinality, Metric, MetricKind};
use crate::engine::Slot;
use crate::series::{Family, FamilyShape, UNKNOWN};

/// A custom metric at work.
#[derive(Debug)]
pub(super) struct Custom {
    family: Family<HostStats>,
    value: Option<Slot>,
    when: Option<Slot>,
    labels: Vec<Shown>,
    max_value_length: usize,
}

impl Custom {
    pub(super) fn new(metric: &Metric, cardinality: Cardinality, values: &mut Values) -> Self {
        let kind = match metric.kind {
            MetricKind::Counter => Kind::Counter,
            MetricKind::Histogram => Kind::Histogram,
            MetricKind::Gauge => Kind::Gauge,
        };
        let slot = |values: &mut Values, expression: &Option<_>| {
            expression
                .as_ref()
                .and_then(|expression| values.slot(expression))
        };
        Self {
            family: Family::new(FamilyShape {
                metrics: vec![(metric.name.clone(), kind)],
                labels: metric
                    .labels
                    .iter()
                    .map(|label| label.name.clone())
                    .collect(),
                max_series: cardinality.max_series,
                max_value_length: cardinality.max_value_length,
            }),
            value: slot(values, &metric.value),
            when: slot(values, &metric.when),
            labels: metric
                .labels
                .iter()
                .map(|label| values.show(&label.source))
                .collect(),
            max_value_length: cardinality.max_value_length,
        }
    }

    /// Records the request in hand, if the condition holds and there is a
    /// value. Says what was recorded where, so that a gauge can be taken back.
    pub(super) fn record(
        &mut self,
        key: &mut Vec<u8>,
        values: &Values,
        stats: &HostStats,
        overflowed: &mut dyn FnMut(&str),
    ) -> Option<(Handle, i64)> {
        if !values.holds(self.when) {
            return None;
        }
        let amount = match self.value {
            Some(slot) => values.batch.integer(slot)?,
            None => 1,
        };
        key.clear();
        for label in &self.labels {
            values.push_key(label, key, self.max_value_length);
        }
        let labels = &self.labels;
        let (handles, other) = self.family.series(stats, key, || {
            let value = |label| values.shown(label).unwrap_or(Cow::Borrowed(UNKNOWN));
            labels.iter().map(value).collect()
        })?;
        let handle = *handles.first()?;
        handle.record(amount);
        if other {
            self.family.metrics().for_each(overflowed);
        }
        Some((handle, amount))
    }
}
