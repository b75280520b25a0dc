//! AWS App Mesh: Route, VirtualRouter, VirtualNode and VirtualService, as the
//! AWS command line describes them or as custom resources.

mod node;
mod route;

use super::{Context, Resource};
use crate::translate::ledger::Field;
use crate::translate::model::Mesh;
use crate::translate::model::traffic::{Routes, Rule};
use node::Node;

pub(super) fn read(resources: &[&Resource<'_>], cx: &Context<'_>, mesh: &mut Mesh) {
    let of = |kind: &str| -> Vec<&Resource<'_>> {
        let of_kind = resources.iter().filter(|resource| resource.kind == kind);
        of_kind.copied().collect()
    };
    for resource in resources {
        for key in ["meshName", "meshOwner", "resourceOwner"] {
            resource.field.skip(key);
        }
        for key in ["awsName", "meshRef", "podSelector", "namespaceSelector"] {
            if let Some(spec) = resource.field.get("spec") {
                spec.skip(key);
            }
        }
    }
    let nodes: Vec<Node> = of("VirtualNode")
        .iter()
        .map(|node| Node::read(node))
        .collect();
    let services = services(&of("VirtualService"));
    let mut routers = routers(&of("VirtualRouter"), &nodes, cx);
    for resource in of("Route") {
        resource.field.skip("routeName");
        let router = resource
            .field
            .text_at("virtualRouterName")
            .unwrap_or("router")
            .to_owned();
        let Some(spec) = resource.field.get("spec") else {
            continue;
        };
        let rule = route::read(&spec, &nodes, cx.options.to);
        match routers.iter_mut().find(|known| known.name == router) {
            Some(known) => known.rules.extend(rule),
            None => routers.push(Router {
                name: router,
                namespace: resource.namespace.clone(),
                rules: rule.into_iter().collect(),
            }),
        }
    }
    for router in routers
        .into_iter()
        .filter(|router| !router.rules.is_empty())
    {
        mesh.routes.push(router.routes(&services, cx));
    }
    mesh.backends
        .extend(nodes.into_iter().map(|node| node.backend));
}

/// A router with its routes and their priorities.
struct Router {
    name: String,
    namespace: String,
    rules: Vec<(i64, Rule)>,
}

impl Router {
    fn routes(mut self, services: &[(String, String)], cx: &Context<'_>) -> Routes {
        // The lowest number first; routes without one last.
        self.rules.sort_by_key(|(priority, _)| *priority);
        let mut hosts: Vec<String> = services
            .iter()
            .filter(|(_, router)| *router == self.name)
            .map(|(service, _)| service.clone())
            .collect();
        if hosts.is_empty() {
            if let Some((_, rule)) = self.rules.first() {
                cx.ledger.note(
                    &rule.spot,
                    format!("no VirtualService among these files is provided by the router {}: its host is taken to be that name", self.name),
                );
            }
            hosts.push(self.name.clone());
        }
        let rules = self.rules.into_iter().enumerate();
        Routes {
            name: self.name.clone(),
            namespace: self.namespace,
            hosts,
            rules: rules
                .map(|(group, (_, rule))| Rule { group, ..rule })
                .collect(),
            ..Routes::default()
        }
    }
}

/// Services and the routers that provide them.
fn services(resources: &[&Resource<'_>]) -> Vec<(String, String)> {
    let mut services = Vec::new();
    for resource in resources {
        let described = resource.field.text_at("virtualServiceName");
        let Some(spec) = resource.field.get("spec") else {
            continue;
        };
        let own = resource
            .field
            .at(&["spec", "awsName"])
            .and_then(|name| name.text());
        let name = described.or(own).unwrap_or(&resource.name);
        let Some(router) = spec.at(&["provider", "virtualRouter"]) else {
            spec.lose("provider", "is one node: there is nothing to route");
            continue;
        };
        let router = router
            .text_at("virtualRouterName")
            .map(str::to_owned)
            .or_else(|| reference(&router, "virtualRouterRef"));
        services.extend(router.map(|router| (name.to_owned(), router)));
    }
    services
}

/// The name in a reference of a custom resource.
fn reference(field: &Field<'_>, key: &str) -> Option<String> {
    let reference = field.get(key)?;
    reference.skip("namespace");
    reference.text_at("name").map(str::to_owned)
}

/// Routers; custom resources hold their routes themselves.
fn routers(resources: &[&Resource<'_>], nodes: &[Node], cx: &Context<'_>) -> Vec<Router> {
    let mut routers = Vec::new();
    for resource in resources {
        let name = resource
            .field
            .text_at("virtualRouterName")
            .unwrap_or(&resource.name);
        let mut rules = Vec::new();
        if let Some(spec) = resource.field.get("spec") {
            for listener in spec.list("listeners") {
                // Where the router listens is where its services are called.
                if let Some(mapping) = listener.get("portMapping") {
                    mapping.skip("port");
                    mapping.skip("protocol");
                }
            }
            for field in spec.list("routes") {
                field.skip("name");
                rules.extend(route::read(&field, nodes, cx.options.to));
            }
        }
        routers.push(Router {
            name: name.to_owned(),
            namespace: resource.namespace.clone(),
            rules,
        });
    }
    routers
}
