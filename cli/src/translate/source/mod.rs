//! From the resources of a mesh to the model. One module per system.

mod app_mesh;
mod beside;
mod cilium;
mod consul;
pub(super) mod gateway_api;
mod istio;
mod linkerd;
mod metadata;
mod permission;

use super::ledger::{Field, Ledger};
use super::model::Mesh;
use super::options::{Options, Target};
pub(super) use beside::{remedy, stays};
use metadata::{as_written, kept_metadata, report_metadata};

/// A resource and the system it belongs to.
pub(super) struct Resource<'a> {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) system: System,
    pub(super) field: Field<'a>,
}

/// What meshes are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    Istio,
    GatewayApi,
    Linkerd,
    Consul,
    AppMesh,
    Cilium,
}

/// API groups, whose they are, and the kinds in them.
const GROUPS: &[(&str, System, &[&str])] = &[
    (
        "networking.istio.io",
        System::Istio,
        &["VirtualService", "DestinationRule", "Gateway"],
    ),
    ("security.istio.io", System::Istio, &["AuthorizationPolicy"]),
    ("telemetry.istio.io", System::Istio, &["Telemetry"]),
    (
        "gateway.networking.k8s.io",
        System::GatewayApi,
        &["HTTPRoute", "GRPCRoute", "Gateway"],
    ),
    (
        "gateway.networking.x-k8s.io",
        System::GatewayApi,
        &["XBackendTrafficPolicy"],
    ),
    ("linkerd.io", System::Linkerd, &["ServiceProfile"]),
    (
        "consul.hashicorp.com",
        System::Consul,
        &[
            "ServiceSplitter",
            "ServiceRouter",
            "ServiceResolver",
            "ServiceIntentions",
        ],
    ),
    (
        "cilium.io",
        System::Cilium,
        &["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"],
    ),
    (
        "appmesh.k8s.aws",
        System::AppMesh,
        &["VirtualRouter", "VirtualNode", "VirtualService", "Route"],
    ),
    // Config entries as `consul config read` prints them.
    (
        "",
        System::Consul,
        &[
            "service-splitter",
            "service-router",
            "service-resolver",
            "service-intentions",
        ],
    ),
    ("split.smi-spec.io", System::Linkerd, &["TrafficSplit"]),
    ("specs.smi-spec.io", System::Linkerd, &["HTTPRouteGroup"]),
    (
        "policy.linkerd.io",
        System::Linkerd,
        &[
            "HTTPRoute",
            "Server",
            "AuthorizationPolicy",
            "MeshTLSAuthentication",
            "NetworkAuthentication",
        ],
    ),
];

impl System {
    /// The system whose resource this is.
    pub(super) fn of(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        GROUPS
            .iter()
            .find(|(name, _, kinds)| *name == group && kinds.contains(&kind))
            .map(|(_, system, _)| *system)
    }
}

/// What the AWS command line describes, by the key it puts around it.
pub(super) const DESCRIBED: [(&str, &str); 4] = [
    ("route", "Route"),
    ("virtualRouter", "VirtualRouter"),
    ("virtualNode", "VirtualNode"),
    ("virtualService", "VirtualService"),
];

/// What the AWS command line takes, by the key that says what it is.
pub(super) const NAMED: [(&str, &str); 4] = [
    ("routeName", "Route"),
    ("virtualNodeName", "VirtualNode"),
    ("virtualServiceName", "VirtualService"),
    ("virtualRouterName", "VirtualRouter"),
];

/// Consul's custom resources by the names of its config entries.
pub(super) fn entry_kind(kind: &str) -> String {
    match kind {
        "ServiceSplitter" => "service-splitter",
        "ServiceRouter" => "service-router",
        "ServiceResolver" => "service-resolver",
        "ServiceIntentions" => "service-intentions",
        kind => kind,
    }
    .to_owned()
}

/// Whether any system has resources of this kind.
pub(super) fn reads_kind(kind: &str) -> bool {
    GROUPS.iter().any(|(_, _, kinds)| kinds.contains(&kind))
}

/// What every source module gets to work with.
pub(super) struct Context<'a> {
    pub(super) options: &'a Options,
    pub(super) ledger: &'a Ledger,
}

impl Context<'_> {
    /// A part that Istio goes on handling: nothing to do for Istio, lost elsewhere.
    fn leave_to_istio(&self, field: &Field<'_>) {
        match self.options.to {
            Target::Wasmplugin => drop(field.take()),
            Target::Envoy => {
                field.lost("has no counterpart in the Envoy configuration that translate writes");
            }
        }
    }
}

/// Reads all resources; afterwards nothing is left unread and unreported.
pub(super) fn read(resources: &[Resource<'_>], cx: &Context<'_>) -> Mesh {
    let mut mesh = Mesh {
        layout: cx.options.layout(),
        ..Mesh::default()
    };
    istio::read(&of(resources, System::Istio), cx, &mut mesh);
    gateway_api::read(&of(resources, System::GatewayApi), cx, &mut mesh);
    linkerd::read(&of(resources, System::Linkerd), cx, &mut mesh);
    consul::read(&of(resources, System::Consul), cx, &mut mesh);
    app_mesh::read(&of(resources, System::AppMesh), cx, &mut mesh);
    cilium::read(&of(resources, System::Cilium), cx, &mut mesh);
    for resource in resources {
        resource.field.skip("apiVersion");
        resource.field.skip("kind");
        report_metadata(resource, cx);
        resource.field.skip("status");
        resource.field.close();
    }
    for rule in mesh.routes.iter_mut().flat_map(|routes| &mut routes.rules) {
        rule.default_to_heaviest();
    }
    if cx.options.to == Target::Envoy {
        mesh.make_hosts_unique();
    }
    let Mesh { layout, guards, .. } = &mut mesh;
    layout.learn_from(
        guards
            .iter()
            .filter(|guard| guard.at_gateways)
            .map(|guard| &guard.scope),
    );
    mesh.make_names_unique();
    mesh
}

fn of<'r, 'a>(resources: &'r [Resource<'a>], system: System) -> Vec<&'r Resource<'a>> {
    resources
        .iter()
        .filter(|resource| resource.system == system)
        .collect()
}
