//! The filter: gathers what the policies ask for, and applies the decision.

mod decision_log;
mod metrics;

use std::cell::Cell;
use std::time::Duration;

use meshpack_sdk::attributes::{self, Text};
use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::{Filter, Flow, LocalReply, RequestHeaders, clock};

use crate::config::{Config, DecisionLog};
use crate::policy::engine::{Outcome, PolicySet, RuleRef, Verdict};
use crate::policy::explain;
use crate::policy::model::DenyWith;
use crate::policy::regex::REQUEST_STEPS;
use crate::policy::request::{Attribute, Attributes, Request};
use crate::policy::value::Reading;
use metrics::Metrics;

/// RBAC's own answer.
const FORBIDDEN: u16 = 403;
const BODY: &str = "RBAC: access denied";
/// `PERMISSION_DENIED`
const GRPC_PERMISSION_DENIED: u8 = 7;
/// Header that carries the reason when `explain: header`.
const REASON_HEADER: &str = "x-authz-policy";
/// Longest reason in a header: some clients give up above 8 KiB in all.
const REASON_BYTES: usize = 1024;

/// AuthorizationPolicy in force on one worker.
pub struct AuthzPolicy {
    policies: PolicySet,
    direct_remote_ip: Option<Vec<u8>>,
    decision_log: DecisionLog,
    explain_header: bool,
    /// Said once, or a client could fill the log.
    told_of_payloads: Cell<bool>,
    metrics: Metrics,
}

impl Filter for AuthzPolicy {
    const NAME: &'static str = crate::RECORD.name;
    const GUARDS: bool = true;
    type Config = Config;
    type Stream = ();

    fn read(value: Value<'_>) -> Option<Config> {
        Config::read(value)
    }

    fn start(config: Config) -> Result<Self, Vec<Problem>> {
        for warning in &config.warnings {
            log::warn!("authz_policy: config: {warning}");
        }
        let direct_remote_ip = config
            .direct_remote_ip
            .as_deref()
            .map(|key| attributes::path(["filter_state", key]));
        let decision_log = config.decision_log;
        let explain_header = config.explain_header;
        let policies = config.compile();
        Ok(Self {
            metrics: Metrics::new(&policies),
            policies,
            direct_remote_ip,
            decision_log,
            explain_header,
            told_of_payloads: Cell::new(false),
        })
    }

    fn on_request_headers(&mut self, cx: &mut RequestHeaders<'_>, _: &mut Option<()>) -> Flow {
        let headers = match cx.headers() {
            // Only the view is cloned: attributes are read beside it.
            Ok(map) => map.clone(),
            Err(error) => return self.refuse_unread(error),
        };
        let source = HostAttributes {
            cx,
            direct_remote_ip: self.direct_remote_ip.as_deref(),
        };
        let request = self.policies.request(&headers, &source);
        let draw = if self.policies.needs_draw() {
            (clock::random() >> 32) as u32
        } else {
            0
        };
        let outcome = self.policies.decide(&request, draw);
        self.metrics.count(&self.policies, &outcome);
        if request.steps().are_exhausted() {
            self.undecided();
        }
        if request.met_several_payloads() && !self.told_of_payloads.replace(true) {
            log::warn!(
                "authz_policy: requests carry several tokens: conditions on which their payloads differ refuse; name those that count in jwtPayloadKeys"
            );
        }
        for &rule in &outcome.audits {
            decision_log::write(&self.policies, &request, decision_log::Kind::Audit(rule));
        }
        match outcome.verdict {
            Verdict::Allow(_) => {
                self.log_allowed(&request, &outcome);
                Flow::Continue
            }
            Verdict::Deny(rule) => Flow::Reply(self.deny(&request, rule, draw)),
        }
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn on_tick(&mut self) {
        decision_log::tick();
    }
}

impl AuthzPolicy {
    /// Headers that the proxy itself cannot hand over: no policy can be held
    /// against them, so nothing may pass.
    fn refuse_unread(&self, error: meshpack_sdk::HostError) -> Flow {
        log::error!("authz_policy: the request headers could not be read: {error}");
        Flow::Reply(
            LocalReply::new(FORBIDDEN, "rbac_access_denied_matched_policy[none]")
                .body(BODY)
                .grpc_status(GRPC_PERMISSION_DENIED),
        )
    }

