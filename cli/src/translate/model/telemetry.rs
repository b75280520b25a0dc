//! What workloads report.
//!
//! In Istio, what a Telemetry resource says for the mesh is refined by one for a namespace
//! and one for a workload. Plugins are not: a proxy that loads two counts every request
//! twice. So there is one plugin for each widest set of workloads, and what a narrower
//! resource changes is said to be lost.

use meshpack_sdk::config::Node;

use super::Scope;
use super::attachment::Layout;
use crate::json::object;
use crate::translate::ledger::{Ledger, Spot};

/// The name under which the filter overrides all of its metrics.
pub(crate) const ALL: &str = "golden";

/// What one resource says.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) scope: Scope,
    /// Entries of the filter's `tagOverrides`.
    pub(crate) overrides: Vec<(String, Node)>,
    /// None if it says nothing about logs.
    pub(crate) log: Option<Log>,
    pub(crate) spot: Spot,
}

/// An access log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Log {
    Off,
    /// The filter's `accessLog`.
    To(Node),
}

/// A plugin to be.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) scope: Scope,
    /// A configuration of the telemetry filter.
    pub(crate) config: Node,
}

/// One plugin for each widest scope.
pub(crate) fn plan(all: &[Telemetry], layout: &Layout, ledger: &Ledger) -> Vec<Planned> {
    let mut plans: Vec<Planned> = Vec::new();
    let meets = |one: &Scope, other: &Scope| {
        one.selector == other.selector && one.namespace == other.namespace
            || layout.may_meet(one, other)
    };
    let mut widest_first: Vec<&Telemetry> = all.iter().collect();
    widest_first.sort_by_key(|one| {
        let elsewhere = one.scope.namespace != layout.root;
        (one.scope.selector.is_some(), elsewhere)
    });
    for one in widest_first {
        let scope = &one.scope;
        if plans.iter().any(|known| same(&known.scope, scope)) {
            continue;
        }
        let config = of_scope(all, scope, layout);
        match plans.iter().find(|known| meets(&known.scope, scope)) {
            None => plans.push(Planned {
                scope: scope.clone(),
                config,
            }),
            // It changes nothing for these workloads.
            Some(known) if layout.covers(&known.scope, scope) && known.config == config => {}
            Some(known) => ledger.lost(
                &one.spot,
                format!(
                    "workloads here load the plugin for {} too, and a second one would count their requests twice: what this changes is left out; say it for all of them, or write a plugin for each set of workloads that no other selects",
                    known.scope.described()
                ),
            ),
        }
    }
    plans
}

/// What holds for workloads of a scope: the mesh's, the namespace's, the workload's own.
pub(crate) fn of_scope(all: &[Telemetry], scope: &Scope, layout: &Layout) -> Node {
    let mut acting: Vec<&Telemetry> = all
        .iter()
        .filter(|one| {
            same(&one.scope, scope)
                || (one.scope.selector.is_none() && layout.covers(&one.scope, scope))
        })
        .collect();
    acting.sort_by_key(|one| {
        let elsewhere = one.scope.namespace != layout.root;
        (one.scope.selector.is_some(), elsewhere)
    });
    config(&acting)
}

/// The configuration that resources come to, the most particular last.
pub(crate) fn config(acting: &[&Telemetry]) -> Node {
    let mut overrides = Vec::new();
    let mut log = None;
    for one in acting {
        for (metric, change) in &one.overrides {
            add(&mut overrides, metric, change);
        }
        log = one.log.as_ref().or(log);
    }
    let mut config = vec![("golden", object([("enabled", Node::Bool(true))]))];
    if !overrides.is_empty() {
        config.push(("tagOverrides", Node::Object(overrides)));
    }
    if let Some(Log::To(log)) = log {
        config.push(("accessLog", log.clone()));
    }
    object(config)
}

fn same(one: &Scope, other: &Scope) -> bool {
    one.namespace == other.namespace && one.selector == other.selector
}

/// A later override adds to an earlier one of the same metric; one of all metrics to each.
pub(crate) fn add(overrides: &mut Vec<(String, Node)>, metric: &str, change: &Node) {
    let mut known = false;
    for (name, before) in overrides.iter_mut() {
        known |= name == metric;
        if name == metric || metric == ALL {
            merge(before, change);
        }
    }
    if !known {
        overrides.push((metric.to_owned(), change.clone()));
    }
}

fn merge(known: &mut Node, change: &Node) {
    let (Node::Object(known), Node::Object(change)) = (known, change) else {
        return;
    };
    for (key, value) in change {
        match known.iter_mut().find(|(name, _)| name == key) {
            Some((_, Node::Object(entries))) => {
                if let Node::Object(more) = value {
                    entries.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
                    entries.extend(more.iter().cloned());
                }
            }
            Some((_, Node::List(items))) => {
                if let Node::List(more) = value {
                    let new = more.iter().filter(|item| !items.contains(item));
                    let new: Vec<Node> = new.cloned().collect();
                    items.extend(new);
                }
            }
            Some((_, other)) => *other = value.clone(),
            None => known.push((key.clone(), value.clone())),
        }
    }
}
