//! Cilium: the HTTP rules of CiliumNetworkPolicy.
//!
//! Which connections are let in stays with Cilium; the rules about requests
//! inside them go to the filter.

mod http;
mod peers;

use std::collections::BTreeMap;

use meshpack_sdk::config::Node;

use super::permission::Clause;
use super::{Context, Resource};
use crate::json::object;
use crate::translate::ledger::{Field, Spot};
use crate::translate::model::policy::{Acting, Guard, Policy, Rule};
use crate::translate::model::{Mesh, Scope};
use peers::Peers;

pub(super) fn read(resources: &[&Resource<'_>], cx: &Context<'_>, mesh: &mut Mesh) {
    let mut guards = Vec::new();
    for resource in resources {
        report_clusterwide(resource, &mesh.layout.root);
        let one = resource.field.get("spec").into_iter();
        let specs = one.chain(resource.field.list("specs")).enumerate();
        for (index, spec) in specs {
            guards.extend(read_spec(resource, index, &spec, cx));
        }
    }
    mesh.guards.extend(guards);
}

/// A plugin is in one namespace; only Istio's root namespace stands for all.
fn report_clusterwide(resource: &Resource<'_>, root: &str) {
    if resource.kind == "CiliumClusterwideNetworkPolicy" && resource.namespace != root {
        resource.field.ledger().lost(
            &resource.field.spot(),
            format!(
                "is for all namespaces: the plugin selects workloads of {} alone, unless --namespace {root} puts it into Istio's root namespace",
                resource.namespace
            ),
        );
    }
}

/// Labels that Cilium derives, and that no pod carries.
const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
const DERIVED: [&str; 2] = ["io.kubernetes.", "io.cilium."];

/// A grant on a port: who may send which requests.
#[derive(Clone)]
struct Grant {
    peers: Peers,
    /// None for all requests.
    requests: Option<Vec<Clause>>,
    spot: Spot,
}

fn read_spec(
    resource: &Resource<'_>,
    index: usize,
    spec: &Field<'_>,
    cx: &Context<'_>,
) -> Vec<Guard> {
    for key in ["description", "labels"] {
        spec.skip(key);
    }
    read_default_deny(spec);
    spec.lose(
        "egress",
        "is about calls that leave the workload: policies guard those that reach it",
    );
    for key in ["egressDeny", "ingressDeny"] {
        spec.lose(key, "is about connections: leave it with Cilium");
    }
    spec.lose("nodeSelector", "is about nodes, not workloads");
    let selector = spec
        .get("endpointSelector")
        .and_then(|selector| read_selector(&selector, resource));
    // Grants for the requests to every port.
    let mut everywhere = Vec::new();
    let mut ports: BTreeMap<u16, Vec<Grant>> = BTreeMap::new();
    let (mut guarded, mut unguarded) = (Vec::new(), Vec::new());
    for ingress in spec.list("ingress") {
        for key in ["authentication", "icmps"] {
            ingress.lose(key, "is about connections: leave it with Cilium");
        }
        let Some(peers) = Peers::read(&ingress, &resource.namespace, cx.options) else {
            continue;
        };
        let to_ports = ingress.list("toPorts");
        // A rule that names neither clients nor ports lets nobody in.
        let names_clients =
            peers != Peers::Known(Vec::new()) || ingress.get("fromEntities").is_some();
        if to_ports.is_empty() && names_clients && ingress.get("icmps").is_none() {
            everywhere.push(Grant {
                peers: peers.clone(),
                requests: None,
                spot: ingress.spot(),
            });
        }
        for to in to_ports {
            let requests = to.get("rules").and_then(|rules| http::read(&rules));
            to.lose("listener", "names a listener of Cilium's own Envoy");
            for key in ["terminatingTLS", "originatingTLS", "serverNames"] {
                to.lose(key, "is about connections: leave it with Cilium");
            }
            if to.list("ports").is_empty() {
                to.lost("names no port, which stands for all of them: one policy guards one port");
            }
            for field in to.list("ports") {
                let Some(port) = read_port(&field) else {
                    continue;
                };
                if requests.is_some() {
                    guarded.push(port);
                }
                ports.entry(port).or_default().push(Grant {
                    peers: peers.clone(),
                    requests: requests.clone(),
                    spot: ingress.spot(),
                });
                unguarded.push((port, field.spot()));
            }
        }
    }
    if guarded.is_empty() {
        spec.note("has no HTTP rules: all of it stays with Cilium");
    }
    // Ports without HTTP rules have no requests to judge.
    ports.retain(|port, _| guarded.contains(port));
    unguarded.retain(|(port, _)| !guarded.contains(port));
    for (port, spot) in &unguarded {
        cx.ledger.note(
            spot,
            format!("the port {port} has no HTTP rules: who may connect to it stays with Cilium"),
        );
    }
    ports
        .into_iter()
        .map(|(port, mut grants)| {
            grants.extend(everywhere.iter().cloned());
            let mut guard = guard(resource, port, &grants, &selector, cx);
            if index > 0 {
                guard.scope.name.push_str(&format!("-{}", index + 1));
            }
            guard
        })
        .collect()
}

/// What becomes of connections that no rule is about.
fn read_default_deny(spec: &Field<'_>) {
    let Some(default_deny) = spec.get("enableDefaultDeny") else {
        return;
    };
    if let Some(ingress) = default_deny.get("ingress")
        && ingress.boolean() == Some(false)
    {
        ingress.lost("lets in the connections that no rule is about; here what no rule of a guarded port allows is denied");
    }
    if let Some(egress) = default_deny.get("egress")
        && egress.boolean() == Some(true)
    {
        egress.lost("is about calls that leave the workload: policies guard those that reach it");
    }
}

fn read_port(field: &Field<'_>) -> Option<u16> {
    if let Some(protocol) = field.get("protocol")
        && !matches!(protocol.text(), Some("TCP" | "ANY"))
    {
        field.lost(
            "is not TCP, so carries none of the requests that a filter sees: leave it with Cilium",
        );
        return None;
    }
    field.lose(
        "endPort",
        "a range of ports cannot be guarded by one policy",
    );
    let Some(port) = field.get("port") else {
        field.lost("names no port, which stands for all of them: one policy guards one port");
        return None;
    };
    let number = match port.raw_text() {
        Ok(text) => text.parse().ok().filter(|number| *number > 0),
        Err(()) => port.port(),
    };
    if number.is_none() {
        port.lost(
            "is not the number of one port (names are not known here), so nothing is guarded there",
        );
    }
    number
}

/// Labels without the prefixes that Cilium puts before them.
fn read_selector(field: &Field<'_>, resource: &Resource<'_>) -> Option<Node> {
    field.lose("matchExpressions", "Istio's selectors have labels alone");
    let labels = field.get("matchLabels")?.entries();
    let labels = labels.iter().filter_map(|(key, value)| {
        let key = key
            .strip_prefix("k8s:")
            .or(key.strip_prefix("any:"))
            .unwrap_or(key);
        if DERIVED.iter().any(|prefix| key.starts_with(prefix)) {
            if key != POD_NAMESPACE || value.text() != Some(&resource.namespace) {
                value.lost("is a label that Cilium derives and no pod carries: workloads are selected without it");
            }
            return None;
        }
        Some((key.to_owned(), Node::String(value.text()?.to_owned())))
    });
    Some(object([("matchLabels", object(labels))]))
}

fn guard(
    resource: &Resource<'_>,
    port: u16,
    grants: &[Grant],
    selector: &Option<Node>,
    cx: &Context<'_>,
) -> Guard {
    let left_to_cilium = peers::all_the_same(grants.iter().map(|grant| &grant.peers));
    let mut rules = Vec::new();
    for grant in grants {
        let from = match (&grant.peers, left_to_cilium) {
            (Peers::Known(sources), _) => sources.clone(),
            (Peers::Unknown(what), true) => {
                cx.ledger.note(
                    &grant.spot,
                    format!("{what}: certificates do not name them, so who may connect stays with Cilium; keep this policy there, without its HTTP rules"),
                );
                Vec::new()
            }
            (Peers::Unknown(what), false) => {
                cx.ledger.lost(
                    &grant.spot,
                    format!("{what}: certificates do not name them, and other clients may send other requests, so these are denied; say who they are with --principal"),
                );
                continue;
            }
        };
        match &grant.requests {
            None => rules.push(Rule {
                from,
                ..Rule::default()
            }),
            Some(clauses) => rules.extend(clauses.iter().map(|clause| clause.rule(from.clone()))),
        }
    }
    let policy = Policy {
        name: resource.name.clone(),
        namespace: resource.namespace.clone(),
        rules,
    };
    Guard {
        scope: Scope {
            name: format!("authz-policy-{}-{port}", resource.name),
            namespace: resource.namespace.clone(),
            selector: selector
                .clone()
                .map(|selector| ("selector".to_owned(), selector)),
            port: Some(port),
        },
        policies: vec![Acting::from(&policy)],
        except: Vec::new(),
        at_gateways: false,
        spot: Some(resource.field.spot()),
    }
}
