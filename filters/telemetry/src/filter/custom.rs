//! Records custom metrics.

use meshpack_sdk::metrics::Kind;

use super::host::{Handle, HostStats};
use super::shape::{is_open, label_shape};
use super::values::{Shown, Values};
use crate::config::{Config, Metric, MetricKind};
use crate::policy::engine::Slot;
use crate::policy::series::{Family, FamilyShape};

/// A custom metric at work.
#[derive(Debug)]
pub(super) struct Custom {
    family: Family<HostStats>,
    value: Option<Slot>,
    when: Option<Slot>,
    /// Further: whether a client may choose the value.
    labels: Vec<(Shown, bool)>,
    max_value_length: usize,
}

impl Custom {
    pub(super) fn new(metric: &Metric, config: &Config, values: &mut Values) -> Self {
        let cardinality = &config.cardinality;
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
                    .map(|label| label_shape(&label.name, &label.source, config))
                    .collect(),
                max_series: cardinality.max_series,
                max_values: cardinality.max_values,
                max_value_length: cardinality.max_value_length,
            }),
            value: slot(values, &metric.value),
            when: slot(values, &metric.when),
            labels: metric
                .labels
                .iter()
                .map(|label| {
                    let open = is_open(&label.name, &label.source, config);
                    (values.show(&label.source), open)
                })
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
        for (label, _) in &self.labels {
            values.push_key(label, key, self.max_value_length);
        }
        let labels = &self.labels;
        let (handles, other) = self.family.series(stats, key, || {
            let value = |(label, open): &(Shown, bool)| values.label(label, *open);
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
