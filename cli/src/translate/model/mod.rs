//! What all source systems say, in the words of none of them.

pub(crate) mod acting;
pub(crate) mod attachment;
pub(crate) mod policy;
pub(crate) mod traffic;

use meshpack_sdk::config::Node;

use attachment::Layout;
use policy::Guard;
use traffic::{Backend, Routes};

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

/// A telemetry configuration and whom it is for.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) scope: Scope,
    /// A configuration of the telemetry filter.
    pub(crate) config: Node,
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
