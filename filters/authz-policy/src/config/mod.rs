//! The filter's configuration: AuthorizationPolicy resources as written for
//! kubectl, and what the filter adds to them.
//!
//! Whatever Istio's webhook refuses is refused here too, every problem with
//! its path. What the webhook lets through although it can not mean what it
//! says (a key that generates nothing and so widens a DENY rule) is refused as
//! well.

mod condition;
mod deny_with;
mod fields;
mod policy;
mod rule;
mod trust_domain;

use meshpack_sdk::config::Node;
use meshpack_sdk::config::{Problem, Value, read_node};

use crate::core::engine::PolicySet;
use crate::core::model::{Action, Compare, Policy};
use trust_domain::TrustDomains;

/// A configuration without mistakes.
#[derive(Debug, Clone)]
pub struct Config {
    /// The policies.
    pub policies: Vec<Policy>,
    /// Whether every reading of paths, hosts, parameters and cookies counts.
    pub hardened: bool,
    /// Property path under which the TCP peer's address is published.
    pub direct_remote_ip: Option<String>,
    /// Which decisions are logged.
    pub decision_log: DecisionLog,
    /// Whether denials carry their reason in a header.
    pub explain_header: bool,
    /// What is accepted but has no effect, for the log.
    pub warnings: Vec<String>,
}

/// Which decisions are logged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecisionLog {
    /// Every denial.
    pub denied: bool,
    /// This share of the allowed requests, in percent.
    pub allowed_percent: f64,
}

impl Config {
    /// Reads a configuration; problems are noted on `value`.
    #[must_use]
    pub fn read(value: Value<'_>) -> Option<Self> {
        let mut fields = value.object()?;
        let own_domain = fields
            .get("trustDomain")
            .map_or(Some("cluster.local"), |v| v.non_empty_string());
        let aliases = fields
            .get("trustDomainAliases")
            .map_or(Some(Vec::new()), |v| {
                v.list_of(|alias| alias.non_empty_string())
            });
        let hardened = fields.get("pathMatching").map_or(Some(false), |v| {
            v.one_of(&[("istio", false), ("hardened", true)])
        });
        let typed_claims = fields
            .get("typedClaims")
            .map_or(Some(false), |v| v.boolean());
        let split_headers = fields
            .get("splitHeaders")
            .map_or(Some(Vec::new()), |v| v.list_of(header_name));
        let direct_remote_ip = match fields.get("directRemoteIp") {
            None => Some(None),
            Some(v) => read_direct_remote_ip(&v).map(Some),
        };
        let decision_log = fields
            .get("decisionLog")
            .map_or(Some(DecisionLog::DEFAULT), |v| DecisionLog::read(&v));
        let explain_header = fields.get("explain").map_or(Some(false), |v| {
            v.one_of(&[("none", false), ("header", true)])
        });
        let settings = Settings {
            trust_domains: TrustDomains::new(
                own_domain.unwrap_or_default(),
                aliases.as_deref().unwrap_or_default(),
            ),
            hardened: hardened.unwrap_or_default(),
            typed_claims: typed_claims.unwrap_or_default(),
            split_headers: split_headers.clone().unwrap_or_default(),
            // A broken entry is reported where it stands, not at its uses.
            has_direct_remote_ip: !matches!(direct_remote_ip, Some(None)),
        };
        let mut warnings = Vec::new();
        let policies = fields.get("policies").map_or(Some(Vec::new()), |v| {
            policy::read_all(&v, &settings, &mut warnings)
        });
        own_domain?;
        aliases?;
        typed_claims?;
        split_headers?;
        Some(Self {
            policies: policies?,
            hardened: hardened?,
            direct_remote_ip: direct_remote_ip?,
            decision_log: decision_log?,
            explain_header: explain_header?,
            warnings,
        })
    }

    /// Reads a configuration from a tree that a YAML reader has built.
    ///
    /// # Errors
    /// Every problem found.
    pub fn from_node(node: &Node) -> Result<Self, Vec<Problem>> {
        read_node(node, Self::read)
    }

    /// Compiles the policies.
    #[must_use]
    pub fn compile(self) -> PolicySet {
        PolicySet::new(self.policies, self.hardened)
    }
}

impl DecisionLog {
    const DEFAULT: Self = Self {
        denied: true,
        allowed_percent: 0.0,
    };

    fn read(value: &Value<'_>) -> Option<Self> {
        let mut fields = value.object()?;
        let denied = fields.get("denied").map_or(Some(true), |v| v.boolean());
        let allowed_percent = fields
            .get("allowedPercent")
            .map_or(Some(0.0), |v| v.number(0.0..=100.0));
        Some(Self {
            denied: denied?,
            allowed_percent: allowed_percent?,
        })
    }
}

fn read_direct_remote_ip(value: &Value<'_>) -> Option<String> {
    let mut fields = value.object()?;
    let key = fields.required("filterState")?;
    Some(key.non_empty_string()?.to_owned())
}

/// A header name in lower case.
fn header_name(value: &Value<'_>) -> Option<String> {
    let name = value.non_empty_string()?;
    if name.bytes().all(is_token) {
        Some(name.to_ascii_lowercase())
    } else {
        value.problem(format!(
            "{name:?} is not a header name: use letters, digits and -_."
        ))
    }
}

/// A byte of an HTTP token (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What the reading of a rule depends on beside the rule.
struct Settings {
    trust_domains: TrustDomains,
    hardened: bool,
    typed_claims: bool,
    split_headers: Vec<String>,
    has_direct_remote_ip: bool,
}

/// The policy that a rule stands in.
struct Scope<'a> {
    settings: &'a Settings,
    namespace: &'a str,
    action: Action,
}

impl Scope<'_> {
    /// How a positive list (or a negative one) compares paths and hosts, so
    /// that hardening widens what denies and narrows what allows.
    fn compare(&self, negated: bool) -> Compare {
        let allows = self.action == Action::Allow;
        match (self.settings.hardened, allows == negated) {
            (false, _) => Compare::AsSent,
            (true, true) => Compare::Any,
            (true, false) => Compare::All,
        }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
