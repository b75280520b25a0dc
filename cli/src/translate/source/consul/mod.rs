//! Consul: service-splitter, service-router, service-resolver's subsets and
//! service-intentions, as JSON (`consul config read`) or as custom resources.

mod intentions;
mod resolver;
mod router;

use meshpack_sdk::config::Node;

use super::{Context, Resource};
use crate::translate::ledger::Field;
use crate::translate::model::Mesh;
use crate::translate::model::traffic::{Arm, Destination, Retry, Routes, Rule};

pub(super) fn read(resources: &[&Resource<'_>], cx: &Context<'_>, mesh: &mut Mesh) {
    let of = |kind: &str| -> Vec<Entry<'_>> {
        let of_kind = resources.iter().filter(|resource| resource.kind == kind);
        of_kind.map(|resource| Entry::new(resource)).collect()
    };
    let before = mesh.routes.len();
    let splitters: Vec<(String, Vec<Arm>)> = of("service-splitter")
        .iter()
        .map(|entry| (entry.name.clone(), splits(entry)))
        .collect();
    let routers = of("service-router");
    for router in &routers {
        mesh.routes.push(router::read(router, &splitters));
    }
    for splitter in of("service-splitter") {
        if routers.iter().any(|router| router.name == splitter.name) {
            continue;
        }
        mesh.routes.push(splitter.routes(vec![Rule {
            matches: Vec::new(),
            arms: arms_of(&splitter.name, None, &splitters),
            delegated: None,
            delegate: None,
            retry: Retry::Off,
            timeout: None,
            kept: Vec::new(),
            group: 0,
            spot: splitter.field.spot(),
        }]));
    }
    let root = mesh.layout.root.clone();
    let guards = intentions::read_all(&of("service-intentions"), cx, &root);
    mesh.guards.extend(guards);
    resolver::read_all(&of("service-resolver"), before, cx, mesh);
}

/// A config entry, in either of its spellings: `Splits` of the API, `splits` of
/// custom resources, `service_subset` of HCL written as JSON.
struct Entry<'a> {
    name: String,
    namespace: String,
    field: Field<'a>,
}

impl<'a> Entry<'a> {
    fn new(resource: &Resource<'a>) -> Self {
        let field = match resource.field.get("spec") {
            Some(spec) => spec,
            None => {
                for key in [
                    "Name",
                    "name",
                    "Kind",
                    "Meta",
                    "CreateIndex",
                    "ModifyIndex",
                    "Hash",
                ] {
                    resource.field.skip(key);
                }
                lose_tenancy(&resource.field);
                resource.field.clone()
            }
        };
        Self {
            name: resource.name.clone(),
            namespace: resource.namespace.clone(),
            field,
        }
    }

    fn routes(&self, rules: Vec<Rule>) -> Routes {
        Routes {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            hosts: vec![self.name.clone(), format!("{}.virtual.consul", self.name)],
            rules,
            ..Routes::default()
        }
    }
}

/// The value under a key, given in the API's spelling.
fn get<'a>(field: &Field<'a>, key: &str) -> Option<Field<'a>> {
    let mut camel = key.to_owned();
    // `HTTP` is `http`, `ServiceSubset` is `serviceSubset`.
    if key.chars().all(|c| c.is_ascii_uppercase()) {
        camel = camel.to_ascii_lowercase();
    } else if let Some(first) = camel.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let mut snake = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    // The API writes lists that are empty as null.
    field
        .any(&[key, &camel, &snake])
        .filter(|value| *value.node() != Node::Null)
}

/// Reports namespaces and partitions other than the one that everybody has.
fn lose_tenancy(field: &Field<'_>) {
    for key in ["Namespace", "Partition"] {
        if let Some(value) = get(field, key)
            && !matches!(value.text(), Some("default" | "" | "*"))
        {
            value.lost("Consul's namespaces and partitions have no counterpart: services are known by their names alone");
        }
    }
}

fn list<'a>(field: &Field<'a>, key: &str) -> Vec<Field<'a>> {
    get(field, key).map(|list| list.items()).unwrap_or_default()
}

fn text<'a>(field: &Field<'a>, key: &str) -> Option<&'a str> {
    get(field, key)?.text().filter(|text| !text.is_empty())
}

/// What is there under a key, unless it says nothing.
fn given<'a>(field: &Field<'a>, key: &str) -> Option<Field<'a>> {
    get(field, key).filter(|value| match value.node() {
        Node::Object(entries) => !entries.is_empty(),
        Node::List(items) => !items.is_empty(),
        Node::String(text) => !text.is_empty(),
        Node::Bool(value) => *value,
        _ => true,
    })
}

/// Reports what is there under a key, unless it says nothing.
fn lose(field: &Field<'_>, key: &str, reason: &str) {
    if let Some(value) = given(field, key) {
        value.lost(reason);
    }
}

/// The arms of a splitter.
fn splits(entry: &Entry<'_>) -> Vec<Arm> {
    let splits = list(&entry.field, "Splits");
    let arms = splits.iter().filter_map(|split| {
        for key in ["RequestHeaders", "ResponseHeaders"] {
            lose(
                split,
                key,
                "headers per split: the route of the arm can set them",
            );
        }
        lose_tenancy(split);
        Some(Arm {
            to: Destination {
                host: text(split, "Service").unwrap_or(&entry.name).to_owned(),
                subset: text(split, "ServiceSubset").map(str::to_owned),
                port: None,
            },
            weight: get(split, "Weight")?.number()?,
            kept: Vec::new(),
        })
    });
    arms.collect()
}

/// Where requests for a service go: a splitter applies behind a router too.
fn arms_of(service: &str, subset: Option<&str>, splitters: &[(String, Vec<Arm>)]) -> Vec<Arm> {
    let splitter = splitters.iter().find(|(name, _)| name == service);
    if let (Some((_, arms)), None) = (splitter, subset) {
        return arms.clone();
    }
    vec![Arm {
        to: Destination {
            host: service.to_owned(),
            subset: subset.map(str::to_owned),
            port: None,
        },
        weight: 1.0,
        kept: Vec::new(),
    }]
}
