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
mod possible;
mod rule;
mod trust_domain;

use std::cell::{Cell, RefCell};

use meshpack_sdk::config::{Fields, Node, Problem, Value, read_node};
use meshpack_sdk::metadata::read_payload_keys;

use crate::policy::engine::PolicySet;
use crate::policy::model::{Action, Compare, Policy};
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
    /// Keys under which jwt_authn leaves payloads; all that there are when empty.
    pub jwt_payload_keys: Vec<String>,
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
        let jwt_payload_keys = read_payload_keys(&mut fields);
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
            split_headers: split_headers
                .iter()
                .flatten()
                .map(|name| (name.clone(), Cell::new(false)))
                .collect(),
            doubts: Doubts::default(),
            instructions: Cell::new(0),
            // A broken entry is reported where it stands, not at its uses.
            has_direct_remote_ip: !matches!(direct_remote_ip, Some(None)),
        };
        let policies = read_policies(&mut fields, &settings);
        let warnings = settings.warnings();
        own_domain?;
        aliases?;
        typed_claims?;
        split_headers?;
        Some(Self {
            policies: policies?,
            hardened: hardened?,
            direct_remote_ip: direct_remote_ip?,
            jwt_payload_keys: jwt_payload_keys?,
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
        PolicySet::new(self.policies, self.hardened).with_payload_keys(self.jwt_payload_keys)
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

/// The policies, and that there are some: a configuration that says nothing is
/// no permission to let everything pass.
fn read_policies(fields: &mut Fields<'_>, settings: &Settings) -> Option<Vec<Policy>> {
    let given = fields.get("policies");
    let allow_all = fields.get("allowAll");
    let allows_all = match &allow_all {
        None => false,
        Some(word) => word.boolean()?,
    };
    let policies = match &given {
        None => Vec::new(),
        Some(value) => policy::read_all(value, settings)?,
    };
    match (policies.is_empty(), allow_all, allows_all) {
        (true, _, false) => given.as_ref().unwrap_or(fields.value()).problem(
            "has no policies, so every request would pass: give at least one, or allowAll: true if that is meant",
        ),
        (false, Some(word), true) => {
            word.problem("does not go with policies: remove it, or them")
        }
        _ => Some(policies),
    }
}

/// What is accepted although it hardly means what it says.
#[derive(Debug, Default)]
struct Doubts {
    found: RefCell<Vec<String>>,
}

impl Doubts {
    fn note(&self, place: &Value<'_>, what: &str) {
        self.found
            .borrow_mut()
            .push(format!("{}: {what}", place.path()));
    }

    fn excluded(&self, place: &Value<'_>) {
        self.note(
            place,
            "can never match: every value that it asks for is excluded again",
        );
    }
}

/// What the reading of a rule depends on beside the rule.
struct Settings {
    trust_domains: TrustDomains,
    hardened: bool,
    typed_claims: bool,
    split_headers: Vec<(String, Cell<bool>)>,
    doubts: Doubts,
    /// What all regular expressions so far take.
    instructions: Cell<usize>,
    has_direct_remote_ip: bool,
}

impl Settings {
    /// Whether a header's values are lists; notes that somebody asked.
    fn splits(&self, name: &str) -> bool {
        let found = self.split_headers.iter().find(|(own, _)| own == name);
        found.inspect(|(_, used)| used.set(true)).is_some()
    }

    fn warnings(self) -> Vec<String> {
        let mut warnings = self.doubts.found.into_inner();
        for (number, (name, used)) in self.split_headers.iter().enumerate() {
            if !used.get() {
                warnings.push(format!(
                    "splitHeaders[{number}]: has no effect: no condition looks at request.headers[{name}]"
                ));
            }
        }
        warnings
    }
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
