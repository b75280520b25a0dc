//! VirtualServices that leave some of their requests to others, which have no hosts.

use super::super::Context;
use crate::translate::model::Mesh;
use crate::translate::model::traffic::{Match, PathMatch, Routes, Rule};
use crate::translate::options::Target;

/// Gives each delegate the hosts and the conditions of the routes that lead to it. In an
/// Envoy outside of Istio its rules are put in the place of those that lead there.
pub(super) fn resolve(mesh: &mut Mesh, cx: &Context<'_>) {
    let (delegates, mut roots): (Vec<Routes>, Vec<Routes>) = std::mem::take(&mut mesh.routes)
        .into_iter()
        .partition(|routes| routes.hosts.is_empty());
    let mut delegates = delegates;
    for root in &mut roots {
        let mut rules: Vec<Rule> = Vec::new();
        for rule in std::mem::take(&mut root.rules) {
            let wanted = rule.delegate.clone();
            let found = wanted.as_ref().and_then(|(namespace, name)| {
                delegates
                    .iter_mut()
                    .find(|known| known.namespace == *namespace && known.name == *name)
            });
            match (found, wanted) {
                (Some(delegate), _) => {
                    let names = root.names();
                    delegate.delegated.extend(names);
                    delegate.reach = root.reach.clone();
                    for inner in &mut delegate.rules {
                        let seen = both(&rule.matches, &inner.matches);
                        inner.delegated.get_or_insert_default().extend(seen);
                    }
                    match cx.options.to {
                        Target::Envoy => rules.extend(inlined(&rule, delegate)),
                        Target::Wasmplugin => rules.push(rule),
                    }
                }
                (None, Some((namespace, name))) => {
                    cx.ledger.lost(
                        &rule.spot,
                        format!("leaves its requests to the VirtualService {namespace}/{name}, which is not among these files: add it"),
                    );
                    rules.push(rule);
                }
                (None, None) => rules.push(rule),
            }
        }
        if cx.options.to == Target::Envoy {
            for (group, rule) in rules.iter_mut().enumerate() {
                rule.group = group;
            }
        }
        root.rules = rules;
    }
    for delegate in &mut delegates {
        if let (true, Some(rule)) = (delegate.delegated.is_empty(), delegate.rules.first()) {
            cx.ledger.lost(
                &rule.spot,
                "has no hosts, and no VirtualService among these files delegates to it: add the one that does",
            );
            // For no hosts it is nobody's.
            delegate.delegated.push("delegate.invalid".to_owned());
        }
    }
    if cx.options.to == Target::Wasmplugin {
        roots.extend(delegates);
    }
    mesh.routes = roots;
}

/// The rules of a delegate for the requests of one rule.
fn inlined(rule: &Rule, delegate: &Routes) -> Vec<Rule> {
    let of = |inner: &Rule| {
        let matches = both(&rule.matches, &inner.matches);
        // None are left where both contradict each other; no conditions mean any request.
        let any = rule.matches.is_empty() && inner.matches.is_empty();
        (any || !matches.is_empty()).then(|| Rule {
            matches,
            delegated: None,
            delegate: None,
            ..inner.clone()
        })
    };
    delegate.rules.iter().filter_map(of).collect()
}

/// The conditions that hold where one of each list holds.
fn both(outer: &[Match], inner: &[Match]) -> Vec<Match> {
    if outer.is_empty() {
        return inner.to_vec();
    }
    if inner.is_empty() {
        return outer.to_vec();
    }
    let pairs = outer
        .iter()
        .flat_map(|outer| inner.iter().map(move |inner| (outer, inner)));
    pairs
        .filter_map(|(outer, inner)| join(outer, inner))
        .collect()
}

/// Both at once; none where the inner path is not one of the outer's, which Istio drops.
fn join(outer: &Match, inner: &Match) -> Option<Match> {
    let path = match (&outer.path, &inner.path) {
        (None, path) | (path, None) => path.clone(),
        (Some(outer), Some(inner)) if is_within(outer, inner) => Some(inner.clone()),
        _ => return None,
    };
    let methods = match (outer.methods.as_slice(), inner.methods.as_slice()) {
        ([], methods) | (methods, []) => methods.to_vec(),
        (outer, inner) if outer == inner => inner.to_vec(),
        _ => return None,
    };
    Some(Match {
        path,
        methods,
        headers: [outer.headers.clone(), inner.headers.clone()].concat(),
        query: [outer.query.clone(), inner.query.clone()].concat(),
        kept: [outer.kept.clone(), inner.kept.clone()].concat(),
        extra: [outer.extra.clone(), inner.extra.clone()].concat(),
    })
}

fn is_within(outer: &PathMatch, inner: &PathMatch) -> bool {
    match (outer, inner) {
        (PathMatch::Prefix(outer), PathMatch::Prefix(inner) | PathMatch::Exact(inner)) => {
            inner.starts_with(outer.as_str())
        }
        (outer, inner) => outer == inner,
    }
}
