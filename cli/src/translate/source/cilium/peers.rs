//! Who connects: Cilium knows pods by labels, certificates by service accounts.

use crate::translate::ledger::Field;
use crate::translate::model::policy::Source;
use crate::translate::options::{LabelledPrincipal, Options};

/// Every way to say who connects.
const FROM: [&str; 7] = [
    "fromEndpoints",
    "fromEntities",
    "fromCIDR",
    "fromCIDRSet",
    "fromRequires",
    "fromGroups",
    "fromNodes",
];

/// Labels by which Cilium knows a pod's service account and namespace.
const ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";
const NAMESPACE: &str = "io.kubernetes.pod.namespace";

/// The clients of an ingress rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Peers {
    /// Any of these; none means everybody.
    Known(Vec<Source>),
    /// Clients that no certificate or address tells; says who.
    Unknown(String),
}

/// Whether all grants are for the same clients, whoever they are.
pub(super) fn all_the_same<'p>(mut peers: impl Iterator<Item = &'p Peers>) -> bool {
    let first = peers.next();
    peers.all(|other| Some(other) == first)
}

impl Peers {
    /// None if the rule is for nobody.
    pub(super) fn read(ingress: &Field<'_>, namespace: &str, options: &Options) -> Option<Self> {
        let mut sources = Vec::new();
        let mut unknown = Vec::new();
        // An empty list selects nobody.
        let restricted = FROM.iter().any(|key| ingress.get(key).is_some());
        for selector in ingress.list("fromEndpoints") {
            match principal(&selector, namespace, &options.principal) {
                Some(source) => sources.push(source),
                None => unknown.push(format!("clients with the labels {}", shown(&selector))),
            }
        }
        let mut everybody = !restricted;
        for entity in ingress.list("fromEntities") {
            match entity.text().unwrap_or_default() {
                "all" => everybody = true,
                other => unknown.push(format!("the entity {other}")),
            }
        }
        for cidr in ingress.list("fromCIDR") {
            sources.extend(cidr.text().map(|cidr| network(cidr, Vec::new())));
        }
        for set in ingress.list("fromCIDRSet") {
            let except = set
                .get("except")
                .map(|except| except.texts())
                .unwrap_or_default();
            let except = except.into_iter().map(str::to_owned).collect();
            sources.extend(set.text_at("cidr").map(|cidr| network(cidr, except)));
        }
        for key in ["fromRequires", "fromGroups", "fromNodes"] {
            if let Some(field) = ingress.get(key) {
                field.take();
                // Other clients are added to these, not so by fromRequires.
                everybody &= key != "fromRequires";
                unknown.push(format!("{key} says who"));
            }
        }
        if everybody {
            return Some(Self::Known(Vec::new()));
        }
        match (unknown.is_empty(), sources.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Known(sources)),
            (false, _) => Some(Self::Unknown(unknown.join(", "))),
        }
    }
}

fn network(cidr: &str, except: Vec<String>) -> Source {
    Source {
        ip_blocks: vec![cidr.to_owned()],
        not_ip_blocks: except,
        ..Source::default()
    }
}

/// Labels of a selector without Cilium's prefixes, sorted.
fn labels(selector: &Field<'_>) -> Option<Vec<(String, String)>> {
    if selector.get("matchExpressions").is_some() {
        selector.take();
        return None;
    }
    let Some(labels) = selector.get("matchLabels") else {
        return Some(Vec::new());
    };
    let mut found = Vec::new();
    for (key, value) in labels.entries() {
        let key = key
            .strip_prefix("k8s:")
            .or(key.strip_prefix("any:"))
            .unwrap_or(key);
        found.push((key.to_owned(), value.text()?.to_owned()));
    }
    found.sort();
    Some(found)
}

fn principal(selector: &Field<'_>, namespace: &str, known: &[LabelledPrincipal]) -> Option<Source> {
    let labels = labels(selector)?;
    let label = |name: &str| {
        labels
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    let given = known.iter().find(|known| known.labels == labels);
    let by_account = || {
        let account = label(ACCOUNT)?;
        let namespace = label(NAMESPACE).map_or(namespace, String::as_str);
        let others = labels
            .iter()
            .any(|(key, _)| key != ACCOUNT && key != NAMESPACE);
        (!others).then(|| format!("cluster.local/ns/{namespace}/sa/{account}"))
    };
    let principal = given
        .map(|known| known.principal.clone())
        .or_else(by_account)?;
    Some(Source {
        principals: vec![principal],
        ..Source::default()
    })
}

fn shown(selector: &Field<'_>) -> String {
    let Some(labels) = labels(selector) else {
        return "of matchExpressions".to_owned();
    };
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    labels.join(",")
}
