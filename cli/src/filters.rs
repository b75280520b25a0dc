//! The filters of the pack: their names, their keys and their own parsers.

use std::fmt;

use meshpack_pack::{
    Meshpack, meshpack_authz_policy, meshpack_canary_split, meshpack_retry_budget,
    meshpack_telemetry,
};
use meshpack_sdk::config::{Node, Problem, Value, read_node};
use meshpack_sdk::record::{FailurePolicy, Record};

/// One of the modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Filter {
    /// Authorization policies.
    AuthzPolicy,
    /// Traffic splits.
    CanarySplit,
    /// Retry budgets.
    RetryBudget,
    /// Metrics, logs, trace context.
    Telemetry,
    /// All four in one module.
    Meshpack,
}

impl Filter {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AuthzPolicy,
        Self::CanarySplit,
        Self::RetryBudget,
        Self::Telemetry,
        Self::Meshpack,
    ];

    /// What is known of it without running it.
    #[must_use]
    pub const fn record(self) -> &'static Record {
        match self {
            Self::AuthzPolicy => &meshpack_authz_policy::RECORD,
            Self::CanarySplit => &meshpack_canary_split::RECORD,
            Self::RetryBudget => &meshpack_retry_budget::RECORD,
            Self::Telemetry => &meshpack_telemetry::RECORD,
            Self::Meshpack => &meshpack_pack::RECORD,
        }
    }

    /// Name of the module, of the plugin in logs, and of `dist/<name>.wasm`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.record().name
    }

    /// What has to happen when it traps.
    #[must_use]
    pub const fn failure_policy(self) -> FailurePolicy {
        self.record().on_trap
    }

    /// Where it stands among Istio's filters, if that matters.
    #[must_use]
    pub const fn istio_phase(self) -> Option<&'static str> {
        self.record().istio_phase
    }

    /// The filter whose keys a configuration has, if exactly one fits best.
    #[must_use]
    pub fn of_config(config: &Node) -> Option<Self> {
        let Node::Object(entries) = config else {
            return None;
        };
        let hits = |filter: Self| {
            let known = |(key, _): &&(String, Node)| filter.record().keys.contains(&key.as_str());
            entries.iter().filter(known).count()
        };
        let most = Self::ALL.iter().map(|filter| hits(*filter)).max()?;
        let mut best = Self::ALL.into_iter().filter(|filter| hits(*filter) == most);
        let first = best.next()?;
        (most > 0 && best.next().is_none()).then_some(first)
    }

    /// Whether a document is an object with keys of one filter's configuration alone.
    #[must_use]
    pub(crate) fn all_keys_known(document: &Node) -> bool {
        let Node::Object(entries) = document else {
            return false;
        };
        !entries.is_empty()
            && Self::ALL.iter().any(|filter| {
                let known =
                    |(key, _): &(String, Node)| filter.record().keys.contains(&key.as_str());
                entries.iter().all(known)
            })
    }

    /// The filter that a module's path, image or plugin name speaks of:
    /// `dist/canary_split.wasm`, `oci://registry/canary-split:1.0`.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let last = name.rsplit('/').next().unwrap_or_default();
        let last = last.split(['@', ':']).next().unwrap_or_default();
        let stem = last.strip_suffix(".wasm").unwrap_or(last).replace('-', "_");
        let stem = stem.strip_prefix("meshpack_").unwrap_or(&stem);
        Self::ALL.into_iter().find(|filter| filter.name() == stem)
    }

    /// The filter configured under a key of [`Filter::Meshpack`].
    #[must_use]
    pub fn of_part(key: &str) -> Option<Self> {
        let parts = Self::ALL
            .into_iter()
            .filter(|filter| *filter != Self::Meshpack);
        parts.into_iter().find(|filter| filter.record().part == key)
    }

    /// Every problem that the filter itself would refuse the configuration for.
    #[must_use]
    pub fn problems(self, config: &Node) -> Vec<Problem> {
        read_node(config, |value| self.read(&value))
            .err()
            .unwrap_or_default()
    }

    fn read(self, value: &Value<'_>) -> Option<()> {
        match self {
            Self::AuthzPolicy => {
                meshpack_authz_policy::config::Config::read(value.clone()).map(drop)
            }
            Self::CanarySplit => meshpack_canary_split::config::Config::read(value).map(drop),
            Self::RetryBudget => meshpack_retry_budget::config::Config::read(value).map(drop),
            Self::Telemetry => meshpack_telemetry::config::read(value).map(drop),
            Self::Meshpack => <Meshpack as meshpack_sdk::Filter>::read(value.clone()).map(drop),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_config(json: &str) -> Option<Filter> {
        Filter::of_config(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_filter_is_known_by_its_keys() {
        assert_eq!(of_config(r#"{"policies": []}"#), Some(Filter::AuthzPolicy));
        assert_eq!(
            of_config(r#"{"splits": [], "x": 1}"#),
            Some(Filter::CanarySplit)
        );
        assert_eq!(of_config(r#"{"budgets": []}"#), Some(Filter::RetryBudget));
        assert_eq!(of_config(r#"{"trace": {}}"#), Some(Filter::Telemetry));
        assert_eq!(
            of_config(r#"{"canary": {}, "telemetry": {}}"#),
            Some(Filter::Meshpack)
        );
        assert_eq!(of_config(r#"{"splits": [], "budgets": []}"#), None);
        assert_eq!(of_config("{}"), None);
        assert_eq!(of_config("[]"), None);
    }

    #[test]
    fn a_filter_is_known_by_its_module() {
        for name in [
            "dist/canary_split.wasm",
            "oci://ghcr.io/org/canary-split:1.2.3",
            "oci://127.0.0.1:5000/meshpack-canary-split@sha256:abc",
            "file:///etc/canary_split.wasm",
            "canary_split",
        ] {
            assert_eq!(Filter::of_name(name), Some(Filter::CanarySplit), "{name}");
        }
        assert_eq!(
            Filter::of_name("oci://x/meshpack:1"),
            Some(Filter::Meshpack)
        );
        assert_eq!(Filter::of_name("oci://x/openid:1"), None);
    }
}
