//! AuthorizationPolicy: taken as written, grouped by the workloads it selects.

use meshpack_sdk::config::Node;

use super::super::{Context, Resource};
use crate::json::object;
use crate::translate::ledger::Field;
use crate::translate::model::Scope;
use crate::translate::model::attachment::{canonical, plugin_name};
use crate::translate::model::policy::Guard;
use crate::translate::options::Target;

pub(super) fn read(resources: &[&Resource<'_>], cx: &Context<'_>) -> Vec<Guard> {
    let mut guards: Vec<Guard> = Vec::new();
    let mut allowing: Vec<(Scope, Field<'_>)> = Vec::new();
    for resource in resources {
        let Some((scope, policy)) = read_policy(resource) else {
            continue;
        };
        if policy.allows {
            allowing.push((scope.clone(), resource.field.clone()));
        }
        let same = |guard: &&mut Guard| {
            guard.scope.namespace == scope.namespace && guard.scope.selector == scope.selector
        };
        let guard = match guards.iter_mut().find(same) {
            Some(guard) => guard,
            None => {
                guards.push(Guard {
                    scope,
                    policies: Vec::new(),
                    needs_identity: false,
                    needs_peer_address: false,
                    spot: Some(resource.field.spot()),
                });
                let Some(last) = guards.last_mut() else {
                    continue;
                };
                last
            }
        };
        if policy.needs_port && cx.options.to == Target::Envoy {
            resource.field.lost("asks for the port that a workload listens on, which the Envoy configuration's listeners do not have");
        }
        guard.needs_identity |= policy.needs_identity;
        guard.needs_peer_address |= policy.needs_peer_address;
        guard.policies.push(policy.node);
    }
    report_overlaps(&allowing, cx.options.to);
    guards
}

struct Policy {
    node: Node,
    allows: bool,
    needs_identity: bool,
    needs_peer_address: bool,
    needs_port: bool,
}

fn read_policy(resource: &Resource<'_>) -> Option<(Scope, Policy)> {
    let spec = resource.field.get("spec");
    let action = spec
        .as_ref()
        .and_then(|spec| spec.text_at("action"))
        .unwrap_or("ALLOW");
    if action == "CUSTOM" {
        let spec = spec?;
        spec.lost("CUSTOM asks an external authorizer, which a filter cannot: leave this policy with Istio");
        return None;
    }
    let mut selector = None;
    let mut entries = Vec::new();
    if let Some(spec) = &spec {
        for (key, field) in spec.entries() {
            if ["selector", "targetRef", "targetRefs"].contains(&key) {
                selector = Some((key.to_owned(), field.take().clone()));
            } else {
                entries.push((key.to_owned(), field.take().clone()));
            }
        }
    }
    let mut metadata = vec![
        ("name".to_owned(), Node::String(resource.name.clone())),
        (
            "namespace".to_owned(),
            Node::String(resource.namespace.clone()),
        ),
    ];
    let dry_run = resource
        .field
        .at(&["metadata", "annotations", "istio.io/dry-run"])
        .map(|field| field.take().clone());
    if let Some(dry_run) = dry_run {
        metadata.push((
            "annotations".to_owned(),
            object([("istio.io/dry-run", dry_run)]),
        ));
    }
    let node = object([
        ("metadata", Node::Object(metadata)),
        ("spec", Node::Object(entries)),
    ]);
    let selector = canonical(selector);
    let scope = Scope {
        name: plugin_name("authz-policy", &selector),
        namespace: resource.namespace.clone(),
        selector,
        port: None,
    };
    let policy = Policy {
        allows: action == "ALLOW",
        needs_identity: mentions(
            &node,
            &[
                "principals",
                "notPrincipals",
                "namespaces",
                "notNamespaces",
                "serviceAccounts",
                "notServiceAccounts",
                "trustDomains",
                "notTrustDomains",
                "source.principal",
                "source.namespace",
                "source.serviceAccount",
                "source.trustDomain",
            ],
        ),
        needs_peer_address: mentions(&node, &["ipBlocks", "notIpBlocks", "source.ip"]),
        needs_port: mentions(&node, &["ports", "notPorts", "destination.port"]),
        node,
    };
    Some((scope, policy))
}

/// Whether a key, or the value of a `key`, is one of the words.
fn mentions(node: &Node, words: &[&str]) -> bool {
    match node {
        Node::Object(entries) => entries.iter().any(|(key, child)| {
            let names = |text: &str| words.contains(&text);
            names(key)
                || (key == "key" && matches!(child, Node::String(text) if names(text)))
                || mentions(child, words)
        }),
        Node::List(items) => items.iter().any(|item| mentions(item, words)),
        _ => false,
    }
}

/// In Istio all ALLOW policies of a workload add up; plugins decide each alone. A
/// listener of Envoy has all policies that are known to act on its workload.
fn report_overlaps(allowing: &[(Scope, Field<'_>)], target: Target) {
    for (index, (scope, field)) in allowing.iter().enumerate() {
        let other = allowing.iter().take(index).find(|(other, _)| {
            let same = other.namespace == scope.namespace && other.selector == scope.selector;
            let merged = target == Target::Envoy && (other.covers(scope) || scope.covers(other));
            !same && !merged && other.may_meet(scope)
        });
        if let Some((other, _)) = other {
            field.ledger().lost(
                &field.spot(),
                format!(
                    "workloads may be selected by this ALLOW policy and by those of {}/{}: Istio allows what either allows, two plugins allow what both allow; give them one selector, or leave one with Istio",
                    other.namespace, other.name
                ),
            );
        }
    }
}
