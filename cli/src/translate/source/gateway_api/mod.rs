//! Gateway API: HTTPRoute (also as attached to services, GAMMA) and
//! XBackendTrafficPolicy.

pub(super) mod http_route;
pub(super) mod matching;
pub(in crate::translate) mod precedence;

use super::{Context, Resource};
use crate::translate::ledger::Field;
use crate::translate::model::Mesh;
use crate::translate::model::attachment::{GATEWAY_NAME, GatewayPods};
use crate::translate::model::traffic::{Backend, Budget, Retry, Rule};
use crate::translate::options::Target;

pub(super) fn read(resources: &[&Resource<'_>], cx: &Context<'_>, mesh: &mut Mesh) {
    // Of equally particular routes the oldest decides, then the first by name.
    let mut resources = resources.to_vec();
    resources.sort_by_key(|resource| {
        let created = resource.field.at(&["metadata", "creationTimestamp"]);
        let created = created.and_then(|created| created.raw_text().ok());
        (
            created.unwrap_or_default().to_owned(),
            resource.namespace.clone(),
            resource.name.clone(),
        )
    });
    for resource in resources {
        match resource.kind.as_str() {
            "HTTPRoute" | "GRPCRoute" => {
                if let Some(routes) = http_route::read(resource, cx) {
                    http_route::add(mesh, routes);
                }
            }
            "Gateway" => {
                if cx.options.to == Target::Wasmplugin {
                    let name = format!("{}/{}", resource.namespace, resource.name);
                    cx.ledger.stays(format!("Gateway {name}"));
                }
                read_gateway(resource, mesh);
            }
            _ => read_policy(resource, mesh),
        }
    }
    report_idle_budgets(cx, mesh);
}

/// A Gateway stays as it is; its pods carry its name.
fn read_gateway(resource: &Resource<'_>, mesh: &mut Mesh) {
    resource.field.take();
    mesh.layout.add_gateway(GatewayPods {
        namespace: Some(resource.namespace.clone()),
        labels: vec![(GATEWAY_NAME.to_owned(), resource.name.clone())],
    });
}

/// A budget for services whose requests are never retried bounds nothing.
fn report_idle_budgets(cx: &Context<'_>, mesh: &Mesh) {
    for backend in mesh
        .backends
        .iter()
        .filter(|backend| backend.budget.is_some())
    {
        let rules = mesh.routes.iter().flat_map(|routes| &routes.rules);
        let here: Vec<&Rule> = rules
            .filter(|rule| rule.arms.iter().any(|arm| arm.to.host == backend.host))
            .collect();
        let retries = here.iter().any(|rule| matches!(rule.retry, Retry::On(_)));
        if let (Some(rule), false) = (here.first(), retries) {
            cx.ledger.note(
                &rule.spot,
                format!(
                    "{} has a retryConstraint, and no route retries that it could bound",
                    backend.host
                ),
            );
        }
    }
}

/// XBackendTrafficPolicy: a budget for the services it targets.
fn read_policy(resource: &Resource<'_>, mesh: &mut Mesh) {
    let Some(spec) = resource.field.get("spec") else {
        return;
    };
    spec.lose(
        "sessionPersistence",
        "is between a client and one endpoint; --sticky-by keeps a client on its arm",
    );
    let budget = spec
        .get("retryConstraint")
        .map(|constraint| read_constraint(&constraint));
    for target in spec.list("targetRefs") {
        let kind = target.text_at("kind").unwrap_or("Service");
        target.skip("group");
        if kind != "Service" {
            target.lost(format!("a {kind} is not a service behind a route"));
            continue;
        }
        let Some(name) = target.text_at("name") else {
            continue;
        };
        let host = http_route::host(name, &resource.namespace, &resource.namespace);
        mesh.backends.push(Backend {
            budget: budget.clone(),
            ..Backend::new(host, &resource.namespace, None)
        });
    }
}

fn read_constraint(field: &Field<'_>) -> Budget {
    let default = Budget::default();
    let percent = field
        .at(&["budget", "percent"])
        .and_then(|value| value.number());
    let interval = field
        .at(&["budget", "interval"])
        .and_then(|value| value.duration());
    let count = field
        .at(&["minRetryRate", "count"])
        .and_then(|value| value.integer());
    let per = field
        .at(&["minRetryRate", "interval"])
        .and_then(|value| value.duration());
    Budget {
        percent: percent.unwrap_or(default.percent),
        interval: interval.unwrap_or(default.interval),
        floor_count: count
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(default.floor_count),
        floor_interval: per.unwrap_or(default.floor_interval),
        // GEP-3388: "MUST return a 503 response to the client".
        unavailable_when_exhausted: true,
    }
}
