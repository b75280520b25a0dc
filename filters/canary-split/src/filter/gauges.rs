//! The weights in force, for dashboards.

use std::time::Duration;

use meshpack_sdk::metrics::Gauge;
use meshpack_sdk::metrics::label::stat_name;
use meshpack_sdk::{HostError, clock};

use crate::config::{LONGEST, label};
use crate::policy::Split;
use crate::record::WEIGHT;

/// One gauge per arm, in millionths of the split's traffic.
#[derive(Debug)]
pub(super) struct Weights {
    gauges: Vec<Gauge>,
    published: Vec<u64>,
}

impl Weights {
    /// Defines the gauges and sets them.
    pub(super) fn publish(split: &Split) -> Result<Self, HostError> {
        let gauges = split.arms.iter().map(|arm| {
            let (split, arm) = (label(&split.name), label(arm));
            let labels = [("split", split.as_bytes()), ("arm", arm.as_bytes())];
            Gauge::define(&stat_name(WEIGHT.name, labels, LONGEST))
        });
        let mut weights = Self {
            gauges: gauges.collect::<Result<_, _>>()?,
            published: Vec::new(),
        };
        weights.refresh(split, clock::now());
        Ok(weights)
    }

    /// Sets the gauges that have changed.
    pub(super) fn refresh(&mut self, split: &Split, now: Duration) {
        let current = split.schedule.weights(now);
        for (at, (gauge, weight)) in self.gauges.iter().zip(&current).enumerate() {
            if self.published.get(at) != Some(weight) {
                gauge.set(*weight);
            }
        }
        self.published = current;
    }
}
