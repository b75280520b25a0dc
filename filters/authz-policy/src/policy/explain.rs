//! Why a rule matched or did not: the slow, talkative twin of
//! [`super::rule::CompiledRule::matches`].

use std::fmt::Write as _;

use super::bytes::printable;
use super::engine::{PolicySet, RuleRef, Verdict};
use super::identity::SPIFFE;
use super::model::{Action, Pattern};
use super::path::Seen;
use super::request::Request;
use super::rule::{CompiledField, CompiledRule, Values};
use super::value::{Tri, Value};

/// Longest shown value, in bytes.
const VALUE_BYTES: usize = 64;
/// Values and patterns shown of a list.
const SHOWN: usize = 3;
/// Rules that a denial's reason looks at: reasons must not cost more the more
/// policies there are.
const NEAREST: usize = 32;

/// How one rule fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleReport {
    /// The rule.
    pub rule: RuleRef,
    /// Whether it matches.
    pub matched: Tri,
    /// Conditions that hold.
    pub satisfied: usize,
    /// Conditions in all: each field of the nearest `from` and `to`, each `when`.
    pub conditions: usize,
    /// What held, one sentence each.
    pub because: Vec<String>,
    /// The first condition that failed or could not be told.
    pub failed: Option<String>,
}

/// Reports on every rule of the set, best first: what matches, then by how many
/// conditions failed, then by id.
#[must_use]
pub fn report(set: &PolicySet, request: &Request<'_>) -> Vec<RuleReport> {
    let mut reports: Vec<RuleReport> = set
        .rules()
        .filter_map(|rule| Some(report_rule(rule, set.rule(rule)?, request)))
        .collect();
    reports.sort_by_key(RuleReport::distance);
    reports
}

/// One line that says why the request was allowed or denied.
#[must_use]
pub fn reason(set: &PolicySet, request: &Request<'_>, verdict: Verdict) -> String {
    let by_rule = |word: &str, rule: RuleRef| {
        let report = set.rule(rule).map(|r| report_rule(rule, r, request));
        let mut why = report
            .as_ref()
            .map_or(String::new(), |r| r.because.join("; "));
        if let Some(failed) = report.and_then(|report| report.failed) {
            let separator = if why.is_empty() { "" } else { "; " };
            let _ = write!(why, "{separator}{failed}");
        }
        if why.is_empty() {
            why.push_str("the rule matches every request");
        }
        format!("{word} by {}: {why}", name(set, rule))
    };
    match verdict {
        Verdict::Deny(Some(rule)) => by_rule("denied", rule),
        Verdict::Allow(Some(rule)) => by_rule("allowed", rule),
        Verdict::Allow(None) => "allowed: no ALLOW policy is in force".to_owned(),
        Verdict::Deny(None) => {
            let nearest = set
                .rules()
                .filter(|rule| {
                    let policy = set.policy_of(*rule).map(|(_, policy)| policy.action);
                    policy == Some(Action::Allow)
                })
                .take(NEAREST)
                .filter_map(|rule| Some(report_rule(rule, set.rule(rule)?, request)))
                .min_by_key(RuleReport::distance);
            let mut out = "denied: no ALLOW policy matched".to_owned();
            if let Some((rule, failed)) = nearest.and_then(|r| Some((r.rule, r.failed?))) {
                let _ = write!(out, "; nearest is {}: {failed}", name(set, rule));
            }
            out
        }
    }
}

/// `default/deny-admin rule[0]`
fn name(set: &PolicySet, rule: RuleRef) -> String {
    let number = set.number_of(rule).unwrap_or_default();
    let policy = set.policy_of(rule);
    policy.map_or(String::new(), |(_, policy)| {
        format!("{}/{} rule[{number}]", policy.namespace, policy.name)
    })
}

impl RuleReport {
    fn distance(&self) -> (bool, usize, RuleRef) {
        (
            self.matched != Tri::Yes,
            self.conditions - self.satisfied,
            self.rule,
        )
    }
}

fn report_rule(number: RuleRef, rule: &CompiledRule, request: &Request<'_>) -> RuleReport {
    let mut report = RuleReport {
        rule: number,
        matched: rule.matches(request),
        satisfied: 0,
        conditions: 0,
        because: Vec::new(),
        failed: None,
    };
    report.alternatives("to", &rule.to, request);
    report.alternatives("from", &rule.from, request);
    for (index, field) in rule.when.iter().enumerate() {
        report.fields(
            &format!("when[{index}]"),
            std::slice::from_ref(field),
            request,
        );
    }
    report
}

impl RuleReport {
    /// Takes the first alternative that holds, else the one that holds longest.
    fn alternatives(
        &mut self,
        place: &str,
        alternatives: &[Vec<CompiledField>],
        request: &Request<'_>,
    ) {
        let failures = |fields: &[CompiledField]| {
            fields
                .iter()
                .filter(|field| field.matches(request) != Tri::Yes)
                .count()
        };
        let best = alternatives
            .iter()
            .enumerate()
            .min_by_key(|(_, fields)| failures(fields));
        if let Some((index, fields)) = best {
            self.fields(&format!("{place}[{index}]"), fields, request);
        }
    }

