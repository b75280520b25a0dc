//! Linkerd: ServiceProfile, TrafficSplit, its HTTPRoutes, and server policy.

mod authentication;
mod server;
mod service_profile;
mod traffic_split;

use super::gateway_api::http_route;
use super::{Context, Resource};
use crate::translate::model::Mesh;
use crate::translate::model::policy::Source;

pub(super) fn read(resources: &[&Resource<'_>], cx: &Context<'_>, mesh: &mut Mesh) {
    let of = |kind: &str| -> Vec<&Resource<'_>> {
        let of_kind = resources.iter().filter(|resource| resource.kind == kind);
        of_kind.copied().collect()
    };
    for resource in of("ServiceProfile") {
        mesh.routes.extend(service_profile::read(resource));
    }
    let groups = traffic_split::read_groups(&of("HTTPRouteGroup"));
    for resource in of("TrafficSplit") {
        traffic_split::read(resource, &groups, mesh);
    }
    let (inbound, outbound): (Vec<_>, Vec<_>) = of("HTTPRoute")
        .into_iter()
        .partition(|route| server::is_attached(route));
    for resource in outbound {
        if let Some(routes) = http_route::read(resource, cx) {
            http_route::add(mesh, routes);
        }
    }
    let authentications =
        authentication::read_all(&of("MeshTLSAuthentication"), &of("NetworkAuthentication"));
    mesh.guards.extend(server::read(
        &of("Server"),
        &inbound,
        &of("AuthorizationPolicy"),
        &authentications,
    ));
}

/// Who satisfies an authentication: any of the sources.
struct Authentication {
    kind: &'static str,
    namespace: String,
    name: String,
    sources: Vec<Source>,
}
