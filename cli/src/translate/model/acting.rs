//! Which plugin holds which policies.
//!
//! In Istio the ALLOW policies that select a workload add up. Plugins do not: each
//! decides alone, and a request must pass all of them. So no workload may load one
//! ALLOW policy in one plugin and a second one in another. There is a plugin for each
//! widest set of workloads that ALLOW policies select, with all ALLOW policies that may
//! act on some of them. One that acts on a part only has a condition: the workloads
//! that it selects carry a mark in the request's metadata, set by an EnvoyFilter that
//! selects as the policy does. A mark that is missing lets nothing in.
//!
//! DENY and AUDIT policies act the same alone and together, and stay where they are.

use std::collections::BTreeSet;

use meshpack_sdk::config::Node;

use super::Scope;
use super::attachment::{Layout, plugin_name};
use super::policy::{Acting, Guard};
use crate::json::object;
use crate::translate::ledger::Spot;

/// Which listeners a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// Of sidecars, for requests that reach the workload.
    Inbound,
    Gateway,
}

/// A plugin to be.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) scope: Scope,
    pub(crate) side: Side,
    pub(crate) policies: Vec<Node>,
    pub(crate) needs_peer_address: bool,
    /// Where its policies were written.
    pub(crate) spots: Vec<Spot>,
}

/// A mark on the requests of the workloads that a policy selects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) namespace: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) side: Side,
}

/// All plugins, and what they need.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) plugins: Vec<Planned>,
    pub(crate) marks: BTreeSet<Mark>,
    /// Where policies act, and no plugin does.
    pub(crate) unreached: Vec<(Option<Spot>, String)>,
}

/// A policy at a place where it acts.
struct Entry<'g> {
    /// What a plugin for it selects.
    scope: Scope,
    guard: &'g Guard,
    policy: &'g Acting,
}

/// Gives each policy to the plugins of the proxies on which it acts.
pub(crate) fn plan(guards: &[Guard], layout: &Layout) -> Plan {
    let mut plan = Plan::default();
    let (mut inbound, mut gateway) = (Vec::new(), Vec::new());
    for guard in guards {
        let places = match guard.at_gateways {
            true => layout.places(&guard.scope),
            false => super::attachment::Places {
                sidecars: true,
                gateways: Vec::new(),
                unreached: None,
            },
        };
        if let Some(unreached) = places.unreached {
            plan.unreached.push((guard.spot.clone(), unreached));
        }
        for policy in &guard.policies {
            let at = |scope: Scope| Entry {
                scope,
                guard,
                policy,
            };
            inbound.extend(places.sidecars.then(|| at(guard.scope.clone())));
            gateway.extend(places.gateways.iter().cloned().map(at));
        }
    }
    for (side, entries) in [(Side::Inbound, inbound), (Side::Gateway, gateway)] {
        Planner {
            layout,
            side,
            entries,
            plan: &mut plan,
        }
        .run();
    }
    plan
}

struct Planner<'g, 'p> {
    layout: &'p Layout,
    side: Side,
    entries: Vec<Entry<'g>>,
    plan: &'p mut Plan,
}

impl Planner<'_, '_> {
    fn run(mut self) {
        self.drop_repeated();
        let mut scopes: Vec<Scope> = Vec::new();
        for entry in &self.entries {
            if !scopes.iter().any(|known| same(known, &entry.scope)) {
                scopes.push(entry.scope.clone());
            }
        }
        for scope in &scopes {
            if let Some(planned) = self.plugin(scope, &scopes) {
                self.plan.plugins.push(planned);
            }
        }
    }

    /// One policy acts once on a workload, however many names its gateway has.
    fn drop_repeated(&mut self) {
        let repeated: Vec<bool> = (0..self.entries.len())
            .map(|index| {
                let Some(entry) = self.entries.get(index) else {
                    return false;
                };
                let others = self.entries.iter().enumerate();
                others
                    .filter(|(_, other)| std::ptr::eq(other.policy, entry.policy))
                    .any(|(at, other)| {
                        at != index
                            && self.layout.covers(&other.scope, &entry.scope)
                            && (!same(&other.scope, &entry.scope) || at < index)
                    })
            })
            .collect();
        let mut repeated = repeated.into_iter();
        self.entries.retain(|_| !repeated.next().unwrap_or(false));
    }

