//! What a person decides about a translation.

use std::path::Path;
use std::str::FromStr;

use meshpack_sdk::config::Node;

use super::model::attachment::{GatewayPods, Layout};
use crate::json::object;
use crate::modules::installed;

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Target {
    /// WasmPlugin resources, and the VirtualServices that the splits steer.
    Wasmplugin,
    /// A bootstrap for a stand-alone Envoy.
    Envoy,
}

/// Decisions that no source system has an opinion on.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// What comes out.
    #[arg(long, value_enum, default_value = "wasmplugin")]
    pub(super) to: Target,
    /// Keeps a client on its arm: header:NAME, cookie:NAME, claim:NAME or sourceIp.
    /// May be repeated; the first that a request has counts.
    #[arg(long, value_name = "KEY")]
    pub(super) sticky_by: Vec<StickyKey>,
    /// Namespace of resources that name none.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(super) namespace: String,
    /// Where WasmPlugin resources pull the modules from.
    #[arg(long, value_name = "URL", default_value = "oci://ghcr.io/meshpack")]
    pub(super) registry: String,
    /// Tag of the images.
    #[arg(long, value_name = "TAG", default_value = env!("CARGO_PKG_VERSION"))]
    pub(super) tag: String,
    /// Endpoints of a cluster of the Envoy configuration, such as
    /// payments/v1=10.0.0.1:8080,10.0.0.2:8080. May be repeated.
    #[arg(long, value_name = "CLUSTER=HOST:PORT,…")]
    pub(super) endpoint: Vec<Endpoints>,
    /// Where the Envoy configuration finds the modules; else `dist`, or those installed
    /// with this command where there is no dist/ here.
    #[arg(long, value_name = "FOLDER")]
    pub(super) modules: Option<String>,
    /// First port that the Envoy configuration listens on.
    #[arg(long, value_name = "PORT", default_value_t = 10_000)]
    pub(super) port: u16,
    /// What clients with these labels call themselves: Cilium policies name pods
    /// by labels, certificates name service accounts. May be repeated.
    #[arg(long, value_name = "KEY=VALUE,…:PRINCIPAL")]
    pub(super) principal: Vec<LabelledPrincipal>,
    /// Where gateways run: their namespace and labels, such as
    /// istio-ingress/istio=ingressgateway. Policies for a whole namespace act on them
    /// too, and need a plugin of their own there. May be repeated; none if there are no
    /// others than the Gateway resources among the files.
    #[arg(long, value_name = "NAMESPACE/KEY=VALUE,…")]
    pub(super) gateway: Vec<Gateway>,
    /// Namespaces whose workloads call the services, beside the services' own. Splits and
    /// budgets are decided by the caller's proxy, which loads the plugins of its own
    /// namespace; none if there are no other callers. May be repeated.
    #[arg(long, value_name = "NAMESPACE")]
    pub(super) callers: Vec<String>,
    /// Istio's root namespace, whose policies and plugins concern all namespaces.
    #[arg(long, value_name = "NAME", default_value = "istio-system")]
    pub(super) root_namespace: String,
    /// The mesh's trust domain, the first part of every principal. Istio takes
    /// cluster.local in a policy for it, whatever it is.
    #[arg(long, value_name = "DOMAIN")]
    pub(super) trust_domain: Option<String>,
    /// A port of the workloads that speaks HTTP; all if every port does. A filter sees
    /// no other connections, and Istio's policies hold for all. May be repeated.
    #[arg(long, value_name = "PORT")]
    pub(super) http_port: Vec<HttpPort>,
    /// What Consul does with calls that no intention is about (its ACL default policy).
    #[arg(long, value_enum, default_value = "deny")]
    pub(super) consul_default: ConsulDefault,
}

/// Where gateways run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gateway {
    /// Nowhere else.
    None,
    Pods(GatewayPods),
}

impl FromStr for Gateway {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let form = "use NAMESPACE/KEY=VALUE,…, such as istio-ingress/istio=ingressgateway, or none";
        let (namespace, labels) = text.split_once('/').ok_or(form)?;
        let label = |text: &str| {
            let (key, value) = text.split_once('=')?;
            let whole = !key.is_empty() && !value.is_empty();
            whole.then(|| (key.to_owned(), value.to_owned()))
        };
        let labels: Option<Vec<_>> = labels.split(',').map(label).collect();
        let mut labels = labels.ok_or(form)?;
        labels.sort();
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        Ok(Self::Pods(GatewayPods {
            namespace: Some(namespace.ok_or(form)?),
            labels,
        }))
    }
}

