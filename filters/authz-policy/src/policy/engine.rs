//! All policies of a workload, compiled, and the decision on a request.

use meshpack_sdk::HeaderMap;

use super::index::KeyIndex;
use super::model::{Action, DenyWith, Pattern, Policy, Rule, Share, Subject};
use super::regex::{Automaton, Regex};
use super::request::{Attributes, Request};
use super::rule::{CompiledRule, constraints};
use super::sort::{sort, sort_and_dedup};
use super::value::Tri;

/// Up to this many rules are tried one by one when they read headers alone: looking
/// a request up costs about as much as so many rules that do not match.
const LINEAR: usize = 2;

/// A set of policies, ready to decide.
#[derive(Debug, Clone)]
pub struct PolicySet {
    policies: Vec<PolicyInfo>,
    /// In the order of their Istio ids, which is the order of precedence among
    /// those that match.
    rules: Vec<RuleEntry>,
    index: KeyIndex,
    hardened: bool,
    payload_keys: Vec<String>,
    automaton: Automaton,
    /// Policies with an answer of their own for requests that no ALLOW policy
    /// matched, in the order of their ids.
    default_answers: Vec<PolicyRef>,
    /// Largest and smallest share among ALLOW policies, when there are any.
    allow_shares: Option<(Share, Share)>,
    /// Smallest share among DENY policies.
    smallest_deny_share: Share,
    needs_draw: bool,
}

/// A policy without its rules.
#[derive(Debug, Clone)]
pub struct PolicyInfo {
    /// Namespace it is written for.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// Where it is enforced.
    pub enforce: Share,
    /// Answer for denials it causes.
    pub deny_with: Option<DenyWith>,
}

#[derive(Debug, Clone)]
struct RuleEntry {
    policy: PolicyRef,
    number: u32,
    rule: CompiledRule,
}

/// Number of a policy in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyRef(pub(crate) u32);

/// Number of a rule in its set; a smaller one is reported first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleRef(pub(crate) u32);

/// The decision on a request and what else is to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the request may pass.
    pub verdict: Verdict,
    /// What policies that are not enforced would have done; each at most once.
    pub shadow: Vec<Shadow>,
    /// Rules of AUDIT policies that match, the first of each policy.
    pub audits: Vec<RuleRef>,
}

/// Allowed or denied, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// May pass; by this rule, or because no ALLOW policy is in force.
    Allow(Option<RuleRef>),
    /// Is refused; by this rule, or because no ALLOW policy matched.
    Deny(Option<RuleRef>),
}

/// What a policy that is not enforced on this request would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shadow {
    /// The policy; none for the answer that all of them together imply.
    pub policy: Option<PolicyRef>,
    /// Whether it would have refused the request.
    pub denies: bool,
}

impl PolicySet {
    /// Compiles policies. `hardened` says whether they ask for every
    /// reading of a request.
    #[must_use]
    pub fn new(mut policies: Vec<Policy>, hardened: bool) -> Self {
        let automaton = join_expressions(&mut policies);
        let mut order: Vec<(String, usize, usize)> = Vec::new();
        for (number, policy) in policies.iter().enumerate() {
            for rule in 0..policy.rules.len() {
                order.push((policy.rule_id(rule), number, rule));
            }
        }
        sort(&mut order);
        let found = |number: usize, rule: usize| policies.get(number)?.rules.get(rule);
        let rules = order.iter().map(|(_, number, rule)| found(*number, *rule));
        let index = if order.len() <= LINEAR && rules.clone().flatten().all(Rule::is_at_hand) {
            KeyIndex::of_all(order.len())
        } else {
            KeyIndex::build(rules.map(|rule| rule.map_or_else(Vec::new, constraints)))
        };
        let mut infos = Vec::with_capacity(policies.len());
        let mut waiting: Vec<Vec<Option<CompiledRule>>> = Vec::with_capacity(policies.len());
        for policy in policies {
            waiting.push(
                policy
                    .rules
                    .into_iter()
                    .map(|rule| Some(CompiledRule::new(rule)))
                    .collect(),
            );
            infos.push(PolicyInfo {
                namespace: policy.namespace,
                name: policy.name,
                action: policy.action,
                enforce: policy.enforce,
                deny_with: policy.deny_with,
            });
        }
        let rules = order
            .into_iter()
            .filter_map(|(_, number, rule)| {
                Some(RuleEntry {
                    policy: PolicyRef(number as u32),
                    number: rule as u32,
                    rule: waiting.get_mut(number)?.get_mut(rule)?.take()?,
                })
            })
            .collect();
        let mut set = Self::assemble(infos, rules, index, hardened);
        set.automaton = automaton;
        set
    }

