//! What is known of a filter without running it.
//!
//! Each filter has one [`Record`], and everything that lists filters reads it: the
//! command, the manifests' tests, the metric tables of the pages, the check of the
//! Prometheus rules. In a module nothing refers to it, so it costs no byte there; of a
//! [`Metric`] only the name is compiled in.

use crate::metrics::Kind;

/// What every module counts, whatever is in it.
pub const PANICS: Metric =
    Metric::counter("meshpack_panics_total", &["module"], "bugs that ended a VM");

/// A filter, or the pack of them.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// In logs and shared data, and of the module: `canary_split`.
    pub name: &'static str,
    /// Key of its configuration in the pack: `canary`. Empty for the pack itself.
    pub part: &'static str,
    /// What it is, in one sentence without a full stop.
    pub description: &'static str,
    /// Keys of its configuration.
    pub keys: &'static [&'static str],
    /// Where it stands among Istio's filters, if that matters.
    pub istio_phase: Option<&'static str>,
    /// What a proxy has to do after it has trapped.
    pub on_trap: FailurePolicy,
    /// Why, as the end of a sentence.
    pub on_trap_because: &'static str,
    /// Metrics that it makes, beside those that a configuration defines.
    pub metrics: &'static [Metric],
}

/// What a proxy does after a filter has trapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Refuses requests until the VM runs again, after a second: for a guard, and for
    /// what has a guard in it. Staying closed for ever would be an outage.
    Reload,
    /// Lets requests pass without the filter: for what only helps or observes.
    Open,
}

impl FailurePolicy {
    /// Its name in Istio's `failStrategy` and Envoy's `failure_policy` alike.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reload => "FAIL_RELOAD",
            Self::Open => "FAIL_OPEN",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, as Prometheus has it.
    pub name: &'static str,
    /// What it does with values.
    pub kind: Kind,
    /// Its labels.
    pub labels: Labels,
    /// What it counts or shows, without a full stop; Markdown.
    pub help: &'static str,
}

/// The labels of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// These.
    Fixed(&'static [&'static str]),
    /// Those that the configuration gives it, Istio's standard ones by default.
    Configured,
}

impl Metric {
    /// A counter.
    #[must_use]
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind: Kind::Counter,
            labels: Labels::Fixed(labels),
            help,
        }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind: Kind::Gauge,
            labels: Labels::Fixed(labels),
            help,
        }
    }

    /// A metric whose labels the configuration gives.
    #[must_use]
    pub const fn configured(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            kind,
            labels: Labels::Configured,
            help,
        }
    }
}

impl Record {
    /// Every label that is fixed, each once, in order of appearance.
    #[must_use]
    pub fn labels(&self) -> Vec<&'static str> {
        let mut all = Vec::new();
        for metric in self.metrics {
            if let Labels::Fixed(labels) = metric.labels {
                for label in labels {
                    if !all.contains(label) {
                        all.push(*label);
                    }
                }
            }
        }
        all
    }
}
