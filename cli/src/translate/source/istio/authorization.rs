//! AuthorizationPolicy: taken as written, grouped by the workloads it selects.

use meshpack_sdk::config::Node;

use super::super::{Context, Resource};
use crate::json::object;
use crate::translate::model::Scope;
use crate::translate::model::attachment::{Layout, canonical, plugin_name};
use crate::translate::model::policy::{Acting, Guard};
use crate::translate::options::Target;

pub(super) fn read(resources: &[&Resource<'_>], cx: &Context<'_>) -> Vec<Guard> {
    let mut guards: Vec<Guard> = Vec::new();
    for resource in resources {
        let Some((scope, policy)) = read_policy(resource) else {
            continue;
        };
        let same = |guard: &&mut Guard| {
            guard.scope.namespace == scope.namespace && guard.scope.selector == scope.selector
        };
        let guard = match guards.iter_mut().find(same) {
            Some(guard) => guard,
            None => {
                guards.push(Guard {
                    scope: scope.clone(),
                    policies: Vec::new(),
                    except: Vec::new(),
                    at_gateways: true,
                    spot: Some(resource.field.spot()),
                });
                let Some(last) = guards.last_mut() else {
                    continue;
                };
                last
            }
        };
        report_trust_domain(resource, &policy.acting.node, cx);
        if cx.options.to == Target::Wasmplugin {
            report_connections(resource, &policy.acting.node, cx);
        }
        let plain = !scope.labels().is_empty() && cx.options.gateway.is_empty();
        if plain && cx.options.to == Target::Wasmplugin && !is_named_gateway(&scope) {
            resource.field.note("is taken to select sidecars; if it selects a gateway that no Gateway resource here names, say so with --gateway NAMESPACE/KEY=VALUE (or --gateway none): gateways load other plugins");
        }
        if policy.needs_port && cx.options.to == Target::Envoy {
            resource.field.lost("asks for the port that a workload listens on, which the Envoy configuration's listeners do not have");
        }
        guard.policies.push(policy.acting);
    }
    guards
}

struct Policy {
    acting: Acting,
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
                let others = match key {
                    "selector" => field.entries(),
                    _ => Vec::new(),
                };
                for (key, entry) in &others {
                    match *key {
                        "matchLabels" => entry.entries().iter().for_each(|(_, label)| {
                            label.text();
                        }),
                        _ => entry.lost("Istio's selectors have matchLabels alone"),
                    }
                }
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
    // As Go's ParseBool reads it. Tried out dry, a policy allows and denies nothing.
    let is_dry = matches!(
        &dry_run,
        Some(Node::String(text)) if ["1", "t", "T", "true", "TRUE", "True"].contains(&text.as_str())
    );
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
    let needs_port = mentions(&node, &["ports", "notPorts", "destination.port"]);
    let acting = Acting {
        spot: Some(resource.field.spot()),
        allows: action == "ALLOW" && !is_dry,
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
        node,
    };
    Some((scope, Policy { acting, needs_port }))
}

/// Whether the labels say by themselves that these are gateways.
fn is_named_gateway(scope: &Scope) -> bool {
    let mut layout = Layout::default();
    layout.learn_from(std::iter::once(scope));
    !layout.gateways.is_empty()
}

/// Istio takes `cluster.local` in a principal for the mesh's own trust domain.
fn report_trust_domain(resource: &Resource<'_>, policy: &Node, cx: &Context<'_>) {
    let mut asked = false;
    each_text(
        policy,
        &["principals", "notPrincipals", "source.principal"],
        &mut |text| {
            let parts: Vec<&str> = text.split('/').collect();
            asked |= parts.len() == 5 && parts.first() == Some(&"cluster.local");
        },
    );
    if asked && cx.options.trust_domain.is_none() {
        resource.field.ledger().lost(
            &resource.field.spot(),
            "names principals of cluster.local, which stands for the mesh's trust domain in Istio, and the files do not say what that is: say --trust-domain cluster.local, or what your mesh has (meshConfig.trustDomain)",
        );
    }
}

/// Fields that only HTTP requests have.
const OF_REQUESTS: [&str; 8] = [
    "hosts",
    "notHosts",
    "methods",
    "notMethods",
    "paths",
    "notPaths",
    "requestPrincipals",
    "notRequestPrincipals",
];

/// A filter sees requests alone; Istio's policies hold for every connection.
fn report_connections(resource: &Resource<'_>, policy: &Node, cx: &Context<'_>) {
    let rules = match find(find(Some(policy), "spec"), "rules") {
        Some(Node::List(rules)) => rules.as_slice(),
        _ => &[],
    };
    for rule in rules {
        let mut of_requests = mentions(rule, &OF_REQUESTS);
        each_key(rule, &mut |key| of_requests |= key.starts_with("request."));
        let mut ports: Vec<&str> = Vec::new();
        each_text(
            rule,
            &["ports", "notPorts", "destination.port"],
            &mut |port| ports.push(port),
        );
        if of_requests || ports.is_empty() {
            continue;
        }
        ports.retain(|port| !cx.options.is_http(port));
        if let [port, ..] = ports.as_slice() {
            resource.field.ledger().lost(
                &resource.field.spot(),
                format!("is about the connections to port {port}, and a filter sees HTTP requests alone: if that port speaks HTTP say --http-port {port}, else leave this policy with Istio"),
            );
            return;
        }
    }
    if cx.options.http_port.is_empty() {
        resource.field.note("holds for connections of every kind in Istio, and for HTTP requests here: where its workloads have ports that do not speak HTTP, leave it with Istio beside the plugin (--http-port all says that there are none)");
    }
}

fn find<'n>(node: Option<&'n Node>, key: &str) -> Option<&'n Node> {
    match node? {
        Node::Object(entries) => entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, node)| node),
        _ => None,
    }
}

/// All texts below lists of these names, and below `values` of conditions on these keys.
fn each_text<'n>(node: &'n Node, words: &[&str], see: &mut dyn FnMut(&'n str)) {
    match node {
        Node::Object(entries) => {
            let about = matches!(find(Some(node), "key"), Some(Node::String(key)) if words.contains(&key.as_str()));
            for (key, child) in entries {
                match child {
                    Node::List(items)
                        if words.contains(&key.as_str())
                            || (about && ["values", "notValues"].contains(&key.as_str())) =>
                    {
                        items.iter().for_each(|item| {
                            if let Node::String(text) = item {
                                see(text);
                            }
                        });
                    }
                    other => each_text(other, words, see),
                }
            }
        }
        Node::List(items) => items.iter().for_each(|item| each_text(item, words, see)),
        _ => {}
    }
}

/// The keys of all conditions.
fn each_key(node: &Node, see: &mut dyn FnMut(&str)) {
    match node {
        Node::Object(entries) => {
            if let Some(Node::String(key)) = find(Some(node), "key") {
                see(key);
            }
            entries.iter().for_each(|(_, child)| each_key(child, see));
        }
        Node::List(items) => items.iter().for_each(|item| each_key(item, see)),
        _ => {}
    }
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
