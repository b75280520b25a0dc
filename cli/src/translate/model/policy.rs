//! Who may do what.
//!
//! The words are those of Istio's AuthorizationPolicy, which the authz filter
//! takes as written for kubectl.

use meshpack_sdk::config::Node;

use super::Scope;
use crate::json::{list, object};
use crate::translate::ledger::Spot;

/// The policies of some workloads.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) scope: Scope,
    pub(crate) policies: Vec<Acting>,
    /// Workloads within the scope that have rules of their own instead.
    pub(crate) except: Vec<Scope>,
    /// Whether it acts on gateways that the scope selects, as Istio's policies do.
    pub(crate) at_gateways: bool,
    /// Where it was written.
    pub(crate) spot: Option<Spot>,
}

/// A policy, and what must be known to give it to a proxy.
#[derive(Debug, Clone)]
pub(crate) struct Acting {
    /// An AuthorizationPolicy without a selector.
    pub(crate) node: Node,
    /// An ALLOW policy in force: what it does not allow is denied unless another allows it.
    pub(crate) allows: bool,
    /// Whether it asks who the client is, so that Envoy must do TLS.
    pub(crate) needs_identity: bool,
    /// Whether it asks for the TCP peer's address.
    pub(crate) needs_peer_address: bool,
    /// Where it was written, if not where its guard was.
    pub(crate) spot: Option<Spot>,
}

impl From<&Policy> for Acting {
    fn from(policy: &Policy) -> Self {
        Self {
            node: policy.to_node(),
            allows: true,
            needs_identity: policy.needs_identity(),
            needs_peer_address: policy.needs_peer_address(),
            spot: None,
        }
    }
}

/// An ALLOW policy: it lets in what it matches, and without rules nobody.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) rules: Vec<Rule>,
}

/// Any source, any operation, all conditions; empty lists mean anything.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rule {
    pub(crate) from: Vec<Source>,
    pub(crate) to: Vec<Operation>,
    pub(crate) when: Vec<Condition>,
}

/// Who calls; all lists that are given must match.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Source {
    pub(crate) principals: Vec<String>,
    pub(crate) not_principals: Vec<String>,
    pub(crate) namespaces: Vec<String>,
    pub(crate) ip_blocks: Vec<String>,
    pub(crate) not_ip_blocks: Vec<String>,
}

/// What is called; all lists that are given must match.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Operation {
    pub(crate) hosts: Vec<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) not_methods: Vec<String>,
    pub(crate) paths: Vec<String>,
    pub(crate) not_paths: Vec<String>,
}

/// A condition on an attribute.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Condition {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
    pub(crate) not_values: Vec<String>,
    pub(crate) values_regex: Vec<String>,
    pub(crate) not_values_regex: Vec<String>,
}

impl Policy {
    pub(crate) fn to_node(&self) -> Node {
        let mut spec = vec![("action", Node::String("ALLOW".to_owned()))];
        if !self.rules.is_empty() {
            spec.push((
                "rules",
                Node::List(self.rules.iter().map(Rule::to_node).collect()),
            ));
        }
        object([
            (
                "apiVersion",
                Node::String("security.istio.io/v1".to_owned()),
            ),
            ("kind", Node::String("AuthorizationPolicy".to_owned())),
            (
                "metadata",
                object([
                    ("name", Node::String(self.name.clone())),
                    ("namespace", Node::String(self.namespace.clone())),
                ]),
            ),
            ("spec", object(spec)),
        ])
    }

    pub(crate) fn needs_identity(&self) -> bool {
        let asks = |source: &Source| {
            let named = [
                &source.principals,
                &source.not_principals,
                &source.namespaces,
            ];
            named.iter().any(|list| !list.is_empty())
        };
        self.rules.iter().any(|rule| {
            rule.from.iter().any(asks)
                || rule.when.iter().any(|when| when.key.starts_with("source."))
        })
    }

    pub(crate) fn needs_peer_address(&self) -> bool {
        let asks =
            |source: &Source| !source.ip_blocks.is_empty() || !source.not_ip_blocks.is_empty();
        self.rules.iter().any(|rule| rule.from.iter().any(asks))
    }
}

impl Rule {
    fn to_node(&self) -> Node {
        let mut entries = Vec::new();
        let wrap = |key: &str, node: Node| object([(key, node)]);
        if !self.from.is_empty() {
            let from = self
                .from
                .iter()
                .map(|source| wrap("source", source.to_node()));
            entries.push(("from", list(from)));
        }
        if !self.to.is_empty() {
            let to = self
                .to
                .iter()
                .map(|operation| wrap("operation", operation.to_node()));
            entries.push(("to", list(to)));
        }
        if !self.when.is_empty() {
            entries.push(("when", list(self.when.iter().map(Condition::to_node))));
        }
        object(entries)
    }
}

impl Source {
    fn to_node(&self) -> Node {
        lists([
            ("principals", &self.principals),
            ("notPrincipals", &self.not_principals),
            ("namespaces", &self.namespaces),
            ("ipBlocks", &self.ip_blocks),
            ("notIpBlocks", &self.not_ip_blocks),
        ])
    }
}

impl Operation {
    fn to_node(&self) -> Node {
        lists([
            ("hosts", &self.hosts),
            ("methods", &self.methods),
            ("notMethods", &self.not_methods),
            ("paths", &self.paths),
            ("notPaths", &self.not_paths),
        ])
    }
}

impl Condition {
    fn to_node(&self) -> Node {
        let Node::Object(values) = lists([
            ("values", &self.values),
            ("notValues", &self.not_values),
            ("valuesRegex", &self.values_regex),
            ("notValuesRegex", &self.not_values_regex),
        ]) else {
            return Node::Null;
        };
        let key = ("key".to_owned(), Node::String(self.key.clone()));
        Node::Object([vec![key], values].concat())
    }
}

/// The lists that are not empty.
fn lists<const N: usize>(lists: [(&str, &Vec<String>); N]) -> Node {
    let given = lists.into_iter().filter(|(_, values)| !values.is_empty());
    object(given.map(|(key, values)| {
        let values = values.iter().cloned().map(Node::String).collect();
        (key, Node::List(values))
    }))
}
