//! Which proxies a resource acts on, and which of them a plugin has to be told of.
//!
//! Istio's policies act on sidecars and gateways alike. Its plugins do not: one for
//! the inbound side (`SERVER`) is never loaded by a gateway, whose listeners are all
//! outbound (`CLIENT`). So a policy that acts on a gateway needs a plugin of its own
//! there, and where the files do not tell whether it does, that is said.

use meshpack_sdk::config::Node;

use super::Scope;
use crate::json::{self, object};

/// Pods that are a gateway, by their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GatewayPods {
    /// Where they run; `None` if any namespace may have them.
    pub(crate) namespace: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
}

/// A Gateway of Istio's own, and the labels of its pods, in any namespace.
#[derive(Debug)]
pub(crate) struct NamedGateway {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
}

/// What is known about a mesh beside its resources.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Istio's root namespace, whose policies and plugins concern every namespace.
    pub(crate) root: String,
    /// Gateways, named on the command line or by a resource.
    pub(crate) gateways: Vec<GatewayPods>,
    /// Whether there are no others.
    pub(crate) complete: bool,
    /// Istio's Gateways, by name.
    pub(crate) named: Vec<NamedGateway>,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            root: "istio-system".to_owned(),
            gateways: Vec::new(),
            complete: false,
            named: Vec::new(),
        }
    }
}

/// Where a policy acts.
#[derive(Debug, PartialEq)]
pub(crate) struct Places {
    pub(crate) sidecars: bool,
    /// Gateways, each a scope for a plugin.
    pub(crate) gateways: Vec<Scope>,
    /// What else it acts on, as far as can be told, that no plugin here reaches.
    pub(crate) unreached: Option<String>,
}

impl Layout {
    /// Learns of gateways, unless it knows them already.
    pub(crate) fn add_gateway(&mut self, pods: GatewayPods) {
        let known = |other: &GatewayPods| {
            other.labels == pods.labels
                && (other.namespace == pods.namespace || pods.namespace.is_none())
        };
        if !self.gateways.iter().any(known) {
            // One that may be anywhere is now known to be here.
            self.gateways
                .retain(|other| other.labels != pods.labels || other.namespace.is_some());
            self.gateways.push(pods);
        }
    }