    fn fields(&mut self, place: &str, fields: &[CompiledField], request: &Request<'_>) {
        self.conditions += fields.len();
        for field in fields {
            match field.matches(request) {
                Tri::Yes => {
                    self.satisfied += 1;
                    self.because.push(success(field, request));
                }
                _ if self.failed.is_none() => {
                    self.failed = Some(format!("{place}: {}", failure(field, request)));
                }
                _ => {}
            }
        }
    }
}

fn success(field: &CompiledField, request: &Request<'_>) -> String {
    match first_match(&field.is, field, request) {
        Some((value, pattern)) => format!("{} {value} matches {pattern}", field.subject),
        None => format!(
            "{} is none of {}",
            actual(field, request),
            list(&field.not.patterns)
        ),
    }
}

fn failure(field: &CompiledField, request: &Request<'_>) -> String {
    if field.matches(request) == Tri::Unknown {
        let why = if request.steps().are_exhausted() {
            ": its regular expressions would take too many steps"
        } else {
            ""
        };
        return format!("{} could not be decided{why}", field.subject);
    }
    match first_match(&field.not, field, request) {
        Some((value, pattern)) => {
            format!("{} {value} matches the excluded {pattern}", field.subject)
        }
        None => format!(
            "{} is none of {}",
            actual(field, request),
            list(&field.is.patterns)
        ),
    }
}

/// The first value of the field that matches a pattern, and the pattern.
fn first_match<'p>(
    values: &'p Values,
    field: &CompiledField,
    request: &Request<'_>,
) -> Option<(String, &'p Pattern)> {
    let mut found = None;
    let mut place = 0;
    request.any(&field.subject, &mut |value| {
        let pattern = values.matched_by(field.subject.place(place), &value, request);
        place += 1;
        found = found
            .take()
            .or(pattern.map(|pattern| (show_with(&value, pattern), pattern)));
        found.is_some().into()
    });
    found
}

/// What the request has: `path /a`, or `no header x-role`.
fn actual(field: &CompiledField, request: &Request<'_>) -> String {
    let mut values = Vec::new();
    request.any(&field.subject, &mut |value| {
        values.push(show(&value));
        Tri::No
    });
    if values.is_empty() {
        format!("no {}, which", field.subject)
    } else {
        format!("{} {}", field.subject, shorten(values.iter()))
    }
}

fn list(patterns: &[Pattern]) -> String {
    shorten(patterns.iter().map(|pattern| {
        let text = pattern.to_string();
        printable(text.as_bytes(), VALUE_BYTES)
    }))
}

fn shorten(values: impl ExactSizeIterator<Item = impl AsRef<str>>) -> String {
    let count = values.len();
    let mut out = String::new();
    for (index, value) in values.take(SHOWN).enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let _ = write!(out, "{separator}{}", value.as_ref());
    }
    if count > SHOWN {
        let _ = write!(out, " and {} more", count - SHOWN);
    }
    out
}

/// The value, and how it was read where that is not as sent.
fn show_with(value: &Value<'_>, pattern: &Pattern) -> String {
    let mut shown = show(value);
    if let (Value::Path { raw, readings }, Pattern::Path(path)) = (value, pattern) {
        match path.seen(raw, *readings) {
            Some(Seen::Read(reading)) => {
                let _ = write!(shown, ", read as {},", printable(reading, VALUE_BYTES));
            }
            Some(Seen::Over) => shown.push_str(", which servers read in too many ways to try,"),
            Some(Seen::Sent) | None => {}
        }
    }
    shown
}

fn show(value: &Value<'_>) -> String {
    let text = |bytes: &[u8]| match bytes {
        b"" => "(empty)".to_owned(),
        bytes => printable(bytes, VALUE_BYTES),
    };
    match value {
        Value::Text(bytes) | Value::Element(bytes) => text(bytes),
        // As policies write it.
        Value::Identity(id) => text(id.strip_prefix(SPIFFE).unwrap_or(id)),
        Value::Host(host) => text(host),
        Value::Path { raw, .. } => text(raw),
        Value::Ip(address) => address.to_string(),
        Value::Port(port) => port.to_string(),
        Value::Token { issuer, subject } => format!("{}/{}", text(issuer), text(subject)),
    }
}

#[cfg(test)]
mod tests {
    use meshpack_sdk::HeaderMap;
    use meshpack_sdk::config::parse;
    use serde_json::{Value as Json, json};

    use super::{reason, report};
    use crate::config::Config;
    use crate::policy::engine::PolicySet;
    use crate::policy::request::Request;
    use crate::policy::testing::{Fixture, encoded};
    use crate::policy::value::Tri;

