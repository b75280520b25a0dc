//! TrafficSplit (SMI).

use super::super::Resource;
use super::service_profile::quantity;
use crate::translate::model::Mesh;
use crate::translate::model::traffic::{Arm, Destination, Retry, Routes, Rule};

/// Adds the split to the routes of its service, or routes for it.
pub(super) fn read(resource: &Resource<'_>, mesh: &mut Mesh) {
    let Some(spec) = resource.field.get("spec") else {
        return;
    };
    let Some(service) = spec.text_at("service") else {
        return;
    };
    spec.lose(
        "matches",
        "an HTTPRouteGroup says which requests are split: here all requests of the service are",
    );
    let mut arms = Vec::new();
    for backend in spec.list("backends") {
        let (Some(host), Some(weight)) = (
            backend.text_at("service"),
            backend.get("weight").and_then(|weight| quantity(&weight)),
        ) else {
            continue;
        };
        arms.push(Arm {
            to: Destination {
                host: host.to_owned(),
                subset: None,
                port: None,
            },
            weight,
            kept: Vec::new(),
        });
    }
    let known = mesh
        .routes
        .iter_mut()
        .find(|routes| routes.namespace == resource.namespace && routes.hosts == [service]);
    if let Some(routes) = known {
        for rule in &mut routes.rules {
            rule.arms.clone_from(&arms);
        }
        return;
    }
    mesh.routes.push(Routes {
        name: service.to_owned(),
        namespace: resource.namespace.clone(),
        hosts: vec![service.to_owned()],
        rules: vec![Rule {
            matches: Vec::new(),
            arms,
            delegated: None,
            delegate: None,
            retry: Retry::Off,
            timeout: None,
            kept: Vec::new(),
            group: 0,
            spot: resource.field.spot(),
        }],
        ..Routes::default()
    });
}
