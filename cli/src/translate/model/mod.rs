//! What all source systems say, in the words of none of them.

pub(crate) mod acting;
pub(crate) mod attachment;
pub(crate) mod policy;
pub(crate) mod telemetry;
pub(crate) mod traffic;

use std::collections::{BTreeMap, BTreeSet};

use meshpack_sdk::config::Node;

use attachment::Layout;
use policy::Guard;
use telemetry::Telemetry;
use traffic::{Backend, Retry, RetryPolicy, Routes, full_name};

/// Everything that was read.
#[derive(Debug, Default)]
pub(crate) struct Mesh {
    /// How clients reach services.
    pub(crate) routes: Vec<Routes>,
    /// What is known about the services behind the routes.
    pub(crate) backends: Vec<Backend>,
    /// Who may call workloads.
    pub(crate) guards: Vec<Guard>,
    /// Where its proxies are, and which of them are gateways.
    pub(crate) layout: Layout,
    /// What workloads report.
    pub(crate) telemetry: Vec<Telemetry>,
    /// Istio resources that go on working beside the plugins.
    pub(crate) kept: Vec<Node>,
}

impl Mesh {
    /// What is known about a service and its subsets, for callers of a namespace: by the
    /// callers' own namespace, else the service's, else the root's; there by the most
    /// particular host.
    pub(crate) fn backends_of(&self, host: &str, namespace: &str) -> Vec<&Backend> {
        let wanted = full_name(host, namespace);
        let own = wanted.strip_suffix(".svc.cluster.local");
        let home = own.and_then(|name| name.split_once('.'));
        let rank = |backend: &Backend| {
            let known = full_name(&backend.host, &backend.namespace);
            let particular = match known.strip_prefix('*') {
                None if known == wanted => (2, known.len()),
                Some(suffix) if wanted.ends_with(suffix) => (1, suffix.len()),
                _ => return None,
            };
            let near = match backend.namespace.as_str() {
                at if at == namespace => 3,
                at if home.is_some_and(|(_, home)| home == at) => 2,
                at if at == self.layout.root => 1,
                // Names outside of Kubernetes are the same everywhere.
                _ if home.is_none() => 0,
                _ => return None,
            };
            Some((near, particular))
        };
        let best = self.backends.iter().filter_map(rank).max();
        let is_best = |backend: &&Backend| best.is_some() && rank(backend) == best;
        self.backends.iter().filter(is_best).collect()
    }

    /// Routes that retry by default spend the budget of their service.
    pub(crate) fn spend_budgets(&mut self, default: &RetryPolicy) {
        let mut routes = std::mem::take(&mut self.routes);
        for routes in &mut routes {
            let namespace = routes.namespace.clone();
            for rule in &mut routes.rules {
                let mut backends = rule
                    .arms
                    .iter()
                    .flat_map(|arm| self.backends_of(&arm.to.host, &namespace));
                if rule.retry == Retry::Default && backends.any(|one| one.budget.is_some()) {
                    rule.retry = Retry::On(default.clone());
                }
            }
        }
        self.routes = routes;
    }

    /// Gives services of one short name in several namespaces their full names, where
    /// nothing else tells them apart.
    pub(crate) fn make_hosts_unique(&mut self) {
        let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for routes in &self.routes {
            for arm in routes.rules.iter().flat_map(|rule| &rule.arms) {
                let at = routes.namespace.clone();
                places.entry(arm.to.host.clone()).or_default().insert(at);
            }
        }
        for routes in &mut self.routes {
            for arm in routes.rules.iter_mut().flat_map(|rule| &mut rule.arms) {
                if places
                    .get(&arm.to.host)
                    .is_some_and(|places| places.len() > 1)
                {
                    arm.to.host = full_name(&arm.to.host, &routes.namespace);
                }
            }
        }
    }

    /// Gives routes that have one name in several namespaces names of their own,
    /// as metrics and budgets go by them.
    pub(crate) fn make_names_unique(&mut self) {
        let names: Vec<String> = self
            .routes
            .iter()
            .map(|routes| routes.name.clone())
            .collect();
        let count = |name: &String| names.iter().filter(|other| *other == name).count();
        for routes in &mut self.routes {
            routes.label = routes.name.clone();
            if count(&routes.name) > 1 {
                routes.label = format!("{}.{}", routes.name, routes.namespace);
            }
            // The retry filter calls its own inbound side that.
            if routes.label == "server" {
                routes.label = format!("server.{}", routes.namespace);
            }
        }
    }
}

/// Workloads of a namespace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scope {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// `selector` or `targetRefs` of Istio; none for the whole namespace.
    pub(crate) selector: Option<(String, Node)>,
    /// Only requests to this port.
    pub(crate) port: Option<u16>,
}
