//! TrafficSplit (SMI).

use meshpack_sdk::config::Node;

use super::super::Resource;
use super::service_profile::quantity;
use crate::translate::ledger::Field;
use crate::translate::model::Mesh;
use crate::translate::model::traffic::{
    Arm, Destination, Match, PathMatch, Retry, Routes, Rule, TextMatch,
};

/// An HTTPRouteGroup: requests of which a split may be.
pub(super) struct Group {
    name: String,
    namespace: String,
    matches: Vec<Match>,
}

pub(super) fn read_groups(resources: &[&Resource<'_>]) -> Vec<Group> {
    let group = |resource: &&Resource<'_>| {
        let spec = resource.field.get("spec");
        // In the first version there was no spec.
        let written = spec.as_ref().unwrap_or(&resource.field).list("matches");
        Group {
            name: resource.name.clone(),
            namespace: resource.namespace.clone(),
            matches: written.iter().map(read_match).collect(),
        }
    };
    resources.iter().map(group).collect()
}

fn read_match(field: &Field<'_>) -> Match {
    field.skip("name");
    let mut one = Match::default();
    let path = field.text_at("pathRegex").filter(|path| *path != ".*");
    one.path = path.map(|path| PathMatch::Regex(path.to_owned()));
    let methods = field.list("methods");
    let methods: Vec<&str> = methods.iter().filter_map(Field::text).collect();
    if !methods.contains(&"*") {
        one.methods = methods.into_iter().map(str::to_owned).collect();
    }
    if let Some(headers) = field.get("headers") {
        // A list of objects, or an object in earlier versions.
        let objects = match headers.node() {
            Node::List(_) => headers.items(),
            _ => vec![headers],
        };
        for (name, value) in objects.iter().flat_map(Field::entries) {
            let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let value = value.text().map(|value| match plain(value) {
                true => TextMatch::Exact(value.to_owned()),
                false => TextMatch::Regex(value.to_owned()),
            });
            one.headers
                .extend(value.map(|value| (name.to_ascii_lowercase(), value)));
        }
    }
    one
}

/// The requests that a split is for; none for all of them.
fn read_matches(spec: &Field<'_>, namespace: &str, groups: &[Group]) -> Option<Vec<Match>> {
    let references = spec.list("matches");
    if references.is_empty() {
        return None;
    }
    let mut found = Vec::new();
    for reference in &references {
        if let Some(kind) = reference.text_at("kind")
            && kind != "HTTPRouteGroup"
        {
            reference.lost("is not an HTTPRouteGroup: its requests are not split");
            continue;
        }
        let name = reference.text_at("name").unwrap_or_default();
        let group = groups
            .iter()
            .find(|group| group.name == name && group.namespace == namespace);
        match group {
            Some(group) => found.extend(group.matches.iter().cloned()),
            None => reference.lost(format!("names the HTTPRouteGroup {name}, which is not among these files: its requests are not split")),
        }
    }
    Some(found)
}

/// Adds the split to the routes of its service, or routes for it.
pub(super) fn read(resource: &Resource<'_>, groups: &[Group], mesh: &mut Mesh) {
    let Some(spec) = resource.field.get("spec") else {
        return;
    };
    let Some(service) = spec.text_at("service") else {
        return;
    };
    let matches = read_matches(&spec, &resource.namespace, groups);
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
    let whole = matches.is_none();
    if let (Some(routes), true) = (known, whole) {
        for rule in &mut routes.rules {
            rule.arms.clone_from(&arms);
        }
        return;
    }
    let rule = |matches: Vec<Match>, arms: Vec<Arm>, group: usize| Rule {
        matches,
        delegated: None,
        delegate: None,
        arms,
        retry: Retry::Off,
        timeout: None,
        kept: Vec::new(),
        group,
        spot: resource.field.spot(),
    };
    let mut rules = Vec::new();
    match matches {
        None => rules.push(rule(Vec::new(), arms, 0)),
        Some(matches) => {
            if !matches.is_empty() {
                rules.push(rule(matches, arms, 0));
            }
            // Other requests go to the service itself.
            let own = Arm {
                to: Destination {
                    host: service.to_owned(),
                    subset: None,
                    port: None,
                },
                weight: 1.0,
                kept: Vec::new(),
            };
            rules.push(rule(Vec::new(), vec![own], 1));
        }
    }
    mesh.routes.push(Routes {
        name: service.to_owned(),
        namespace: resource.namespace.clone(),
        hosts: vec![service.to_owned()],
        rules,
        ..Routes::default()
    });
}