    /// The plugin for just these workloads.
    fn plugin(&mut self, scope: &Scope, scopes: &[Scope]) -> Option<Planned> {
        let allowing = |scope: &Scope| -> Vec<&Entry<'_>> {
            let of = |entry: &&Entry<'_>| same(&entry.scope, scope) && entry.policy.allows;
            self.entries.iter().filter(of).collect()
        };
        let own = allowing(scope);
        let is_apart = |entry: &Entry<'_>| own.iter().any(|own| apart(own.guard, entry.guard));
        // A wider plugin that all of these load holds their ALLOW policies.
        let is_widest = !scopes.iter().any(|other| {
            !same(other, scope)
                && self.layout.covers(other, scope)
                && allowing(other).iter().any(|entry| !is_apart(entry))
        });
        let allows = is_widest && !own.is_empty();
        let mut policies = Vec::new();
        let mut needs_peer_address = false;
        let mut spots = Vec::new();
        let mut marks = BTreeSet::new();
        for entry in &self.entries {
            let own = same(&entry.scope, scope);
            let here = match entry.policy.allows {
                true => allows && !is_apart(entry) && self.layout.may_meet(&entry.scope, scope),
                false => own,
            };
            if !here {
                continue;
            }
            let conditions = self.conditions(entry, scope, &mut marks);
            if !conditions.is_empty() && !own && has_no_rules(&entry.policy.node) {
                // It allows nothing, and others decide already.
                continue;
            }
            needs_peer_address |= entry.policy.needs_peer_address;
            let spot = entry.policy.spot.as_ref().or(entry.guard.spot.as_ref());
            spots.extend(spot.cloned());
            policies.push(with_conditions(&entry.policy.node, &conditions));
            policies.extend(self.exceptions(entry, scope, &mut marks));
        }
        self.plan.marks.extend(marks);
        (!policies.is_empty()).then(|| Planned {
            scope: self.named(scope),
            side: self.side,
            policies,
            needs_peer_address,
            spots,
        })
    }

    /// What tells the workloads of a policy from the others that load the plugin.
    fn conditions(
        &self,
        entry: &Entry<'_>,
        scope: &Scope,
        marks: &mut BTreeSet<Mark>,
    ) -> Vec<Node> {
        let origin = match entry.guard.scope.is_by_labels() {
            true => &entry.guard.scope,
            // The pods of a Gateway are known by a label.
            false => &entry.scope,
        };
        let mut conditions = Vec::new();
        if !self.layout.covers_pods(origin, scope) {
            conditions.push(self.mark(origin, "values", marks));
        }
        if let Some(port) = origin.port.filter(|_| origin.port != scope.port) {
            let port = Node::List(vec![Node::String(port.to_string())]);
            let key = Node::String("destination.port".to_owned());
            conditions.push(object([("key", key), ("values", port)]));
        }
        for scope in &entry.guard.except {
            conditions.push(self.mark(scope, "notValues", marks));
        }
        conditions
    }

    /// Workloads with rules of their own, which this plugin leaves to theirs.
    fn exceptions(
        &self,
        entry: &Entry<'_>,
        scope: &Scope,
        marks: &mut BTreeSet<Mark>,
    ) -> Vec<Node> {
        if !same(&entry.scope, scope) {
            return Vec::new();
        }
        let excepted = entry.guard.except.iter().map(|scope| {
            let rule = object([("when", Node::List(vec![self.mark(scope, "values", marks)]))]);
            let name = format!("left-to-{}", scope.name);
            let metadata = object([
                ("name", Node::String(name)),
                ("namespace", Node::String(scope.namespace.clone())),
            ]);
            let spec = object([
                ("action", Node::String("ALLOW".to_owned())),
                ("rules", Node::List(vec![rule])),
            ]);
            object([("metadata", metadata), ("spec", spec)])
        });
        excepted.collect()
    }

    fn mark(&self, scope: &Scope, key: &str, marks: &mut BTreeSet<Mark>) -> Node {
        let mark = Mark {
            namespace: scope.namespace.clone(),
            labels: scope.labels(),
            side: self.side,
        };
        let condition = object([
            ("key", Node::String(mark.condition_key())),
            (key, Node::List(vec![Node::String(Mark::VALUE.to_owned())])),
        ]);
        marks.insert(mark);
        condition
    }

    fn named(&self, scope: &Scope) -> Scope {
        let own = self
            .entries
            .iter()
            .find(|entry| same(&entry.guard.scope, scope));
        if let Some(entry) = own {
            return entry.guard.scope.clone();
        }
        // A policy for one Gateway goes on naming it.
        let targeted = self
            .entries
            .iter()
            .find(|entry| same(&entry.scope, scope) && !entry.guard.scope.is_by_labels());
        if let Some(entry) = targeted
            && let Some((_, Node::List(targets))) = &entry.guard.scope.selector
            && targets.len() == 1
        {
            return entry.guard.scope.clone();
        }
        let prefix = match self.side {
            Side::Inbound => "authz-policy",
            Side::Gateway => "authz-policy-at",
        };
        Scope {
            name: plugin_name(prefix, &scope.selector),
            ..scope.clone()
        }
    }
}

