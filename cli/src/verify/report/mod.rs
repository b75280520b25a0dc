//! What a run came to, for people and for machines.

pub(crate) mod chart;
pub(crate) mod html;
pub(crate) mod junit;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use meshpack_harness::{DEFAULT_VERSION, EnvoyVersion};

use super::judge::{Check, StepReport};

/// Everything that ran.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(crate) struct Report {
    pub(crate) suites: Vec<SuiteReport>,
}

/// One file.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct SuiteReport {
    pub(crate) title: String,
    pub(crate) file: String,
    pub(crate) scenarios: Vec<ScenarioReport>,
}

/// One scenario on one Envoy.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct ScenarioReport {
    pub(crate) name: String,
    /// The version of Envoy.
    pub(crate) envoy: String,
    pub(crate) seconds: f64,
    pub(crate) steps: Vec<StepReport>,
    /// Why it did not come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Report {
    pub(crate) fn passed(&self) -> bool {
        self.scenarios().all(ScenarioReport::passed)
    }

    pub(crate) fn scenarios(&self) -> impl Iterator<Item = &ScenarioReport> {
        self.suites.iter().flat_map(|suite| &suite.scenarios)
    }

    pub(crate) fn checks(&self) -> impl Iterator<Item = &Check> {
        self.scenarios()
            .flat_map(|scenario| &scenario.steps)
            .flat_map(|step| &step.checks)
    }
}

impl ScenarioReport {
    pub(crate) fn passed(&self) -> bool {
        self.error.is_none() && self.steps.iter().all(StepReport::passed)
    }
}

/// The version that the environment picks, or would.
pub(crate) fn default_version() -> EnvoyVersion {
    let wanted = std::env::var("ENVOY_VERSION").ok();
    wanted
        .and_then(|version| version.parse().ok())
        .unwrap_or(DEFAULT_VERSION)
}
