//! The retry filter's configuration.

use meshpack_sdk::config::Node;

use super::split::{Names, parts};
use super::{duration, integer, matching, number, text, texts};
use crate::json::object;
use crate::translate::ledger::Ledger;
use crate::translate::model::Mesh;
use crate::translate::model::traffic::{Arm, Budget, Retry, RetryPolicy, Routes, Rule};

/// The retry filter's configuration for some routes.
pub(crate) fn retry(routes: &[&Routes], mesh: &Mesh, ledger: &Ledger) -> Option<Node> {
    let mut budgets = Vec::new();
    for routes in routes {
        budgets.extend(budgets_of(routes, mesh, ledger));
    }
    (!budgets.is_empty()).then(|| object([("budgets", Node::List(budgets))]))
}

fn budgets_of(routes: &Routes, mesh: &Mesh, ledger: &Ledger) -> Vec<Node> {
    if let Some(policy) = uniform(routes, mesh, ledger) {
        return vec![of_all(routes, &policy)];
    }
    let parts: Vec<&[Rule]> = parts(routes).collect();
    let retries = |rules: &&[Rule]| rules.iter().any(|rule| matches!(rule.retry, Retry::On(_)));
    let Some(last) = parts.iter().rposition(retries) else {
        return Vec::new();
    };
    let mut budgets = Vec::new();
    let mut names = Names::new(&routes.label);
    for rules in parts.iter().take(last + 1) {
        let [rule, ..] = rules else { continue };
        let entries = match matching::of_rules(routes, rules) {
            Ok(entries) => entries,
            Err(what) => {
                ledger.lost(
                    &rule.spot,
                    format!("{what} cannot be said in a budget's match: this rule and those after it keep the retries of their routes, without a budget"),
                );
                break;
            }
        };
        for matcher in entries {
            let mut entry = vec![("name", text(names.next(rule.group)))];
            entry.extend(matcher.map(|matcher| ("match", matcher)));
            match &rule.retry {
                Retry::On(policy) => entry.extend(terms(policy, routes, rule, mesh, ledger)),
                Retry::Off => entry.push(("maxRetries", integer(0))),
                // Istio's own default: its conditions stay on the route.
                Retry::Default => entry.push(("maxRetries", integer(2))),
            }
            budgets.push(object(entry));
        }
    }
    budgets
}

/// The retries and the budget of all rules that retry, if they have them in
/// common and no rule retries by default.
fn uniform(routes: &Routes, mesh: &Mesh, ledger: &Ledger) -> Option<RetryPolicy> {
    let mut common: Option<RetryPolicy> = None;
    for rule in &routes.rules {
        let policy = match &rule.retry {
            Retry::Off => continue,
            Retry::Default => return None,
            Retry::On(policy) => policy,
        };
        let own = RetryPolicy {
            retries: policy.retries,
            on: Vec::new(),
            per_try_timeout: None,
            backoff: None,
            budget: budget_of(policy, routes, rule, mesh, ledger),
            kept: Vec::new(),
        };
        match &common {
            Some(common) if *common != own => return None,
            Some(_) => {}
            None => common = Some(own),
        }
    }
    common.filter(|_| routes.rules.len() > 1)
}

/// One budget for all requests of the hosts. Which of them are retried, when
/// and for how long is the routes' business: without conditions of its own the
/// filter makes nothing retried that its route does not retry.
fn of_all(routes: &Routes, policy: &RetryPolicy) -> Node {
    let mut entry = vec![("name", text(&routes.label))];
    entry.extend(matching::of_hosts(routes).map(|matcher| ("match", matcher)));
    entry.extend(shares(&policy.budget));
    entry.push(("maxRetries", integer(policy.retries)));
    if policy.budget.unavailable_when_exhausted {
        entry.push(("whenExhausted", integer(503)));
    }
    object(entry)
}

fn terms(
    policy: &RetryPolicy,
    routes: &Routes,
    rule: &Rule,
    mesh: &Mesh,
    ledger: &Ledger,
) -> Vec<(&'static str, Node)> {
    let budget = budget_of(policy, routes, rule, mesh, ledger);
    let mut entry = shares(&budget).to_vec();
    entry.push(("maxRetries", integer(policy.retries)));
    if !policy.on.is_empty() {
        entry.push(("retryOn", texts(&policy.on)));
    }
    // Envoy ignores a limit on one attempt that is not below the whole.
    let whole = rule.timeout;
    let below = |one: &std::time::Duration| whole.is_none_or(|whole| *one < whole);
    let one = policy.per_try_timeout.filter(below);
    entry.extend(one.map(|one| ("perTryTimeout", duration(one))));
    entry.extend(whole.map(|whole| ("timeout", duration(whole))));
    if budget.unavailable_when_exhausted {
        entry.push(("whenExhausted", integer(503)));
    }
    entry
}

fn shares(budget: &Budget) -> [(&'static str, Node); 2] {
    let share = [
        ("percent", number(budget.percent)),
        ("interval", duration(budget.interval)),
    ];
    let floor = [
        ("count", integer(budget.floor_count)),
        ("interval", duration(budget.floor_interval)),
    ];
    [("budget", object(share)), ("minRetryRate", object(floor))]
}

/// The budget of the services behind a rule, or that of its retries.
fn budget_of(
    policy: &RetryPolicy,
    routes: &Routes,
    rule: &Rule,
    mesh: &Mesh,
    ledger: &Ledger,
) -> Budget {
    let given = |arm: &Arm| {
        let of_host = mesh.backends_of(&arm.to.host, &routes.namespace);
        let find = |subset: &Option<String>| {
            let mut found = of_host.iter().filter(|one| one.subset == *subset);
            found.find_map(|backend| backend.budget.as_ref())
        };
        find(&arm.to.subset).or_else(|| find(&None))
    };
    let mut given = rule.arms.iter().map(given);
    let first = given.next().flatten();
    if given.any(|other| other != first) {
        ledger.lost(
            &rule.spot,
            "the arms of this split have budgets of their own: one budget holds for all of them, that of the first",
        );
    }
    let mut budget = first.unwrap_or(&policy.budget).clone();
    // With less left than two requests may need, the filter gives each one retry.
    let needed = policy.retries.saturating_mul(2);
    if budget == Budget::default() {
        budget.floor_count = budget.floor_count.max(needed);
    } else if budget.floor_count < needed {
        ledger.note(
            &rule.spot,
            format!("a service of few requests, whose budget is its floor of {}, gets one retry a request while that is less than two requests may need ({needed})", budget.floor_count),
        );
    }
    budget
}