    fn set(policies: Json) -> PolicySet {
        parse(
            json!({"policies": policies}).to_string().as_bytes(),
            Config::read,
        )
        .unwrap()
        .compile()
    }

    fn why(set: &PolicySet, headers: &[(&[u8], &[u8])]) -> String {
        let fixture = Fixture::default();
        let raw = encoded(headers);
        let headers = HeaderMap::decode(&raw).unwrap();
        let request = Request::new(&headers, &fixture, false);
        reason(set, &request, set.decide(&request, 0).verdict)
    }

    #[test]
    fn a_denial_says_which_rule_and_what_matched() {
        let set = set(json!([{"metadata": {"name": "deny-admin"}, "spec": {
            "action": "DENY",
            "rules": [{
                "to": [{"operation": {"paths": ["/admin*"]}}],
                "from": [{"source": {"notPrincipals": ["cluster.local/ns/ops/sa/*"]}}]
            }]
        }}]));
        assert_eq!(
            why(&set, &[(b":path", b"/admin/x?token=secret")]),
            "denied by default/deny-admin rule[0]: path /admin/x matches /admin*; \
             no peer principal, which is none of cluster.local/ns/ops/sa/*"
        );
        assert_eq!(
            why(&set, &[(b":path", b"/")]),
            "allowed: no ALLOW policy is in force"
        );
    }

    #[test]
    fn a_default_denial_names_the_nearest_rule_and_what_it_lacked() {
        let set = set(json!([{"metadata": {"name": "readers"}, "spec": {"rules": [
            {"to": [{"operation": {"paths": ["/a", "/b", "/c", "/d"], "methods": ["GET"]}}]},
            {"to": [{"operation": {"paths": ["/x"]}}], "when": [{"key": "request.headers[x-role]", "values": ["admin"]}]}
        ]}}]));
        assert_eq!(
            why(&set, &[(b":method", b"POST"), (b":path", b"/x")]),
            "denied: no ALLOW policy matched; nearest is default/readers rule[1]: \
             when[0]: no header x-role, which is none of admin"
        );
        assert_eq!(
            why(&set, &[(b":method", b"GET"), (b":path", b"/e\r\n")]),
            "denied: no ALLOW policy matched; nearest is default/readers rule[0]: \
             to[0]: path /e\\r\\n is none of /a, /b, /c and 1 more"
        );
    }

    #[test]
    fn reports_put_what_matches_first() {
        let set = set(json!([{"metadata": {"name": "p"}, "spec": {"rules": [
            {"to": [{"operation": {"methods": ["PUT"]}}], "from": [{"source": {"namespaces": ["a"]}}]},
            {"to": [{"operation": {"methods": ["PUT"]}}], "from": [{"source": {"notNamespaces": ["a"]}}]},
            {}
        ]}}]));
        let fixture = Fixture::default();
        let raw = encoded(&[(":method", "GET")]);
        let headers = HeaderMap::decode(&raw).unwrap();
        let reports = report(&set, &Request::new(&headers, &fixture, false));
        let order: Vec<u32> = reports
            .iter()
            .map(|r| set.number_of(r.rule).unwrap())
            .collect();
        assert_eq!(order, [2, 1, 0]);
        assert_eq!(reports[0].matched, Tri::Yes);
        assert_eq!((reports[1].satisfied, reports[1].conditions), (1, 2));
        assert_eq!(
            reports[1].failed.as_deref(),
            Some("to[0]: method GET is none of PUT")
        );
    }

    #[test]
    fn a_reading_that_matched_is_shown() {
        let set = set(json!([{"metadata": {"name": "d"}, "spec": {
            "action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin*"]}}]}]
        }}]));
        let hardened = parse(
            json!({"pathMatching": "hardened", "policies": [{"metadata": {"name": "d"}, "spec": {
                "action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin*"]}}]}]
            }}]})
            .to_string()
            .as_bytes(),
            Config::read,
        )
        .unwrap()
        .compile();
        let why = |set: &PolicySet, path: &str| {
            let fixture = Fixture::default();
            let raw = encoded(&[(":path", path)]);
            let headers = HeaderMap::decode(&raw).unwrap();
            let request = Request::new(&headers, &fixture, set.hardened());
            reason(set, &request, set.decide(&request, 0).verdict)
        };
        assert_eq!(
            why(&hardened, "//x/ADMIN/%61"),
            "denied by default/d rule[0]: path //x/ADMIN/%61, read as /admin/%61, matches /admin*"
        );
        assert_eq!(
            why(&hardened, "/x/..%2fy"),
            "denied by default/d rule[0]: path /x/..%2fy, which servers read in too many ways to try, matches /admin*"
        );
        assert_eq!(
            why(&set, "//x/admin"),
            "allowed: no ALLOW policy is in force"
        );
    }
}
