//! Istio: VirtualService, DestinationRule, AuthorizationPolicy, Telemetry.

mod authorization;
mod destination_rule;
mod telemetry;
mod virtual_service;

use super::{Context, Resource};
use crate::translate::model::Mesh;

pub(super) fn read(resources: &[&Resource<'_>], cx: &Context<'_>, mesh: &mut Mesh) {
    let of = |kind: &str| -> Vec<&Resource<'_>> {
        let of_kind = resources.iter().filter(|resource| resource.kind == kind);
        of_kind.copied().collect()
    };
    for resource in of("VirtualService") {
        mesh.routes.extend(virtual_service::read(resource, cx));
    }
    for resource in of("DestinationRule") {
        destination_rule::read(resource, cx, mesh);
    }
    mesh.guards
        .extend(authorization::read(&of("AuthorizationPolicy"), cx));
    for resource in of("Telemetry") {
        mesh.telemetry.extend(telemetry::read(resource));
    }
}
