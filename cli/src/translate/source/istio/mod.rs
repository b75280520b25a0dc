//! Istio: VirtualService, DestinationRule, AuthorizationPolicy, Telemetry.

mod authorization;
mod delegate;
mod destination_rule;
mod telemetry;
mod virtual_service;

use super::{Context, Resource};
use crate::translate::ledger::Field;
use crate::translate::model::Mesh;
use crate::translate::model::attachment::{GatewayPods, NamedGateway};
use crate::translate::model::traffic::RetryPolicy;
use crate::translate::options::Target;

pub(super) fn read(resources: &[&Resource<'_>], cx: &Context<'_>, mesh: &mut Mesh) {
    let of = |kind: &str| -> Vec<&Resource<'_>> {
        let of_kind = resources.iter().filter(|resource| resource.kind == kind);
        of_kind.copied().collect()
    };
    for resource in of("VirtualService") {
        mesh.routes.extend(virtual_service::read(resource, cx));
    }
    delegate::resolve(mesh, cx);
    for resource in of("DestinationRule") {
        destination_rule::read(resource, cx, mesh);
    }
    for resource in of("DestinationRule") {
        destination_rule::route_alone(resource, cx, mesh);
    }
    mesh.spend_budgets(&RetryPolicy::istio_default());
    for resource in of("Gateway") {
        if cx.options.to == Target::Wasmplugin {
            let name = format!("{}/{}", resource.namespace, resource.name);
            cx.ledger.stays(format!("Gateway {name}"));
        }
        if let Some(pods) = read_gateway(resource) {
            mesh.layout.named.push(NamedGateway {
                namespace: resource.namespace.clone(),
                name: resource.name.clone(),
                labels: pods.labels.clone(),
            });
            mesh.layout.add_gateway(pods);
        }
    }
    mesh.guards
        .extend(authorization::read(&of("AuthorizationPolicy"), cx));
    for resource in of("Telemetry") {
        mesh.telemetry.extend(telemetry::read(resource));
    }
}

/// A Gateway stays as it is and tells which pods are gateways, in any namespace.
fn read_gateway(resource: &Resource<'_>) -> Option<GatewayPods> {
    resource.field.take();
    let selector = resource.field.at(&["spec", "selector"])?;
    let label = |(key, field): (&str, Field<'_>)| Some((key.to_owned(), field.text()?.to_owned()));
    let mut labels: Vec<(String, String)> =
        selector.entries().into_iter().filter_map(label).collect();
    labels.sort();
    // Without labels it tells nothing: taken for a label set that every policy has, each
    // would be one for gateways alone.
    if labels.is_empty() {
        return None;
    }
    Some(GatewayPods {
        namespace: None,
        labels,
    })
}
