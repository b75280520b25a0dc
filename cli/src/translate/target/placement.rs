//! Where the plugins for calls go.
//!
//! A plugin for calls is loaded by the proxies of its own namespace, sidecars and gateways,
//! and by no others. Who follows a route may be elsewhere: callers in other namespaces, a
//! gateway. Each place gets one plugin with all routes that its proxies follow, as two on
//! one proxy would decide twice.

use crate::translate::ledger::Ledger;
use crate::translate::model::attachment::{GATEWAY_NAME, Layout};
use crate::translate::model::traffic::{Callers, GatewayRef, Routes};
use crate::translate::model::{Mesh, Scope};
use crate::translate::options::Options;

/// The proxies of a place, and the routes that they follow.
pub(super) struct Placement {
    pub(super) scope: Scope,
    pub(super) routes: Vec<Routes>,
}

/// All places, those of callers first.
pub(super) fn of_routes(mesh: &Mesh, options: &Options, ledger: &Ledger) -> Vec<Placement> {
    let mut places: Vec<(Scope, Vec<usize>)> = Vec::new();
    let mut at_gateways: Vec<(Scope, usize)> = Vec::new();
    for (index, routes) in mesh.routes.iter().enumerate() {
        if !routes.has_work() {
            continue;
        }
        for namespace in callers(routes, options, ledger) {
            add(&mut places, Scope::by_labels(&namespace, &[]), index);
        }
        for gateway in &routes.reach.gateways {
            match pods(gateway, &mesh.layout) {
                Ok(scopes) => at_gateways.extend(scopes.into_iter().map(|scope| (scope, index))),
                Err(what) => report(routes, ledger, &what),
            }
        }
    }
    let callers: Vec<String> = places
        .iter()
        .map(|(scope, _)| scope.namespace.clone())
        .collect();
    for (scope, index) in at_gateways {
        if callers.contains(&scope.namespace) {
            // Its proxies load the namespace's plugin already.
            add(&mut places, Scope::by_labels(&scope.namespace, &[]), index);
            continue;
        }
        if scope.namespace == mesh.layout.root
            && !callers.is_empty()
            && let Some(routes) = mesh.routes.get(index)
        {
            report(
                routes,
                ledger,
                "acts at gateways in any namespace, also in those whose callers load a plugin of their own: say where they run with --gateway NAMESPACE/KEY=VALUE",
            );
        }
        add(&mut places, scope, index);
    }
    let place = |(scope, routes): (Scope, Vec<usize>)| Placement {
        routes: routes
            .iter()
            .filter_map(|index| mesh.routes.get(*index))
            .map(|routes| Routes {
                seen_from: Some(scope.namespace.clone()),
                ..routes.clone()
            })
            .collect(),
        scope,
    };
    let mut placed: Vec<Placement> = places.into_iter().map(place).collect();
    for placement in &mut placed {
        // Of overlapping hosts the most particular decides, in a route table.
        placement
            .routes
            .sort_by_key(|routes| std::cmp::Reverse(particular(routes)));
    }
    placed
}

/// Exact hosts before wildcards, the longest of those first.
fn particular(routes: &Routes) -> (bool, usize) {
    let hosts = || routes.hosts.iter().chain(&routes.delegated);
    let exact = hosts().all(|host| !host.contains('*'));
    let shortest = hosts().map(String::len).min().unwrap_or(0);
    (exact, if exact { 0 } else { shortest })
}

fn add(places: &mut Vec<(Scope, Vec<usize>)>, scope: Scope, index: usize) {
    match places.iter_mut().find(|(known, _)| *known == scope) {
        Some((_, routes)) if routes.contains(&index) => {}
        Some((_, routes)) => routes.push(index),
        None => places.push((scope, vec![index])),
    }
}

/// The namespaces whose workloads call.
fn callers(routes: &Routes, options: &Options, ledger: &Ledger) -> Vec<String> {
    match &routes.reach.callers {
        Callers::Of(namespaces) => namespaces.clone(),
        Callers::All => {
            if options.callers.is_empty() {
                report(
                    routes,
                    ledger,
                    &format!(
                        "is followed by callers in every namespace, and a plugin is loaded in its own alone, {}: name the others with --callers NAMESPACE, or say --callers none",
                        routes.namespace
                    ),
                );
            }
            let mut namespaces = vec![routes.namespace.clone()];
            for namespace in options.callers.iter().filter(|name| *name != "none") {
                if !namespaces.contains(namespace) {
                    namespaces.push(namespace.clone());
                }
            }
            namespaces
        }
    }
}

/// The proxies of a Gateway; `Err` says what is not known.
fn pods(gateway: &GatewayRef, layout: &Layout) -> Result<Vec<Scope>, String> {
    if gateway.of_api {
        let label = (GATEWAY_NAME.to_owned(), gateway.name.clone());
        return Ok(vec![Scope::by_labels(&gateway.namespace, &[label])]);
    }
    let selected = layout
        .named
        .iter()
        .find(|known| known.namespace == gateway.namespace && known.name == gateway.name)
        .map(|known| &known.labels);
    let mut scopes: Vec<Scope> = Vec::new();
    for pods in &layout.gateways {
        let fits =
            selected.is_none_or(|labels| labels.iter().all(|label| pods.labels.contains(label)));
        if let (true, Some(namespace)) = (fits, &pods.namespace)
            && (layout.complete || selected.is_some())
        {
            scopes.push(Scope::by_labels(namespace, &pods.labels));
        }
    }
    match (scopes.is_empty(), selected) {
        (false, _) => Ok(scopes),
        // A Gateway selects pods in any namespace, as a plugin of the root namespace does.
        (true, Some(labels)) => Ok(vec![Scope::by_labels(&layout.root, labels)]),
        (true, None) => Err(format!(
            "acts at the Gateway {}/{}, which is not among these files, so where its proxies run is not known: add the Gateway, or name them with --gateway NAMESPACE/KEY=VALUE",
            gateway.namespace, gateway.name
        )),
    }
}

fn report(routes: &Routes, ledger: &Ledger, what: &str) {
    if let Some(rule) = routes.rules.first() {
        ledger.lost(&rule.spot, what);
    }
}
