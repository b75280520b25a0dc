//! Which labels and buckets a configuration needs from the proxy's bootstrap.

use std::collections::HashSet;

use crate::config::Config;

/// Labels of the metrics that the filter makes about itself.
pub const OWN_LABELS: &[&str] = &[
    "drop_reason",
    "failed_expression",
    "overflowed_metric",
    "module",
];

/// Every label name of the configuration's metrics and of the filter's own, each
/// once, in order of appearance.
#[must_use]
pub fn label_names(config: &Config) -> Vec<String> {
    let golden = config
        .golden
        .iter()
        .flat_map(|m| m.labels.iter().map(|l| l.name.as_str()));
    let custom = config
        .metrics
        .iter()
        .flat_map(|m| m.labels.iter().map(|l| l.name.as_str()));
    let mut seen = HashSet::new();
    golden
        .chain(custom)
        .chain(OWN_LABELS.iter().copied())
        .filter(|name| seen.insert(*name))
        .map(str::to_owned)
        .collect()
}

/// Histograms with bucket bounds of their own: the start of their stat names,
/// and the bounds.
#[must_use]
pub fn histogram_buckets(config: &Config) -> Vec<(String, Vec<f64>)> {
    let custom = config
        .metrics
        .iter()
        .filter(|metric| !metric.buckets.is_empty());
    custom
        .map(|metric| {
            (
                format!("wasmcustom.{}", metric.name),
                metric.buckets.clone(),
            )
        })
        .collect()
}
