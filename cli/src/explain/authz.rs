//! The decision of authz_policy.

use std::fmt;

use anyhow::Context as _;
use meshpack_authz_policy::policy::engine::{Outcome, PolicySet, RuleRef, Verdict};
use meshpack_authz_policy::policy::explain::{self, RuleReport};
use meshpack_authz_policy::policy::model::Action;
use meshpack_authz_policy::policy::value::Tri;
use meshpack_sdk::HeaderMap;
use serde_json::{Value, json};

use super::Decision;
use super::request::Request;

/// The decision, and what every rule says about the request.
pub(super) struct Authorization {
    policies: PolicySet,
    draw: u32,
    outcome: Outcome,
    reason: String,
    /// All rules, nearest first.
    rules: Vec<RuleReport>,
    nearest: usize,
}

impl Authorization {
    pub(super) fn new(
        policies: PolicySet,
        request: &Request,
        nearest: usize,
    ) -> anyhow::Result<Self> {
        let (described, draw) = (request.described(), request.draw());
        let raw = described.encoded_headers();
        let headers = HeaderMap::decode(&raw).context("the headers do not encode")?;
        let (outcome, reason, rules) = {
            let request = policies.request(&headers, &described);
            let outcome = policies.decide(&request, draw);
            let reason = explain::reason(&policies, &request, outcome.verdict);
            (outcome, reason, explain::report(&policies, &request))
        };
        Ok(Self {
            reason,
            rules,
            outcome,
            policies,
            draw,
            nearest,
        })
    }

    pub(super) fn decision(&self) -> Decision {
        match self.outcome.verdict {
            Verdict::Allow(_) => Decision::Allow,
            Verdict::Deny(_) => Decision::Deny,
        }
    }

    fn deciding(&self) -> Option<RuleRef> {
        match self.outcome.verdict {
            Verdict::Allow(rule) | Verdict::Deny(rule) => rule,
        }
    }

    /// Status of the answer when the request is refused.
    pub(super) fn status(&self) -> Option<u16> {
        let Verdict::Deny(rule) = self.outcome.verdict else {
            return None;
        };
        let own = self.policies.answer(rule, self.draw);
        Some(own.map_or(403, |answer| answer.status))
    }

    fn others(&self) -> impl Iterator<Item = &RuleReport> {
        let deciding = self.deciding();
        let others = self
            .rules
            .iter()
            .filter(move |report| Some(report.rule) != deciding);
        others.take(self.nearest)
    }

    fn action_of(&self, rule: RuleRef) -> &'static str {
        match self
            .policies
            .policy_of(rule)
            .map(|(_, policy)| policy.action)
        {
            Some(Action::Allow) => "ALLOW",
            Some(Action::Deny) => "DENY",
            Some(Action::Audit) => "AUDIT",
            None => "",
        }
    }

    /// `, not enforced` for rules whose policies are in dry run or outside their
    /// share.
    fn is_enforced(&self, rule: RuleRef) -> bool {
        let policy = self.policies.policy_of(rule);
        policy.is_some_and(|(_, policy)| policy.enforce.includes(self.draw))
    }

    pub(super) fn to_json(&self) -> Value {
        let rules: Vec<Value> = self
            .rules
            .iter()
            .map(|report| {
                json!({
                    "id": self.policies.rule_id(Some(report.rule)),
                    "action": self.action_of(report.rule),
                    "enforced": self.is_enforced(report.rule),
                    "matches": word(report.matched),
                    "satisfied": report.satisfied,
                    "conditions": report.conditions,
                    "because": report.because,
                    "failed": report.failed,
                })
            })
            .collect();
        json!({
            "decision": match self.decision() {
                Decision::Allow => "allow",
                Decision::Deny => "deny",
            },
            "status": self.status(),
            "matchedPolicy": self.policies.rule_id(self.deciding()),
            "reason": self.reason,
            "rules": rules,
        })
    }
}

fn word(matched: Tri) -> &'static str {
    match matched {
        Tri::Yes => "yes",
        Tri::No => "no",
        Tri::Unknown => "unknown",
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reason)?;
        if let Some(status) = self.status() {
            let id = self.policies.rule_id(self.deciding());
            writeln!(
                f,
                "  status {status}, rbac_access_denied_matched_policy[{id}]"
            )?;
        }
        for (index, report) in self.others().enumerate() {
            if index == 0 {
                writeln!(f, "\nother rules, nearest first:")?;
            }
            let enforced = if self.is_enforced(report.rule) {
                ""
            } else {
                ", not enforced"
            };
            writeln!(
                f,
                "  {} ({}{enforced}): {}",
                self.policies.rule_id(Some(report.rule)),
                self.action_of(report.rule),
                match report.matched {
                    Tri::Yes => "matches".to_owned(),
                    Tri::Unknown => "could not be told".to_owned(),
                    Tri::No => format!("{} of {} conditions", report.satisfied, report.conditions),
                },
            )?;
            for line in report
                .failed
                .iter()
                .chain(report.because.iter().filter(|_| report.matched == Tri::Yes))
            {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}