    fn assemble(
        policies: Vec<PolicyInfo>,
        rules: Vec<RuleEntry>,
        index: KeyIndex,
        hardened: bool,
    ) -> Self {
        let of = |action| {
            policies
                .iter()
                .filter(move |policy| policy.action == action)
        };
        let shares = || of(Action::Allow).map(|policy| policy.enforce);
        let mut answers: Vec<(&str, &str, PolicyRef)> = Vec::new();
        for (number, policy) in policies.iter().enumerate() {
            if policy.action == Action::Allow && policy.deny_with.is_some() {
                answers.push((&policy.namespace, &policy.name, PolicyRef(number as u32)));
            }
        }
        sort(&mut answers);
        let default_answers = answers.into_iter().map(|(.., number)| number).collect();
        Self {
            allow_shares: shares().max().zip(shares().min()),
            smallest_deny_share: of(Action::Deny)
                .map(|policy| policy.enforce)
                .min()
                .unwrap_or(Share::ALL),
            needs_draw: policies.iter().any(|policy| policy.enforce.is_partial()),
            policies,
            rules,
            index,
            hardened,
            payload_keys: Vec::new(),
            automaton: Automaton::default(),
            default_answers,
        }
    }

    /// Whether [`PolicySet::decide`] looks at its draw.
    #[must_use]
    pub fn needs_draw(&self) -> bool {
        self.needs_draw
    }

    /// Whether requests must be made with their readings.
    #[must_use]
    pub fn hardened(&self) -> bool {
        self.hardened
    }

    /// With the keys of the payloads that requests are to be read with.
    #[must_use]
    pub fn with_payload_keys(mut self, keys: Vec<String>) -> Self {
        self.payload_keys = keys;
        self
    }

    /// A request as these policies read it.
    #[must_use]
    pub fn request<'a>(
        &'a self,
        headers: &'a HeaderMap<'a>,
        attributes: &'a dyn Attributes,
    ) -> Request<'a> {
        Request::new(headers, attributes, self.hardened)
            .payload_keys(&self.payload_keys)
            .automaton(&self.automaton)
    }

    /// All policies, by their numbers.
    #[must_use]
    pub fn policies(&self) -> &[PolicyInfo] {
        &self.policies
    }

    /// All rules in the order of their ids.
    pub fn rules(&self) -> impl Iterator<Item = RuleRef> + use<> {
        (0..self.rules.len() as u32).map(RuleRef)
    }

    /// The policy that a rule belongs to.
    #[must_use]
    pub fn policy_of(&self, rule: RuleRef) -> Option<(PolicyRef, &PolicyInfo)> {
        let number = self.rules.get(rule.0 as usize)?.policy;
        Some((number, self.policy(number)?))
    }

    /// A policy.
    #[must_use]
    pub fn policy(&self, number: PolicyRef) -> Option<&PolicyInfo> {
        self.policies.get(number.0 as usize)
    }

    /// A rule's place in its policy.
    #[must_use]
    pub fn number_of(&self, rule: RuleRef) -> Option<u32> {
        Some(self.rules.get(rule.0 as usize)?.number)
    }

    /// A rule.
    #[must_use]
    pub fn rule(&self, rule: RuleRef) -> Option<&CompiledRule> {
        Some(&self.rules.get(rule.0 as usize)?.rule)
    }

    /// `ns[default]-policy[deny-admin]-rule[0]`, or `none`.
    #[must_use]
    pub fn rule_id(&self, rule: Option<RuleRef>) -> String {
        let id = rule.and_then(|rule| {
            let (_, policy) = self.policy_of(rule)?;
            let number = self.number_of(rule)?;
            Some(format!(
                "ns[{}]-policy[{}]-rule[{number}]",
                policy.namespace, policy.name
            ))
        });
        id.unwrap_or_else(|| "none".to_owned())
    }

    /// Decides on a request. `draw` is uniform over all `u32`; it matters only
    /// when [`PolicySet::needs_draw`] says so.
    #[must_use]
    pub fn decide(&self, request: &Request<'_>, draw: u32) -> Outcome {
        let mut findings = Findings::default();
        self.index.candidates(request, &mut |rule| {
            self.consider(RuleRef(rule), request, draw, &mut findings);
        });
        let verdict = match (findings.denied, findings.allowed) {
            (Some(rule), _) => Verdict::Deny(Some(rule)),
            (None, Some(rule)) => Verdict::Allow(Some(rule)),
            (None, None) if self.allow_in_force(draw) => Verdict::Deny(None),
            (None, None) => Verdict::Allow(None),
        };
        Outcome {
            verdict,
            shadow: self.shadow(&mut findings, draw),
            audits: self.first_of_each_policy(findings.audits),
        }
    }

    fn consider(&self, number: RuleRef, request: &Request<'_>, draw: u32, findings: &mut Findings) {
        let Some(entry) = self.rules.get(number.0 as usize) else {
            return;
        };
        let Some(policy) = self.policy(entry.policy) else {
            return;
        };
        let enforced = policy.enforce.includes(draw);
        let known = match policy.action {
            Action::Deny if enforced => findings.denied,
            Action::Allow if enforced => findings.allowed,
            _ => None,
        };
        if known.is_some_and(|known| known <= number) {
            return;
        }
        let matched = entry.rule.matches(request);
        match (policy.action, enforced) {
            // What denies takes "could not be read" for a match, what allows
            // does not.
            (Action::Deny, true) if matched != Tri::No => findings.denied = Some(number),
            (Action::Allow, true) if matched == Tri::Yes => findings.allowed = Some(number),
            (Action::Deny, false) if matched != Tri::No => findings.shadow.push(Shadow {
                policy: Some(entry.policy),
                denies: true,
            }),
            (Action::Allow, false) if matched == Tri::Yes => findings.shadow.push(Shadow {
                policy: Some(entry.policy),
                denies: false,
            }),
            (Action::Audit, _) if matched != Tri::No => findings.audits.push(number),
            _ => {}
        }
    }

    /// Whether an ALLOW policy is enforced on this draw, so that a request
    /// needs one to match.
    fn allow_in_force(&self, draw: u32) -> bool {
        self.allow_shares
            .is_some_and(|(largest, _)| largest.includes(draw))
    }

    /// What the policies that are not enforced would have done. When none of
    /// them matched, their sum is told without a policy: refused when one of
    /// them is an ALLOW policy and no ALLOW policy at all matched.
    fn shadow(&self, findings: &mut Findings, draw: u32) -> Vec<Shadow> {
        let mut shadow = std::mem::take(&mut findings.shadow);
        let allow_shadowed = self
            .allow_shares
            .is_some_and(|(_, smallest)| !smallest.includes(draw));
        if !shadow.is_empty() {
            sort_and_dedup(&mut shadow);
        } else if allow_shadowed || !self.smallest_deny_share.includes(draw) {
            shadow.push(Shadow {
                policy: None,
                denies: allow_shadowed && findings.allowed.is_none(),
            });
        }
        shadow
    }

    fn first_of_each_policy(&self, mut rules: Vec<RuleRef>) -> Vec<RuleRef> {
        sort(&mut rules);
        rules.dedup_by_key(|rule| self.policy_of(*rule).map(|(policy, _)| policy));
        rules
    }

    /// The answer for a denial: the denying policy's own, or for a request that
    /// no ALLOW policy matched that of the first enforced ALLOW policy which
    /// has one.
    #[must_use]
    pub fn answer(&self, denied_by: Option<RuleRef>, draw: u32) -> Option<&DenyWith> {
        match denied_by {
            Some(rule) => self.policy_of(rule)?.1.deny_with.as_ref(),
            None => self
                .default_answers
                .iter()
                .filter_map(|number| self.policy(*number))
                .find(|policy| policy.enforce.includes(draw))
                .and_then(|policy| policy.deny_with.as_ref()),
        }
    }
}