impl Options {
    /// The folder that an Envoy configuration names.
    pub(super) fn modules(&self) -> String {
        let dist = "dist".to_owned();
        match (&self.modules, Path::new(&dist).is_dir()) {
            (Some(folder), _) => folder.clone(),
            (None, true) => dist,
            (None, false) => installed().map_or(dist, |folder| folder.display().to_string()),
        }
    }

    /// What they say about the mesh. Whoever names a gateway has named all.
    pub(super) fn layout(&self) -> Layout {
        let mut layout = Layout {
            root: self.root_namespace.clone(),
            complete: !self.gateway.is_empty(),
            ..Layout::default()
        };
        for gateway in &self.gateway {
            if let Gateway::Pods(pods) = gateway {
                layout.add_gateway(pods.clone());
            }
        }
        layout
    }
}

/// Ports that speak HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpPort {
    All,
    Port(u16),
}

impl FromStr for HttpPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let port = text.parse().ok().filter(|port| *port > 0);
        port.map(Self::Port)
            .ok_or_else(|| "use a port from 1 to 65535, or all".to_owned())
    }
}

impl Options {
    /// Whether a port, as a policy writes it, is known to speak HTTP.
    pub(super) fn is_http(&self, port: &str) -> bool {
        self.http_port.iter().any(|known| match known {
            HttpPort::All => true,
            HttpPort::Port(number) => port.parse() == Ok(*number),
        })
    }
}

/// Consul's `acl.default_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ConsulDefault {
    /// Calls need an intention.
    Deny,
    /// Calls are allowed unless an intention denies them.
    Allow,
}

/// Where the id of a client comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StickyKey {
    Header(String),
    Cookie(String),
    Claim(String),
    SourceIp,
}

impl StickyKey {
    pub(crate) fn to_node(&self) -> Node {
        let named = |key: &str, name: &String| object([(key, Node::String(name.clone()))]);
        match self {
            Self::Header(name) => named("header", name),
            Self::Cookie(name) => named("cookie", name),
            Self::Claim(name) => named("claim", name),
            Self::SourceIp => Node::String("sourceIp".to_owned()),
        }
    }
}

impl FromStr for StickyKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let key = match text.split_once(':') {
            None if text == "sourceIp" => Some(Self::SourceIp),
            Some(("header", rest)) => name(rest).map(Self::Header),
            Some(("cookie", rest)) => name(rest).map(Self::Cookie),
            Some(("claim", rest)) => name(rest).map(Self::Claim),
            _ => None,
        };
        key.ok_or_else(|| "use header:NAME, cookie:NAME, claim:NAME or sourceIp".to_owned())
    }
}

/// The endpoints of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoints {
    pub(crate) cluster: String,
    pub(crate) addresses: Vec<(String, u16)>,
}

impl FromStr for Endpoints {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (cluster, addresses) = text
            .split_once('=')
            .ok_or("use CLUSTER=HOST:PORT, with more endpoints after commas")?;
        let address = |text: &str| {
            let (host, port) = text.rsplit_once(':')?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((host.to_owned(), port.parse().ok()?))
        };
        let read = |text: &str| address(text).ok_or_else(|| format!("{text:?} is not HOST:PORT"));
        Ok(Self {
            cluster: cluster.to_owned(),
            addresses: addresses.split(',').map(read).collect::<Result<_, _>>()?,
        })
    }
}

/// Labels of clients, and their principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelledPrincipal {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) principal: String,
}

impl FromStr for LabelledPrincipal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "use KEY=VALUE,…:PRINCIPAL, such as app=web:cluster.local/ns/shop/sa/web";
        let (labels, principal) = text.split_once(':').ok_or(form)?;
        let label = |text: &str| {
            let (key, value) = text.split_once('=').ok_or(form)?;
            Ok((key.to_owned(), value.to_owned()))
        };
        let mut labels = labels
            .split(',')
            .map(label)
            .collect::<Result<Vec<_>, String>>()?;
        labels.sort();
        Ok(Self {
            labels,
            principal: principal.to_owned(),
        })
    }
}
