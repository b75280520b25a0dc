//! A bootstrap for a stand-alone Envoy: one listener for the routes, one for
//! each guarded workload.

mod cluster;
mod listener;
mod route;

use std::collections::{BTreeMap, BTreeSet};

use meshpack_sdk::config::Node;

use super::{budget, split};
use crate::filters::Filter;
use crate::json::object;
use crate::stat_tags::Tags;
use crate::translate::ledger::Ledger;
use crate::translate::model::policy::{Acting, Guard};
use crate::translate::model::telemetry::{self, Telemetry};
use crate::translate::model::traffic::{Destination, Routes};
use crate::translate::model::{Mesh, Scope};
use crate::translate::options::Options;
use listener::{Listener, Plugin};
pub(crate) use listener::{peer_address, set_metadata};

/// Filter state that carries the TCP peer's address.
pub(crate) const PEER_ADDRESS: &str = "meshpack.peer_address";

/// The whole bootstrap.
pub(crate) fn bootstrap(mesh: &Mesh, options: &Options, ledger: &Ledger) -> Node {
    let mut listeners = Vec::new();
    let mut clusters = Vec::new();
    let telemetry = outbound_telemetry(mesh, ledger);
    let mut port = options.port;
    if !mesh.routes.is_empty() {
        let routes: Vec<&Routes> = mesh.routes.iter().collect();
        let canary = split::canary(&routes, &options.sticky_by, ledger);
        let retry = budget::retry(&routes, mesh, ledger);
        let mut plugins = Vec::new();
        plugins.extend(canary.map(|config| Plugin::new(Filter::CanarySplit, config)));
        plugins.extend(retry.map(|config| Plugin::new(Filter::RetryBudget, config)));
        plugins.extend(telemetry.clone());
        listeners.push(Listener::outbound(
            port,
            plugins,
            route::configuration(&routes, ledger),
        ));
        port += 1;
        for rule in routes.iter().filter_map(|routes| routes.rules.first()) {
            ledger.carry(&rule.spot, "listener outbound");
        }
        for (destination, namespace) in destinations(&routes) {
            clusters.push(cluster::of_destination(
                &destination,
                namespace,
                mesh,
                options,
                ledger,
            ));
        }
    }
    let mut local = BTreeSet::new();
    for guard in &mesh.guards {
        let name = guard
            .scope
            .port
            .map_or("local".to_owned(), |port| format!("local:{port}"));
        // All that acts on the workload, not just what selects it as this does.
        let acting: Vec<&Acting> = mesh
            .guards
            .iter()
            .filter(|other| acts_on(other, guard, mesh))
            .flat_map(|other| &other.policies)
            .collect();
        report_doubts(guard, mesh, ledger);
        let policies = acting.iter().map(|policy| policy.node.clone());
        let needs_peer_address = acting.iter().any(|policy| policy.needs_peer_address);
        let mut plugins = vec![Plugin::authz(
            policies.collect(),
            needs_peer_address,
            options,
        )];
        if !mesh.telemetry.is_empty() {
            let config = telemetry::of_scope(&mesh.telemetry, &guard.scope, &mesh.layout);
            plugins.push(Plugin::new(Filter::Telemetry, config));
        }
        let routes = route::everything_to(&name);
        let with_tls = acting.iter().any(|policy| policy.needs_identity);
        if with_tls && let Some(spot) = &guard.spot {
            ledger.note(
                spot,
                "clients are known by their certificates: put the workload's into certs/tls.crt and certs/tls.key, the mesh's root into certs/ca.crt",
            );
        }
        for policy in &acting {
            if let Some(spot) = policy.spot.as_ref().or(guard.spot.as_ref()) {
                ledger.carry(spot, &format!("listener {}", listener_name(guard, mesh)));
            }
        }
        listeners.push(Listener {
            name: listener_name(guard, mesh),
            port,
            plugins,
            routes,
            with_tls,
            with_peer_address: needs_peer_address,
        });
        port += 1;
        if local.insert(name.clone()) {
            clusters.push(cluster::local(
                &name,
                guard.scope.port.unwrap_or(8080),
                options,
            ));
        }
    }
    if let (true, Some(plugin)) = (listeners.is_empty(), telemetry) {
        listeners.push(Listener::outbound(
            port,
            vec![plugin],
            route::everything_to("local"),
        ));
        clusters.push(cluster::local("local", 8080, options));
    }
    let mut tags = Tags::default();
    for plugin in listeners.iter().flat_map(|listener| &listener.plugins) {
        plugin.add_tags(&mut tags);
    }
    let listeners = listeners.iter().map(|listener| listener.node(options));
    let resources = object([
        ("listeners", Node::List(listeners.collect())),
        ("clusters", Node::List(clusters)),
    ]);
    let stats = tags.stats_config().map(|stats| ("stats_config", stats));
    object(stats.into_iter().chain([("static_resources", resources)]))
}