    /// A request whose regular expressions would take too many steps: counted, and
    /// said once, or a client could fill the log.
    fn undecided(&self) {
        if self.metrics.count_undecided() {
            log::warn!(
                "authz_policy: a request would take more than {REQUEST_STEPS} steps of regular expressions: what they decide is refused; meshpack_authz_undecided_total counts such requests"
            );
        }
    }

    fn deny(&self, request: &Request<'_>, rule: Option<RuleRef>, draw: u32) -> LocalReply {
        if self.decision_log.denied {
            decision_log::write(&self.policies, request, decision_log::Kind::Denied(rule));
        }
        // Kubernetes names have no white space, so the id needs no cleaning.
        let details = format!(
            "rbac_access_denied_matched_policy[{}]",
            self.policies.rule_id(rule)
        );
        let own = self.policies.answer(rule, draw);
        let status = own.map_or(FORBIDDEN, |answer| answer.status);
        let body = own.and_then(|answer| answer.body.as_deref());
        let mut reply = LocalReply::new(status, details)
            .body(body.unwrap_or(BODY))
            .grpc_status(GRPC_PERMISSION_DENIED);
        for (name, value) in own.iter().flat_map(|answer: &&DenyWith| &answer.headers) {
            reply = with_header(reply, name, value);
        }
        if self.explain_header {
            let mut reason = explain::reason(&self.policies, request, Verdict::Deny(rule));
            reason.truncate(reason.floor_char_boundary(REASON_BYTES));
            reply = with_header(reply, REASON_HEADER, &reason);
        }
        reply
    }

    fn log_allowed(&self, request: &Request<'_>, outcome: &Outcome) {
        let percent = self.decision_log.allowed_percent;
        if percent <= 0.0 {
            return;
        }
        // 53 bits: as many as a double holds.
        let draw = (clock::random() >> 11) as f64 / (1_u64 << 53) as f64 * 100.0;
        if let (Verdict::Allow(rule), true) = (outcome.verdict, draw < percent) {
            decision_log::write(&self.policies, request, decision_log::Kind::Allowed(rule));
        }
    }
}

/// Adds a header that the configuration reader or the reason's own escaping has
/// made valid; one that is not is left out rather than the denial.
fn with_header(reply: LocalReply, name: &str, value: &str) -> LocalReply {
    match reply.clone().header(name, value) {
        Ok(reply) => reply,
        Err(error) => {
            log::error!("authz_policy: header {name} left out of a denial: {error}");
            reply
        }
    }
}

/// Attributes from the proxy.
struct HostAttributes<'a, 'cx> {
    cx: &'a RequestHeaders<'cx>,
    direct_remote_ip: Option<&'a [u8]>,
}

/// Where Istio leaves the identity of an outer HBONE connection.
const TUNNELLED_PRINCIPAL: attributes::Attribute<Text<'static>> =
    attributes::Attribute::new(b"filter_state\0io.istio.peer_principal");

impl Attributes for HostAttributes<'_, '_> {
    fn read(&self, attribute: Attribute) -> Reading<Vec<u8>> {
        let bytes = match attribute {
            Attribute::UriSan => self.cx.text(&attributes::URI_SAN_PEER_CERTIFICATE),
            Attribute::DnsSan => self.cx.text(&attributes::DNS_SAN_PEER_CERTIFICATE),
            Attribute::CertificateSubject => self.cx.text(&attributes::SUBJECT_PEER_CERTIFICATE),
            Attribute::TunnelledPrincipal => self.cx.text(&TUNNELLED_PRINCIPAL),
            Attribute::DirectRemoteAddress => match self.direct_remote_ip {
                Some(path) => self.cx.attribute_bytes(path),
                None => Ok(None),
            },
            Attribute::SourceAddress => self.cx.text(&attributes::SOURCE_ADDRESS),
            Attribute::DestinationAddress => self.cx.text(&attributes::DESTINATION_ADDRESS),
            Attribute::ServerName => self.cx.text(&attributes::REQUESTED_SERVER_NAME),
            Attribute::Metadata => self.cx.text(&attributes::METADATA),
        };
        match bytes {
            Ok(found) => found.map(<[u8]>::to_vec).into(),
            Err(error) => {
                log::warn!("authz_policy: attribute {attribute:?} could not be read: {error}");
                Reading::Unreadable
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
