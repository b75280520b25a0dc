//! Resources that are not translated: those that stay, and what to do about the others.

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
pub(in crate::translate) fn stays(group: &str, kind: &str) -> bool {
    let capital = kind.starts_with(|c: char| c.is_ascii_uppercase());
    (STAYING_GROUPS.contains(&group) && capital)
        || STAYING
            .iter()
            .any(|(known, kinds)| *known == group && kinds.contains(&kind))
}

/// What to do about a resource that is not read.
pub(in crate::translate) fn remedy(group: &str, kind: &str) -> &'static str {
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
