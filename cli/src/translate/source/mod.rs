//! From the resources of a mesh to the model. One module per system.

mod app_mesh;
mod cilium;
mod consul;
pub(super) mod gateway_api;
mod istio;
mod linkerd;
mod permission;

use meshpack_sdk::config::Node;

use super::ledger::{Field, Ledger};
use super::model::Mesh;
use super::options::{Options, Target};

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

/// Groups whose resources go on working beside plugins: Kubernetes' own, and those of
/// Istio and of the Gateway API that no plugin takes the place of.
const STAYING_GROUPS: [&str; 9] = [
    "",
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "rbac.authorization.k8s.io",
    "networking.k8s.io",
    "discovery.k8s.io",
    "admissionregistration.k8s.io",
];
const STAYING: [(&str, &[&str]); 4] = [
    (
        "networking.istio.io",
        &[
            "ServiceEntry",
            "WorkloadEntry",
            "WorkloadGroup",
            "Sidecar",
            "EnvoyFilter",
            "ProxyConfig",
        ],
    ),
    (
        "security.istio.io",
        &["RequestAuthentication", "PeerAuthentication"],
    ),
    ("extensions.istio.io", &["WasmPlugin", "TrafficExtension"]),
    (
        "gateway.networking.k8s.io",
        &[
            "GatewayClass",
            "ReferenceGrant",
            "TCPRoute",
            "TLSRoute",
            "UDPRoute",
            "BackendTLSPolicy",
        ],
    ),
];

/// Whether a resource stays beside what comes out, and works as before.
pub(super) fn stays(group: &str, kind: &str) -> bool {
    let capital = kind.starts_with(|c: char| c.is_ascii_uppercase());
    (STAYING_GROUPS.contains(&group) && capital)
        || STAYING
            .iter()
            .any(|(known, kinds)| *known == group && kinds.contains(&kind))
}

/// What to do about a resource that is not read.
pub(super) fn remedy(group: &str, kind: &str) -> &'static str {
    match (group, kind) {
        ("flagger.app", _) => {
            "is Flagger's, which goes on writing the weights that the filter now decides by: give the split its steps as `ramp` and its analysis as `abort` (docs/first-canary.md), take the VirtualService or HTTPRoute that Flagger writes, and delete the Canary before you apply what comes out"
        }
        ("argoproj.io", _) => {
            "is Argo Rollouts', which goes on writing the weights that the filter now decides by: give the split its steps as `ramp` and its analysis as `abort` (docs/first-canary.md), and take trafficRouting out of the Rollout before you apply what comes out"
        }
        ("gateway.envoyproxy.io", "BackendTrafficPolicy") => {
            "is Envoy Gateway's and stays with it, with its retries; a retry_budget beside it bounds them, in an EnvoyExtensionPolicy for the same route as envoy-gateway-manifests/ has them"
        }
        ("gateway.envoyproxy.io", _) => {
            "is Envoy Gateway's and stays with it: envoy-gateway-manifests/ shows the filters there"
        }
        ("access.smi-spec.io", _) => {
            "says by service accounts who may call, and nothing about other callers: write it as an AuthorizationPolicy with those principals"
        }
        ("specs.smi-spec.io", _) => "is not about HTTP, on which the filters work",
        ("linkerd.io" | "policy.linkerd.io", _) => {
            "is Linkerd's and has no counterpart among the filters: its HTTPRoute, ServiceProfile, Server and AuthorizationPolicy are read"
        }
        ("consul.hashicorp.com", _) | ("", "service-defaults" | "proxy-defaults" | "mesh") => {
            "is Consul's and has no counterpart among the filters: service-splitter, -router, -resolver and -intentions are read"
        }
        _ => "is not among the kinds that can be translated",
    }
}

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

/// Domains of the annotations and labels by which people instruct a mesh.
const INSTRUCTING: [&str; 5] = [
    "istio.io",
    "linkerd.io",
    "hashicorp.com",
    "k8s.aws",
    "cilium.io",
];
/// Instructs nobody.
const CREATED_BY: &str = "linkerd.io/created-by";

/// What kubectl writes into annotations for itself.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Labels and annotations of a resource that is written again, for Istio.
fn kept_metadata(resource: &Resource<'_>, cx: &Context<'_>) -> Vec<(String, Node)> {
    if cx.options.to == Target::Envoy {
        return Vec::new();
    }
    let Some(metadata) = resource.field.get("metadata") else {
        return Vec::new();
    };
    let Node::Object(entries) = as_applied(metadata.node()) else {
        return Vec::new();
    };
    let mut kept = entries;
    kept.retain(|(key, _)| ["labels", "annotations"].contains(&key.as_str()));
    kept
}

/// A resource as a person would apply it: without status, and without what the API
/// server adds.
fn as_written(resource: &Node) -> Node {
    let Node::Object(entries) = resource else {
        return resource.clone();
    };
    let kept = entries.iter().filter(|(key, _)| key != "status");
    let kept = kept.map(|(key, value)| match key.as_str() {
        "metadata" => (key.clone(), as_applied(value)),
        _ => (key.clone(), value.clone()),
    });
    Node::Object(kept.collect())
}

fn as_applied(metadata: &Node) -> Node {
    let Node::Object(entries) = metadata else {
        return metadata.clone();
    };
    let mut kept = Vec::new();
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("name" | "namespace" | "labels", value) => kept.push((key.clone(), value.clone())),
            ("annotations", Node::Object(annotations)) => {
                let mut annotations = annotations.clone();
                annotations.retain(|(name, _)| name != APPLIED);
                if !annotations.is_empty() {
                    kept.push((key.clone(), Node::Object(annotations)));
                }
            }
            _ => {}
        }
    }
    Node::Object(kept)
}

/// Metadata is between people and Kubernetes, but for what it tells a mesh.
fn report_metadata(resource: &Resource<'_>, cx: &Context<'_>) {
    let is_kept = cx.options.to == Target::Wasmplugin
        && ["DestinationRule", "HTTPRoute", "VirtualService"].contains(&resource.kind.as_str());
    for owner in resource
        .field
        .at(&["metadata", "ownerReferences"])
        .map(|owners| owners.items())
        .unwrap_or_default()
    {
        let controls = owner.get("controller").and_then(|value| value.boolean());
        if controls == Some(true) {
            let kind = owner.text_at("kind").unwrap_or_default();
            let name = owner.text_at("name").unwrap_or_default();
            owner.lost(format!("is written by the controller of the {kind} {name}, which would undo what comes out: let the filter do that work (weights, ramp and abort of canary_split) and delete the {kind} first, or leave this resource to it"));
        }
    }
    for key in ["annotations", "labels"] {
        let Some(entries) = resource.field.at(&["metadata", key]) else {
            continue;
        };
        for (name, entry) in entries.unread() {
            let domain = name.split_once('/').map_or("", |(domain, _)| domain);
            let instructs = INSTRUCTING.iter().any(|known| domain.ends_with(known));
            let kept = is_kept && domain.ends_with("istio.io");
            if instructs && !kept && name != CREATED_BY {
                entry.lost("tells the mesh something that what comes out does not");
            }
        }
    }
    resource.field.skip("metadata");
}

fn of<'r, 'a>(resources: &'r [Resource<'a>], system: System) -> Vec<&'r Resource<'a>> {
    resources
        .iter()
        .filter(|resource| resource.system == system)
        .collect()
}
