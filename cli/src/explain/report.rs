//! The answers of all filters, for people and as JSON.

use std::fmt;

use serde_json::{Map, Value, json};

use super::Decision;
use super::authz::Authorization;
use super::canary::Steering;
use super::configured::Configured;
use super::request::Request;
use super::retry::Retries;
use super::telemetry::Observation;

/// What became of a request in each filter, in their order.
pub(super) struct Report {
    authz: Option<Authorization>,
    canary: Option<Asked<Steering>>,
    retry: Option<Asked<Retries>>,
    telemetry: Option<Observation>,
}

/// An answer, unless the request came no further than authz_policy.
enum Asked<T> {
    Yes(T),
    No,
}

impl Report {
    pub(super) fn new(
        configured: Configured,
        mut request: Request,
        nearest: usize,
    ) -> anyhow::Result<Self> {
        let authz = configured
            .authz
            .map(|config| Authorization::new(config.compile(), &request, nearest))
            .transpose()?;
        let denied = authz.as_ref().and_then(Authorization::status);
        let canary = configured
            .canary
            .map(|config| Asked::unless(denied, || Steering::new(config, &mut request)))
            .transpose()?;
        let retry = configured
            .retry
            .map(|config| Asked::unless(denied, || Retries::new(&config, &request)))
            .transpose()?;
        let telemetry = configured
            .telemetry
            .map(|config| Observation::new(&config, &request, denied));
        Ok(Self {
            authz,
            canary,
            retry,
            telemetry,
        })
    }

    /// The decision of authz_policy; `None` when it is not configured.
    pub(super) fn decision(&self) -> Option<Decision> {
        self.authz.as_ref().map(Authorization::decision)
    }

    /// The arm of canary_split, if there is one and chance does not choose it.
    pub(super) fn arm(&self) -> Option<&str> {
        match &self.canary {
            Some(Asked::Yes(steering)) => steering.arm(),
            _ => None,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut parts = Map::new();
        let mut put = |name: &str, part: Option<Value>| {
            parts.extend(part.map(|part| (name.to_owned(), part)));
        };
        put("authz", self.authz.as_ref().map(Authorization::to_json));
        put(
            "canary",
            self.canary
                .as_ref()
                .map(|asked| asked.to_json(Steering::to_json)),
        );
        put(
            "retry",
            self.retry
                .as_ref()
                .map(|asked| asked.to_json(Retries::to_json)),
        );
        put(
            "telemetry",
            self.telemetry.as_ref().map(Observation::to_json),
        );
        Value::Object(parts)
    }
}

impl<T> Asked<T> {
    fn unless(
        denied: Option<u16>,
        ask: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<Self> {
        match denied {
            Some(_) => Ok(Self::No),
            None => ask().map(Self::Yes),
        }
    }

    fn to_json(&self, shown: impl FnOnce(&T) -> Value) -> Value {
        match self {
            Self::Yes(answer) => shown(answer),
            Self::No => json!({"asked": false}),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Asked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes(answer) => answer.fmt(f),
            Self::No => writeln!(f, "not asked: authz_policy denies the request"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: [(&str, Option<&dyn fmt::Display>); 4] = [
            ("authz_policy", self.authz.as_ref().map(|part| part as _)),
            ("canary_split", self.canary.as_ref().map(|part| part as _)),
            ("retry_budget", self.retry.as_ref().map(|part| part as _)),
            ("telemetry", self.telemetry.as_ref().map(|part| part as _)),
        ];
        let mut first = true;
        for (name, part) in parts {
            let Some(part) = part else { continue };
            if !std::mem::take(&mut first) {
                writeln!(f)?;
            }
            write!(f, "{name}: {part}")?;
        }
        Ok(())
    }
}