    /// Learns of the gateways that policies themselves name.
    pub(crate) fn learn_from<'s>(&mut self, scopes: impl Iterator<Item = &'s Scope>) {
        for scope in scopes {
            let named = scope.gateway_targets();
            let by_target = named.is_some();
            let labels = named.unwrap_or_else(|| {
                let labels = scope.labels();
                if says_gateway(&labels) {
                    vec![labels]
                } else {
                    Vec::new()
                }
            });
            let anywhere = scope.namespace == self.root && !by_target;
            for labels in labels {
                self.add_gateway(GatewayPods {
                    namespace: (!anywhere).then(|| scope.namespace.clone()),
                    labels,
                });
            }
        }
    }

    /// Where a policy of this scope acts, by Istio's rules.
    pub(crate) fn places(&self, scope: &Scope) -> Places {
        match &scope.selector {
            Some((key, targets)) if key != "selector" => places_of_targets(scope, targets),
            _ => self.places_of_labels(scope),
        }
    }

    fn places_of_labels(&self, scope: &Scope) -> Places {
        let labels = scope.labels();
        let is_gateways = says_gateway(&labels)
            || self
                .gateways
                .iter()
                .any(|pods| is_within(&pods.labels, &labels));
        let mut gateways: Vec<Scope> = Vec::new();
        for pods in &self.gateways {
            let Some(namespace) = self.meeting_place(scope, pods) else {
                continue;
            };
            // The labels that pods have which both select.
            let both = if is_within(&labels, &pods.labels) || labels.is_empty() {
                pods.labels.clone()
            } else if is_within(&pods.labels, &labels) {
                labels.clone()
            } else {
                continue;
            };
            let place = Scope::by_labels(namespace, &both);
            if !gateways.contains(&place) {
                gateways.push(place);
            }
        }
        if is_gateways && gateways.is_empty() {
            gateways.push(Scope::by_labels(&scope.namespace, &labels));
        }
        let of_all = labels.is_empty() && !self.complete;
        let whose = if scope.namespace == self.root {
            "every namespace".to_owned()
        } else {
            format!("the namespace {}", scope.namespace)
        };
        Places {
            sidecars: !is_gateways,
            gateways,
            unreached: of_all.then(|| {
                format!("acts on gateways in {whose} too, which load no plugin for sidecars; the files do not say where gateways run: name them with --gateway NAMESPACE/KEY=VALUE, or say --gateway none if there are no more than the Gateway resources here")
            }),
        }
    }

    /// The namespace for a plugin that reaches what both select; none if nothing can be both.
    fn meeting_place<'s>(&self, scope: &'s Scope, pods: &'s GatewayPods) -> Option<&'s str> {
        match &pods.namespace {
            Some(namespace) if scope.namespace == self.root => Some(namespace),
            Some(namespace) => (*namespace == scope.namespace).then_some(namespace.as_str()),
            None => Some(&scope.namespace),
        }
    }

    /// Whether whatever `other` selects is selected by `one`, too.
    pub(crate) fn covers(&self, one: &Scope, other: &Scope) -> bool {
        let ported = one.port.is_none() || one.port == other.port;
        ported && self.covers_pods(one, other)
    }

    /// The same, whatever the port.
    pub(crate) fn covers_pods(&self, one: &Scope, other: &Scope) -> bool {
        let near = one.namespace == other.namespace || one.namespace == self.root;
        let labels = other.labels();
        near && one.labels().iter().all(|label| labels.contains(label))
    }

    /// Whether there may be workloads, and ports of theirs, that both select.
    pub(crate) fn may_meet(&self, one: &Scope, other: &Scope) -> bool {
        let near = one.namespace == other.namespace
            || one.namespace == self.root
            || other.namespace == self.root;
        let ported = one.port.is_none() || other.port.is_none() || one.port == other.port;
        let labels = other.labels();
        let apart = one.labels().iter().any(|(key, value)| {
            labels
                .iter()
                .any(|(name, text)| name == key && text != value)
        });
        near && ported && !apart
    }
}