impl Mark {
    /// What the mark says.
    pub(crate) const VALUE: &'static str = "yes";
    /// The key under which it says so.
    pub(crate) const KEY: &'static str = "selected";

    fn name(&self) -> String {
        let selector = Scope::by_labels(&self.namespace, &self.labels).selector;
        // No namespace has a dot in its name.
        plugin_name(&format!("{}.in", self.namespace), &selector)
    }

    /// The namespace of dynamic metadata.
    pub(crate) fn metadata(&self) -> String {
        format!("envoy.filters.http.meshpack.{}", self.name())
    }

    fn condition_key(&self) -> String {
        format!("experimental.{}[{}]", self.metadata(), Self::KEY)
    }

    /// The name of the resource that sets it.
    pub(crate) fn resource_name(&self) -> String {
        let side = match self.side {
            Side::Inbound => "inbound",
            Side::Gateway => "gateway",
        };
        format!("mark-{side}-{}", self.name())
    }
}

impl Scope {
    fn is_by_labels(&self) -> bool {
        self.selector
            .as_ref()
            .is_none_or(|(key, _)| key == "selector")
    }
}

/// Whether the workloads of one have the policies of the other instead, not besides.
fn apart(one: &Guard, other: &Guard) -> bool {
    let excepts =
        |one: &Guard, other: &Guard| one.except.iter().any(|scope| same(scope, &other.scope));
    excepts(one, other) || excepts(other, one)
}

/// The same workloads and port, whatever the name.
fn same(one: &Scope, other: &Scope) -> bool {
    one.namespace == other.namespace && one.port == other.port && one.selector == other.selector
}

fn has_no_rules(policy: &Node) -> bool {
    match at(at(Some(policy), "spec"), "rules") {
        Some(Node::List(rules)) => rules.is_empty(),
        Some(_) => false,
        None => true,
    }
}

fn at<'n>(node: Option<&'n Node>, key: &str) -> Option<&'n Node> {
    match node? {
        Node::Object(entries) => entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, node)| node),
        _ => None,
    }
}

/// The policy with more conditions in each of its rules.
fn with_conditions(policy: &Node, conditions: &[Node]) -> Node {
    if conditions.is_empty() {
        return policy.clone();
    }
    change(policy, "spec", &|spec| {
        change(spec, "rules", &|rules| match rules {
            Node::List(rules) => Node::List(
                rules
                    .iter()
                    .map(|rule| narrowed(rule, conditions))
                    .collect(),
            ),
            other => other.clone(),
        })
    })
}

fn narrowed(rule: &Node, conditions: &[Node]) -> Node {
    let Node::Object(entries) = rule else {
        return rule.clone();
    };
    let mut entries = entries.clone();
    match entries.iter_mut().find(|(key, _)| key == "when") {
        Some((_, Node::List(when))) => when.extend(conditions.iter().cloned()),
        Some(_) => {}
        None => entries.push(("when".to_owned(), Node::List(conditions.to_vec()))),
    }
    Node::Object(entries)
}

fn change(node: &Node, key: &str, by: &dyn Fn(&Node) -> Node) -> Node {
    match node {
        Node::Object(entries) => Node::Object(
            entries
                .iter()
                .map(|(name, child)| match name == key {
                    true => (name.clone(), by(child)),
                    false => (name.clone(), child.clone()),
                })
                .collect(),
        ),
        other => other.clone(),
    }
}
