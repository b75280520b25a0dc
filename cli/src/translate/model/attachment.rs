//! Which proxies a resource acts on, and which of them a plugin has to be told of.
//!
//! Istio's policies act on sidecars and gateways alike. Its plugins do not: one for
//! the inbound side (`SERVER`) is never loaded by a gateway, whose listeners are all
//! outbound (`CLIENT`). So a policy that acts on a gateway needs a plugin of its own
//! there, and where the files do not tell whether it does, that is said.

use meshpack_sdk::config::Node;

use super::{ISTIO_ROOT, Scope};
use crate::json::{self, object};

/// Pods that are a gateway, by their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GatewayPods {
    /// Where they run; `None` if any namespace may have them.
    pub(crate) namespace: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
}

/// What is known about the gateways of a mesh.
#[derive(Debug, Default)]
pub(crate) struct Gateways {
    /// Named on the command line or by a Gateway resource.
    pub(crate) pods: Vec<GatewayPods>,
    /// Whether there are no others.
    pub(crate) complete: bool,
}

/// Where a policy acts.
#[derive(Debug, PartialEq)]
pub(crate) struct Places {
    pub(crate) sidecars: bool,
    /// The selectors of the gateways, as [`Scope::selector`] has them.
    pub(crate) gateways: Vec<(String, Node)>,
    /// What else it acts on, as far as can be told, that no plugin here reaches.
    pub(crate) unreached: Option<String>,
}

impl Gateways {
    /// Where a policy of this scope acts, by Istio's rules.
    pub(crate) fn places(&self, scope: &Scope) -> Places {
        match &scope.selector {
            Some((key, targets)) if key != "selector" => places_of_targets(key, targets),
            _ => self.places_of_labels(scope),
        }
    }

    fn places_of_labels(&self, scope: &Scope) -> Places {
        let labels = scope.labels();
        if says_gateway(&labels)
            || self
                .pods
                .iter()
                .any(|pods| is_within(&pods.labels, &labels))
        {
            return Places {
                sidecars: false,
                gateways: scope.selector.clone().into_iter().collect(),
                unreached: None,
            };
        }
        let reached = self.pods.iter().filter(|pods| {
            let near = scope.namespace == ISTIO_ROOT
                || pods
                    .namespace
                    .as_ref()
                    .is_none_or(|at| *at == scope.namespace);
            near && is_within(&labels, &pods.labels)
        });
        let mut gateways: Vec<(String, Node)> = Vec::new();
        for pods in reached {
            let selector = ("selector".to_owned(), selector(&pods.labels));
            if !gateways.contains(&selector) {
                gateways.push(selector);
            }
        }
        let of_all = labels.is_empty() && !self.complete;
        let whose = if scope.namespace == ISTIO_ROOT {
            "every namespace".to_owned()
        } else {
            format!("the namespace {}", scope.namespace)
        };
        Places {
            sidecars: true,
            gateways,
            unreached: of_all.then(|| {
                format!("acts on gateways in {whose} too, which load no plugin for sidecars; the files do not say where gateways run: name them with --gateway NAMESPACE/KEY=VALUE, or say --gateway none if there are no more than the Gateway resources here")
            }),
        }
    }
}

/// `targetRefs` name gateways, or what waypoints serve.
fn places_of_targets(key: &str, targets: &Node) -> Places {
    let kinds: Vec<&str> = match targets {
        Node::List(items) => items.iter().filter_map(kind_of_target).collect(),
        one => kind_of_target(one).into_iter().collect(),
    };
    let others = kinds.iter().find(|kind| **kind != "Gateway");
    Places {
        sidecars: false,
        gateways: vec![(key.to_owned(), targets.clone())],
        unreached: others.map(|kind| {
            format!("a policy for a {kind} acts at a waypoint, where no plugin was tried: leave it with Istio")
        }),
    }
}

fn kind_of_target(target: &Node) -> Option<&str> {
    let Node::Object(entries) = target else {
        return None;
    };
    match entries.iter().find(|(key, _)| key == "kind")? {
        (_, Node::String(kind)) => Some(kind),
        _ => None,
    }
}

/// Labels that only gateways carry: those of Istio's charts, and those that a Gateway
/// of the Gateway API gives its pods.
fn says_gateway(labels: &[(String, String)]) -> bool {
    labels.iter().any(|(key, value)| match key.as_str() {
        "istio" => value.ends_with("gateway"),
        "gateway.networking.k8s.io/gateway-name" | "gateway.istio.io/managed" => true,
        _ => false,
    })
}

/// Whether all of `some` are among `more`; no labels are among none.
fn is_within(some: &[(String, String)], more: &[(String, String)]) -> bool {
    !more.is_empty() && some.iter().all(|label| more.contains(label))
}

fn selector(labels: &[(String, String)]) -> Node {
    let text = |(key, value): &(String, String)| (key.clone(), Node::String(value.clone()));
    object([("matchLabels", object(labels.iter().map(text)))])
}

