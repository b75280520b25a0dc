//! Looking up metrics in a running Envoy.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshpack_harness::{AdminError, Envoy, Samples};

use super::seen::Measured;
use crate::verify::suite::expect::{Metric, Series};

/// Where Envoy shows what wasm plugins count.
const PLUGIN_PREFIX: &str = "wasmcustom.";
/// Plugins hand over their counters once a second; after two it has happened.
const SETTLED: Duration = Duration::from_millis(2200);
/// For counters that take longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// All metrics at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    stats: BTreeMap<String, u64>,
    prometheus: Samples,
}

impl Snapshot {
    pub(crate) async fn take(envoy: &Envoy) -> Result<Self, AdminError> {
        Ok(Self {
            stats: envoy.admin().stats().await?,
            prometheus: envoy.admin().prometheus().await?,
        })
    }

    /// The sum over the series that fit; `None` if there are none.
    fn value(&self, series: &Series) -> Option<f64> {
        match series {
            Series::Stat(name) => self.stats.get(name).map(|value| *value as f64),
            Series::Labelled { name, labels } => {
                let fits = |found: &BTreeMap<&str, &str>| {
                    labels
                        .iter()
                        .all(|(key, value)| found.get(key.as_str()).copied() == Some(value))
                };
                let of_plugins = self
                    .stats
                    .iter()
                    .filter_map(|(stat, value)| Some((labels_of(stat, name)?, *value)))
                    .filter(|(found, _)| fits(found))
                    .map(|(_, value)| value as f64);
                let of_envoy = self
                    .prometheus
                    .named(name)
                    .filter(|sample| {
                        let found = sample.labels.iter();
                        fits(&found.map(|(k, v)| (k.as_str(), v.as_str())).collect())
                    })
                    .map(|sample| sample.value);
                // Both show a plugin's counter when its labels are cut out as tags.
                sum(of_plugins).or_else(|| sum(of_envoy))
            }
        }
    }

    /// Names that resemble the one looked for.
    fn similar(&self, series: &Series) -> Vec<String> {
        let (Series::Stat(wanted) | Series::Labelled { name: wanted, .. }) = series;
        let wanted = wanted.strip_prefix(PLUGIN_PREFIX).unwrap_or(wanted);
        let start: String = wanted.chars().take(12).collect();
        let names: Vec<String> = match series {
            Series::Stat(_) => self.stats.keys().cloned().collect(),
            // A plugin's counters by their stats, whose labels can be read, and not by what
            // Prometheus makes of such a name.
            Series::Labelled { .. } => {
                let of_plugins = self.stats.keys().filter_map(|stat| readable(stat));
                let of_envoy = self.prometheus.iter().map(|sample| sample.name.clone());
                let of_envoy = of_envoy.filter(|name| !name.starts_with(wanted));
                of_plugins.chain(of_envoy).collect()
            }
        };
        let mut similar: Vec<String> = names
            .into_iter()
            .filter(|name| name.contains(&start))
            .collect();
        similar.sort_unstable();
        similar.dedup();
        similar.truncate(8);
        similar
    }
}

fn sum(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

/// A plugin's stat as a person writes the series: `name{label="value"}`.
fn readable(stat: &str) -> Option<String> {
    let rest = stat.strip_prefix(PLUGIN_PREFIX)?;
    let Some((head, _)) = rest.split_once("=.=") else {
        return Some(rest.to_owned());
    };
    // Name and first label stand together; our metrics end in a unit or in `_total`, which
    // no label begins with, so the longest known end parts them.
    let ends = [
        "_total",
        "_milliseconds",
        "_bytes",
        "_weight",
        "_aborted",
        "_latch",
        "_balance",
    ];
    let end = ends
        .iter()
        .filter_map(|end| Some(head.find(end)? + end.len()))
        .max()?;
    let (name, _) = rest.split_at_checked(end)?;
    let labels = labels_of(stat, name)?;
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    Some(format!("{name}{{{}}}", labels.join(", ")))
}

/// The labels written into the name of a plugin's stat, if it is of metric `name`:
/// `<metric><label>=.=<value>;.;<label>=.=<value>;.;`.
fn labels_of<'a>(stat: &'a str, name: &str) -> Option<BTreeMap<&'a str, &'a str>> {
    let rest = stat.strip_prefix(PLUGIN_PREFIX)?.strip_prefix(name)?;
    // A longer metric name, not this one with a label.
    if rest.starts_with('_') {
        return None;
    }
    let pairs = rest.split(";.;").filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once("=.=")).collect()
}

