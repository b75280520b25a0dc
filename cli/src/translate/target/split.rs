//! The canary filter's configuration.

use std::collections::BTreeMap;

use meshpack_sdk::config::Node;

use super::{matching, number, text};
use crate::json::object;
use crate::translate::ledger::Ledger;
use crate::translate::model::traffic::{Arm, Routes, Rule};
use crate::translate::options::StickyKey;

/// The steering values of a rule's arms, in order; none if the split cannot be
/// left to the canary filter, so that the route keeps its own weights.
pub(crate) fn steering(routes: &Routes, rule: &Rule) -> Option<Vec<String>> {
    let total: f64 = rule.arms.iter().map(|arm| arm.weight).sum();
    let cannot_match =
        !is_one_split(routes) && matching::of_rules(routes, std::slice::from_ref(rule)).is_err();
    if rule.arms.len() < 2 || total <= 0.0 || cannot_match {
        return None;
    }
    // Subsets where they tell the arms apart, as people know them; else hosts; else both.
    let by_subset = rule.arms.iter().map(|arm| arm.to.subset.clone());
    let by_host = rule.arms.iter().map(|arm| Some(arm.to.host.clone()));
    let by_cluster = rule.arms.iter().map(|arm| Some(arm.to.cluster()));
    unique(by_subset)
        .or_else(|| unique(by_host))
        .or_else(|| unique(by_cluster))
}

fn unique(values: impl Iterator<Item = Option<String>>) -> Option<Vec<String>> {
    let values: Vec<String> = values.collect::<Option<_>>()?;
    let mut sorted = values.clone();
    sorted.sort();
    sorted.dedup();
    (sorted.len() == values.len()).then_some(values)
}

/// The canary filter's configuration for some routes.
pub(crate) fn canary(routes: &[&Routes], sticky: &[StickyKey], ledger: &Ledger) -> Option<Node> {
    let splits: Vec<Node> = routes
        .iter()
        .flat_map(|routes| splits_of(routes, sticky, ledger))
        .collect();
    (!splits.is_empty()).then(|| object([("splits", Node::List(splits))]))
}

fn splits_of(routes: &Routes, sticky: &[StickyKey], ledger: &Ledger) -> Vec<Node> {
    let mut splits = Vec::new();
    let mut names = Names::new(&routes.label);
    // Rules that split alike have one salt, so that a client has one arm on all.
    let mut salts: Vec<(&Rule, String)> = Vec::new();
    let mut parts: Vec<&[Rule]> = parts(routes).collect();
    let whole = is_one_split(routes);
    if whole {
        parts.truncate(1);
    }
    for rules in parts {
        let [rule, ..] = rules else { continue };
        let Some(values) = steering(routes, rule) else {
            if rule.arms.len() > 1 {
                report_unsteered(routes, rule, ledger);
            }
            continue;
        };
        if sticky.is_empty() && splits.is_empty() {
            ledger.note(
                &rule.spot,
                "the split picks an arm at random for every request, as before: --sticky-by keeps clients on their arm",
            );
        }
        let entries = match whole {
            true => vec![matching::of_hosts(routes)],
            false => matching::of_rules(routes, rules).unwrap_or_default(),
        };
        for matcher in entries {
            let name = names.next(if whole { 0 } else { rule.group });
            let mut entry = vec![("name", text(&name))];
            entry.extend(matcher.map(|matcher| ("match", matcher)));
            match salts.iter().find(|(other, _)| split_alike(other, rule)) {
                Some((_, salt)) => entry.push(("salt", text(salt))),
                None => salts.push((rule, name)),
            }
            entry.push(("arms", arms(&values, &rule.arms)));
            if !sticky.is_empty() {
                let keys = sticky.iter().map(StickyKey::to_node).collect();
                entry.push(("stickyBy", Node::List(keys)));
            }
            splits.push(object(entry));
        }
    }
    splits
}

/// Whether all rules split alike, so that one entry does for all requests.
fn is_one_split(routes: &Routes) -> bool {
    match routes.rules.as_slice() {
        [first, others @ ..] if !others.is_empty() && first.arms.len() > 1 => {
            others.iter().all(|rule| split_alike(first, rule))
        }
        _ => false,
    }
}

fn split_alike(one: &Rule, other: &Rule) -> bool {
    let mut pairs = one.arms.iter().zip(&other.arms);
    one.arms.len() == other.arms.len()
        && pairs.all(|(one, other)| one.to == other.to && one.weight == other.weight)
}

/// Rules that were one rule and stand together.
pub(super) fn parts(routes: &Routes) -> impl Iterator<Item = &[Rule]> {
    routes.rules.chunk_by(|one, next| one.group == next.group)
}

fn report_unsteered(routes: &Routes, rule: &Rule, ledger: &Ledger) {
    let reason = match matching::of_rules(routes, std::slice::from_ref(rule)) {
        Err(what) => format!(
            "{what} cannot be said in a split's match: the route keeps its own weights, at random for every request"
        ),
        Ok(_) => "the weights add up to nothing, or arms cannot be told apart: the route keeps its own weights".to_owned(),
    };
    ledger.lost(&rule.spot, reason);
}

fn arms(values: &[String], arms: &[Arm]) -> Node {
    let pairs = values.iter().zip(arms);
    let nodes =
        pairs.map(|(value, arm)| object([("value", text(value)), ("weight", number(arm.weight))]));
    Node::List(nodes.collect())
}

/// Names in metrics: that of the resource, numbered from its second rule on.
pub(super) struct Names<'a> {
    label: &'a str,
    /// How many entries every rule has so far.
    parts: BTreeMap<usize, usize>,
}

impl<'a> Names<'a> {
    pub(super) fn new(label: &'a str) -> Self {
        Self {
            label,
            parts: BTreeMap::new(),
        }
    }

    /// The name of the rule's next entry.
    pub(super) fn next(&mut self, group: usize) -> String {
        let rule = match group {
            0 => self.label.to_owned(),
            _ => format!("{}-{}", self.label, group + 1),
        };
        let parts = self.parts.entry(group).or_default();
        *parts += 1;
        match *parts {
            1 => rule,
            part => format!("{rule}.{part}"),
        }
    }
}