impl Scope {
    /// The labels that it selects by, sorted; none for a whole namespace.
    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        let mut labels: Vec<(String, String)> = super::labels(&self.selector)
            .into_iter()
            .flatten()
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

    /// Whether whatever `other` selects is selected by this, too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let near = self.namespace == other.namespace || self.namespace == ISTIO_ROOT;
        let of_targets = |scope: &Self| {
            scope
                .selector
                .as_ref()
                .is_some_and(|(key, _)| key != "selector")
        };
        let selected = if of_targets(self) || of_targets(other) {
            self.selector == other.selector
        } else {
            let labels = other.labels();
            self.labels().iter().all(|label| labels.contains(label))
        };
        let ported = self.port.is_none() || self.port == other.port;
        near && selected && ported
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
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn scope(namespace: &str, labels: &[(&str, &str)]) -> Scope {
        let labels: Vec<(String, String)> = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Scope {
            name: String::new(),
            namespace: namespace.to_owned(),
            selector: (!labels.is_empty()).then(|| ("selector".to_owned(), selector(&labels))),
            port: None,
        }
    }

    /// Namespace and labels.
    type Pods<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)]);

    fn gateways(complete: bool, pods: &[Pods<'_>]) -> Gateways {
        let pods = pods.iter().map(|(namespace, labels)| GatewayPods {
            namespace: namespace.map(str::to_owned),
            labels: scope("", labels).labels(),
        });
        Gateways {
            pods: pods.collect(),
            complete,
        }
    }

    #[test]
    fn a_policy_acts_where_istio_has_it_act() {
        let none = gateways(true, &[]);
        let edge: &[(&str, &str)] = &[("app", "edge"), ("istio", "edge")];
        let known = gateways(true, &[(Some("ingress"), edge)]);
        // What is selected; whether sidecars are; how many gateways.
        for (gateways, scope, sidecars, count) in [
            (&none, scope("shop", &[("app", "orders")]), true, 0),
            (&none, scope("shop", &[]), true, 0),
            (
                &none,
                scope("istio-system", &[("istio", "ingressgateway")]),
                false,
                1,
            ),
            (&none, scope("x", &[("istio", "egressgateway")]), false, 1),
            (
                &none,
                scope("x", &[("gateway.networking.k8s.io/gateway-name", "web")]),
                false,
                1,
            ),
            (
                &known,
                scope("ingress", &[("istio", "edge"), ("app", "edge")]),
                false,
                1,
            ),
            (&known, scope("ingress", &[("app", "edge")]), true, 1),
            (&known, scope("ingress", &[("app", "orders")]), true, 0),
            (&known, scope("ingress", &[]), true, 1),
            (&known, scope("shop", &[]), true, 0),
            (&known, scope("istio-system", &[]), true, 1),
        ] {
            let places = gateways.places(&scope);
            assert_eq!(
                (places.sidecars, places.gateways.len()),
                (sidecars, count),
                "{scope:?}"
            );
            assert_eq!(places.unreached, None, "{scope:?}");
        }
    }

    #[test]
    fn where_the_files_do_not_tell_it_is_said() {
        let unknown = gateways(false, &[(None, &[("istio", "ingressgateway")])]);
        for namespace in ["shop", "istio-system"] {
            let places = unknown.places(&scope(namespace, &[]));
            assert_eq!(places.gateways.len(), 1);
            assert!(places.unreached.unwrap().contains("--gateway"));
        }
        assert_eq!(
            unknown.places(&scope("shop", &[("app", "a")])).unreached,
            None
        );
    }

    #[test]
    fn targets_are_gateways_or_not_reached() {
        let target = |kind: &str| {
            let entries = [("kind", Node::String(kind.to_owned()))];
            canonical(Some(("targetRef".to_owned(), object(entries))))
        };
        for (kind, reached) in [
            ("Gateway", true),
            ("Service", false),
            ("GatewayClass", false),
        ] {
            let scope = Scope {
                selector: target(kind),
                ..scope("shop", &[])
            };
            let places = Gateways::default().places(&scope);
            assert!(!places.sidecars);
            assert_eq!(places.unreached.is_none(), reached, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn no_two_selectors_get_one_name(
            selectors in proptest::collection::vec(
                proptest::collection::btree_map("(app|tier|a\\.b/c)", "[a-bA-B.-]{1,3}|[a-b]{60,63}", 1..4),
                2..40,
            ),
            turned in any::<bool>(),
        ) {
            let mut names: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
            for labels in &selectors {
                let mut labels: Vec<(String, String)> =
                    labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                let sorted = labels.clone();
                if turned {
                    labels.reverse();
                }
                let one = canonical(Some(("selector".to_owned(), selector(&labels))));
                let name = plugin_name("authz-policy", &one);
                prop_assert!(name.len() <= 63, "{name}");
                prop_assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
                let known = names.entry(name.clone()).or_insert_with(|| sorted.clone());
                prop_assert_eq!(&*known, &sorted, "{}", name);
            }
        }
    }
}