/// `targetRefs` name gateways, or what waypoints serve.
fn places_of_targets(scope: &Scope, targets: &Node) -> Places {
    let items = match targets {
        Node::List(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let other = items
        .iter()
        .filter_map(|target| text_of(target, "kind"))
        .find(|kind| *kind != "Gateway");
    let gateways = scope.gateway_targets().unwrap_or_default();
    Places {
        sidecars: false,
        gateways: gateways
            .iter()
            .map(|labels| Scope::by_labels(&scope.namespace, labels))
            .collect(),
        unreached: other.map(|kind| {
            format!("a policy for a {kind} acts at a waypoint, where no plugin was tried: leave it with Istio")
        }),
    }
}

fn text_of<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    let Node::Object(entries) = node else {
        return None;
    };
    match entries.iter().find(|(name, _)| name == key)? {
        (_, Node::String(text)) => Some(text),
        _ => None,
    }
}

/// The label by which the pods of a Gateway of the Gateway API are known.
pub(crate) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// Labels that only gateways carry: those of Istio's charts, and those that a Gateway
/// of the Gateway API gives its pods.
fn says_gateway(labels: &[(String, String)]) -> bool {
    labels.iter().any(|(key, value)| match key.as_str() {
        // Istio's charts give it to gateways, and to the control plane.
        "istio" => value != "pilot" && value != "istiod",
        "app" => {
            let of_chart = value.strip_prefix("istio-").unwrap_or_default();
            of_chart.contains("gateway") || of_chart == "ingress" || of_chart == "egress"
        }
        GATEWAY_NAME | "gateway.istio.io/managed" => true,
        _ => false,
    })
}

/// Whether all of `some` are among `more`; no labels are among none.
fn is_within(some: &[(String, String)], more: &[(String, String)]) -> bool {
    !more.is_empty() && !some.is_empty() && some.iter().all(|label| more.contains(label))
}

/// `{matchLabels: …}`
pub(crate) fn selector(labels: &[(String, String)]) -> Node {
    let text = |(key, value): &(String, String)| (key.clone(), Node::String(value.clone()));
    object([("matchLabels", object(labels.iter().map(text)))])
}

impl Scope {
    /// The labels that it selects by, sorted; none for a whole namespace.
    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        let Some((_, Node::Object(selector))) = &self.selector else {
            return Vec::new();
        };
        let Some((_, Node::Object(entries))) =
            selector.iter().find(|(key, _)| key == "matchLabels")
        else {
            return Vec::new();
        };
        let mut labels: Vec<(String, String)> = entries
            .iter()
            .filter_map(|(key, value)| match value {
                Node::String(value) => Some((key.clone(), value.clone())),
                _ => None,
            })
            .collect();
        labels.sort();
        labels
    }

    /// For a person: `shop (app=cart)`.
    pub(crate) fn described(&self) -> String {
        let labels: Vec<String> = self
            .labels()
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        match (&self.selector, labels.is_empty()) {
            (None, _) => format!("{} (all workloads)", self.namespace),
            (Some(_), false) => format!("{} ({})", self.namespace, labels.join(",")),
            (Some((key, _)), true) => format!("{} (by {key})", self.namespace),
        }
    }

    /// Workloads of a namespace with these labels; all of them if there are none.
    pub(crate) fn by_labels(namespace: &str, labels: &[(String, String)]) -> Self {
        Self {
            name: String::new(),
            namespace: namespace.to_owned(),
            selector: (!labels.is_empty()).then(|| ("selector".to_owned(), selector(labels))),
            port: None,
        }
    }

    /// The labels of each Gateway that `targetRefs` name.
    fn gateway_targets(&self) -> Option<Vec<Vec<(String, String)>>> {
        let (key, targets) = self.selector.as_ref()?;
        if key == "selector" {
            return None;
        }
        let items = match targets {
            Node::List(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let gateways = items
            .iter()
            .filter(|target| text_of(target, "kind") == Some("Gateway"));
        let labels = gateways.filter_map(|target| {
            let name = text_of(target, "name")?;
            Some(vec![(GATEWAY_NAME.to_owned(), name.to_owned())])
        });
        Some(labels.collect())
    }
}

/// The same selector in one spelling: labels in order, one target as a list of one.
pub(crate) fn canonical(selector: Option<(String, Node)>) -> Option<(String, Node)> {
    let (key, mut node) = selector?;
    if key == "targetRef" {
        return Some(("targetRefs".to_owned(), Node::List(vec![node])));
    }
    if let Node::Object(entries) = &mut node {
        // A selector without labels selects everything.
        entries.retain(|(_, child)| !matches!(child, Node::Object(labels) if labels.is_empty()));
        if entries.is_empty() {
            return None;
        }
        for (_, child) in entries {
            if let Node::Object(labels) = child {
                labels.sort_by(|one, other| one.0.cmp(&other.0));
            }
        }
    }
    Some((key, node))
}

/// A name of a plugin that no other selector gets: a second plugin of one name would
/// replace the first.
pub(crate) fn plugin_name(filter: &str, selector: &Option<(String, Node)>) -> String {
    let Some((key, node)) = selector else {
        return filter.to_owned();
    };
    let scope = Scope {
        name: String::new(),
        namespace: String::new(),
        selector: selector.clone(),
        port: None,
    };
    if let [(label, value)] = scope.labels().as_slice()
        && key == "selector"
        && label == "app"
        && value.len() <= 40
        && value
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && value.ends_with(|c: char| c.is_ascii_alphanumeric())
    {
        return format!("{filter}-{value}");
    }
    let mut values = Vec::new();
    leaves(node, &mut values);
    let mut name = filter.to_owned();
    for value in values {
        let plain = value
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
        name.push('-');
        name.extend(plain.map(|c| c.to_ascii_lowercase()));
    }
    name.truncate(54);
    let digest = ring::digest::digest(
        &ring::digest::SHA256,
        format!("{key} {}", json::text(node)).as_bytes(),
    );
    let hex: String = digest
        .as_ref()
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}-{hex}", name.trim_end_matches('-'))
}

fn leaves<'n>(node: &'n Node, found: &mut Vec<&'n str>) {
    match node {
        Node::String(text) => found.push(text),
        Node::List(items) => items.iter().for_each(|item| leaves(item, found)),
        Node::Object(entries) => entries.iter().for_each(|(_, child)| leaves(child, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
