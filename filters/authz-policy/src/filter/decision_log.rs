//! Decisions as JSON lines in the proxy's log.

use std::fmt::Write as _;
use std::time::Duration;

use meshpack_sdk::text::push_json;
use meshpack_sdk::{LeftOut, LogLimit, clock};

use crate::policy::bytes::printable;
use crate::policy::engine::{PolicySet, RuleRef, Verdict};
use crate::policy::explain;
use crate::policy::request::Request;
use crate::policy::value::Reading;

/// Longest value taken from a request.
const VALUE_BYTES: usize = 256;

/// Most lines about denials, and as many about audits, that a worker writes in a
/// second: whoever can cause one can cause a million.
const LINES_PER_SECOND: u32 = 100;

thread_local! {
    static DENIALS: LogLimit = const { LogLimit::new(LINES_PER_SECOND, Duration::from_secs(1)) };
    static AUDITS: LogLimit = const { LogLimit::new(LINES_PER_SECOND, Duration::from_secs(1)) };
}

/// What is logged.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Allowed(Option<RuleRef>),
    Denied(Option<RuleRef>),
    Audit(RuleRef),
}

/// Writes one line, unless there are too many. The level is "warning", because
/// Istio's proxies print nothing below it and whoever asks for decisions wants to
/// see them.
pub(crate) fn write(policies: &PolicySet, request: &Request<'_>, kind: Kind) {
    let admitted = match kind {
        // The configuration says which share of these is logged.
        Kind::Allowed(_) => Some(LeftOut(0)),
        Kind::Denied(_) => DENIALS.with(|limit| limit.admit(clock::now())),
        Kind::Audit(_) => AUDITS.with(|limit| limit.admit(clock::now())),
    };
    if let Some(left_out) = admitted {
        let line = line(policies, request, kind, left_out);
        log::warn!("authz_policy: decision {line}");
    }
}

/// Says how many lines were left out, when no further line does.
pub(crate) fn tick() {
    let now = clock::now();
    for (what, limit) in [("denials", &DENIALS), ("audits", &AUDITS)] {
        if let Some(LeftOut(count)) = limit.with(|limit| limit.overdue(now)) {
            log::warn!(
                "authz_policy: {count} {what} were left out of the log: at most {LINES_PER_SECOND} a second are written"
            );
        }
    }
}

/// The line: a JSON object. Everything a client sent is escaped to printable
/// ASCII first, and the query is left out, since it may hold secrets.
fn line(policies: &PolicySet, request: &Request<'_>, kind: Kind, left_out: LeftOut) -> String {
    let (decision, rule, verdict) = match kind {
        Kind::Allowed(rule) => ("allow", rule, Verdict::Allow(rule)),
        Kind::Denied(rule) => ("deny", rule, Verdict::Deny(rule)),
        // An audited rule explains itself as a deciding one does.
        Kind::Audit(rule) => ("audit", Some(rule), Verdict::Allow(Some(rule))),
    };
    let mut out = String::from("{");
    push(&mut out, "decision", decision.as_bytes());
    let policy = rule.and_then(|rule| policies.policy_of(rule));
    match policy {
        Some((_, policy)) => {
            let label = format!("{}/{}", policy.namespace, policy.name);
            push(&mut out, "policy", label.as_bytes());
        }
        None => push(&mut out, "policy", b"none"),
    }
    if let Some(number) = rule.and_then(|rule| policies.number_of(rule)) {
        let _ = write!(out, ",\"rule\":{number}");
    }
    for (key, value) in [
        ("method", request.method()),
        ("host", request.host()),
        ("path", request.path()),
    ] {
        if let Some(value) = value {
            push(&mut out, key, value);
        }
    }
    if let Reading::Present(identities) = request.identities()
        && let Some(identity) = identities.first()
    {
        push(&mut out, "principal", identity);
    }
    if let Reading::Present(address) = request.remote_ip() {
        push(&mut out, "remote", address.to_string().as_bytes());
    }
    let reason = explain::reason(policies, request, verdict);
    let reason = match kind {
        Kind::Audit(_) => reason.replacen("allowed by", "audited by", 1),
        _ => reason,
    };
    push_text(&mut out, "reason", &reason);
    if left_out != LeftOut(0) {
        let _ = write!(out, ",\"left_out\":{}", left_out.0);
    }
    out.push('}');
    out
}

fn push(out: &mut String, key: &str, value: &[u8]) {
    push_text(out, key, &printable(value, VALUE_BYTES));
}

fn push_text(out: &mut String, key: &str, value: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    let _ = write!(out, "\"{key}\":");
    push_json(out, value);
}