/// Waits until the metrics are as expected, or will not be any more.
pub(crate) async fn measure(
    envoy: &Envoy,
    expected: &[Metric],
    before: &Snapshot,
) -> Result<Vec<Measured>, AdminError> {
    let started = Instant::now();
    loop {
        let after = Snapshot::take(envoy).await?;
        let measured: Vec<Measured> = expected
            .iter()
            .map(|metric| Measured {
                before: before.value(&metric.series),
                after: after.value(&metric.series),
                similar: after.similar(&metric.series),
            })
            .collect();
        let good = expected
            .iter()
            .zip(&measured)
            .all(|(m, seen)| holds(m, seen));
        // What has an upper limit may yet go beyond it.
        let final_already = expected.iter().all(|m| m.bounds.at_most.is_none());
        let waited = started.elapsed();
        if (good && (final_already || waited >= SETTLED)) || waited >= PATIENCE {
            return Ok(measured);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The number to judge: the value, or its growth.
pub(crate) fn judged(metric: &Metric, seen: &Measured) -> f64 {
    let after = seen.after.unwrap_or(0.0);
    if metric.increase {
        after - seen.before.unwrap_or(0.0)
    } else {
        after
    }
}

/// Whether a metric is as expected; one that is not there counts as 0.
pub(crate) fn holds(metric: &Metric, seen: &Measured) -> bool {
    metric.bounds.hold(judged(metric, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let stats = [
            ("wasmcustom.m_totalarm=.=v1;.;reason=.=sticky;.;", 3),
            ("wasmcustom.m_totalarm=.=v1;.;reason=.=random;.;", 4),
            ("wasmcustom.m_totalarm=.=v.2;.;reason=.=random;.;", 5),
            ("wasmcustom.m_total_more", 100),
            ("cluster.v1.upstream_rq_total", 9),
        ];
        Snapshot {
            stats: stats.map(|(name, value)| (name.to_owned(), value)).into(),
            prometheus: Samples::parse("envoy_rq{envoy_cluster_name=\"v1\"} 9\nm_total_more{} 100"),
        }
    }

    fn labelled(name: &str, labels: &[(&str, &str)]) -> Series {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        Series::Labelled {
            name: name.to_owned(),
            labels: labels.iter().map(own).collect(),
        }
    }

    #[test]
    fn labels_are_read_out_of_stat_names() {
        let value = |labels: &[(&str, &str)]| snapshot().value(&labelled("m_total", labels));
        assert_eq!(value(&[]), Some(12.0));
        assert_eq!(value(&[("arm", "v1")]), Some(7.0));
        assert_eq!(value(&[("arm", "v.2"), ("reason", "random")]), Some(5.0));
        assert_eq!(value(&[("arm", "v3")]), None);
    }

    #[test]
    fn envoys_own_metrics_are_found_under_both_names() {
        let by_label = labelled("envoy_rq", &[("envoy_cluster_name", "v1")]);
        assert_eq!(snapshot().value(&by_label), Some(9.0));
        let by_stat = Series::Stat("cluster.v1.upstream_rq_total".to_owned());
        assert_eq!(snapshot().value(&by_stat), Some(9.0));
        assert_eq!(
            snapshot().value(&labelled("m_total_more", &[])),
            Some(100.0)
        );
    }

    #[test]
    fn a_mistyped_label_finds_series_that_can_be_read() {
        let wrong = labelled("m_total", &[("arms", "v1")]);
        assert_eq!(
            snapshot().similar(&wrong),
            [
                "m_total_more",
                "m_total{arm=\"v.2\", reason=\"random\"}",
                "m_total{arm=\"v1\", reason=\"random\"}",
                "m_total{arm=\"v1\", reason=\"sticky\"}",
            ]
        );
    }

    #[test]
    fn a_mistyped_name_finds_its_neighbours() {
        let wrong = Series::Stat("cluster.v1.upstream_rq_totals".to_owned());
        assert_eq!(snapshot().similar(&wrong), ["cluster.v1.upstream_rq_total"]);
    }
}