/// Puts all regular expressions into one automaton: those of one subject are one
/// set, and one that stands in many policies is there once.
fn join_expressions(policies: &mut [Policy]) -> Automaton {
    let mut subjects: Vec<Subject> = Vec::new();
    let mut texts: Vec<(usize, String)> = Vec::new();
    each_expression(policies, &mut |subject, regex| {
        let known = subjects.iter().position(|known| known == subject);
        let set = known.unwrap_or_else(|| {
            subjects.push(subject.clone());
            subjects.len() - 1
        });
        texts.push((set, regex.pattern().to_owned()));
    });
    let mut sets = texts
        .iter()
        .map(|(set, _)| *set)
        .collect::<Vec<_>>()
        .into_iter();
    sort_and_dedup(&mut texts);
    let mut numbers = vec![None; texts.len()];
    let mut automaton = Automaton::default();
    each_expression(policies, &mut |_, regex| {
        let set = sets.next().unwrap_or_default();
        let key = (set, regex.pattern());
        let at = texts.partition_point(|(set, text)| (*set, text.as_str()) < key);
        if let Some(number) = numbers.get_mut(at) {
            regex.join(&mut automaton, set, *number);
            *number = Some(regex.place().1);
        }
    });
    automaton.finish();
    automaton
}

/// Visits every regular expression; they stand in conditions only.
fn each_expression(policies: &mut [Policy], visit: &mut dyn FnMut(&Subject, &mut Regex)) {
    let rules = policies.iter_mut().flat_map(|policy| &mut policy.rules);
    for field in rules.flat_map(|rule| &mut rule.when) {
        for pattern in field.is.iter_mut().chain(&mut field.not) {
            if let Pattern::Regex(regex) = pattern {
                visit(&field.subject, regex);
            }
        }
    }
}

#[derive(Default)]
struct Findings {
    denied: Option<RuleRef>,
    allowed: Option<RuleRef>,
    shadow: Vec<Shadow>,
    audits: Vec<RuleRef>,
}