/// What all callers report: the mesh's, and the namespace's if there is one alone.
fn outbound_telemetry(mesh: &Mesh, ledger: &Ledger) -> Option<Plugin> {
    let (mut acting, others): (Vec<&Telemetry>, Vec<&Telemetry>) = mesh
        .telemetry
        .iter()
        .partition(|one| one.scope.namespace == mesh.layout.root && one.scope.selector.is_none());
    // Of several, one for a whole namespace says most.
    let whole = others.iter().find(|one| one.scope.selector.is_none());
    let first = whole.or(others.first()).map(|one| &one.scope);
    for one in &others {
        let same = first.is_some_and(|first| {
            first.namespace == one.scope.namespace && first.selector == one.scope.selector
        });
        let guarded = mesh
            .guards
            .iter()
            .any(|guard| guard.scope.selector == one.scope.selector);
        if same {
            acting.push(one);
        } else if !guarded {
            ledger.lost(
                &one.spot,
                "is for other workloads than the first Telemetry here, and one listener for calls serves all: translate them apart",
            );
        }
    }
    for one in &acting {
        ledger.carry(&one.spot, "listener outbound");
    }
    (!acting.is_empty()).then(|| Plugin::new(Filter::Telemetry, telemetry::config(&acting)))
}

/// Two listeners of one name would be one.
fn listener_name(guard: &Guard, mesh: &Mesh) -> String {
    let name = &guard.scope.name;
    let same = mesh.guards.iter().filter(|other| other.scope.name == *name);
    if same.count() > 1 {
        format!("inbound-{name}.{}", guard.scope.namespace)
    } else {
        format!("inbound-{name}")
    }
}

/// Whether whatever a guard selects has the policies of another, too.
fn acts_on(other: &Guard, guard: &Guard, mesh: &Mesh) -> bool {
    let places = match guard.at_gateways && other.at_gateways {
        true => mesh.layout.places(&guard.scope),
        false => return is_covered(&guard.scope, other, mesh),
    };
    match places.gateways.as_slice() {
        // The pods of a Gateway, whose listeners have its namespace's policies, too.
        [gateway, ..] if !places.sidecars => {
            let same = guard.scope.selector == other.scope.selector
                && guard.scope.namespace == other.scope.namespace;
            let targets = mesh.layout.places(&other.scope).gateways;
            let targeted = targets
                .iter()
                .any(|target| mesh.layout.covers(target, gateway));
            same || targeted || is_covered(gateway, other, mesh)
        }
        _ => is_covered(&guard.scope, other, mesh),
    }
}

fn is_covered(scope: &Scope, by: &Guard, mesh: &Mesh) -> bool {
    let excepted = by
        .except
        .iter()
        .any(|except| mesh.layout.covers(except, scope));
    let labelled = by
        .scope
        .selector
        .as_ref()
        .is_none_or(|(key, _)| key == "selector");
    let same = by.scope.selector == scope.selector;
    !excepted && (labelled || same) && mesh.layout.covers(&by.scope, scope)
}

/// A listener lacks the policies of selectors that may select its workload, too.
fn report_doubts(guard: &Guard, mesh: &Mesh, ledger: &Ledger) {
    for other in &mesh.guards {
        let (one, two) = (&guard.scope, &other.scope);
        let told = acts_on(other, guard, mesh) || acts_on(guard, other, mesh);
        let targets = |scope: &Scope| {
            scope
                .selector
                .as_ref()
                .is_some_and(|(key, _)| key != "selector")
        };
        // Pods of a Gateway that is named, and those of a selector that says nothing of it.
        let apart = targets(one) != targets(two)
            || other.except.contains(one)
            || guard.except.contains(two);
        if !told
            && !apart
            && mesh.layout.may_meet(one, two)
            && let Some(spot) = &guard.spot
        {
            ledger.lost(
                spot,
                format!(
                    "workloads may be selected by this and by the policies of {}, which have a listener of their own: give both one selector",
                    two.described()
                ),
            );
        }
    }
}

/// Where requests go, and a namespace of the routes that say so.
fn destinations<'r>(routes: &[&'r Routes]) -> BTreeMap<Destination, &'r str> {
    let mut found = BTreeMap::new();
    for routes in routes {
        for arm in routes.rules.iter().flat_map(|rule| &rule.arms) {
            found
                .entry(arm.to.clone())
                .or_insert(routes.namespace.as_str());
        }
    }
    found
}
