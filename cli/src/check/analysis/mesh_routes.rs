//! The VirtualServices and DestinationRules beside a split.

use meshpack_sdk::config::Node;
use meshpack_sdk::matching::TextMatch;

use super::super::code::OTHER_NAMESPACE;
use super::super::file::Other;
use super::super::finding::Finding;
use super::attachment::Attachment;
use super::part::Part;
use super::routes::{Destination, Routes};
use super::{Landscape, tree};
use crate::filters::Filter;
use crate::yaml::Place;

/// The routes for the hosts of a split; none where the files have none.
pub(super) fn of(
    split: &Node,
    namespace: Option<&str>,
    header: &str,
    landscape: &Landscape<'_, '_>,
) -> Option<Routes> {
    let hosts = tree::texts(tree::get(tree::get(split, "match"), "hosts"));
    let services: Vec<_> = landscape
        .others
        .iter()
        .filter(|other| kind(other) == "VirtualService")
        .filter(|service| {
            let concerned = hosts_of(service)
                .flat_map(|host| names(host, namespace_of(service)))
                .any(|name| hosts.iter().any(|host| matches(host, &name)));
            // A split for all hosts is for those whose routes know its header.
            let known = hosts.is_empty() && reads(service, header);
            (concerned || known) && applies(service, namespace, landscape.root)
        })
        .collect();
    if services.is_empty() {
        return None;
    }
    let mut routes = Routes {
        from: services
            .iter()
            .map(|service| format!("VirtualService {}", name_of(service)))
            .collect::<Vec<_>>()
            .join(" and "),
        ..Routes::default()
    };
    for service in services {
        add(service, header, landscape, &mut routes);
    }
    Some(routes)
}

fn add(service: &Other<'_>, header: &str, landscape: &Landscape<'_, '_>, routes: &mut Routes) {
    let entries = service.document.at(&["spec", "http"]);
    for entry in entries.into_iter().flat_map(Place::items) {
        if entry.get("delegate").is_some() {
            routes.otherwise = true;
            continue;
        }
        let destinations: Vec<_> = entry
            .get("route")
            .into_iter()
            .flat_map(Place::items)
            .filter_map(|route| route.get("destination"))
            .filter_map(|place| destination(place, namespace_of(service), landscape))
            .collect();
        let matches: Vec<_> = entry
            .get("match")
            .into_iter()
            .flat_map(Place::items)
            .collect();
        // More than one destination is a split of Istio's own, which is nothing to judge.
        let one = match destinations.as_slice() {
            [one] => Some(one),
            _ => None,
        };
        let mut default = matches.is_empty();
        for wanted in matches {
            let Some(value) = header_of(wanted, header) else {
                // A route for part of the requests is no default of them all.
                default |= wanted.entries().all(|(key, _)| key == "name");
                continue;
            };
            match (value.get("exact").and_then(Place::text), one) {
                (Some(value), Some(one)) => {
                    routes
                        .by_value
                        .entry(value.to_owned())
                        .or_insert_with(|| one.clone());
                }
                _ => routes.otherwise = true,
            }
        }
        if default && let Some(one) = one {
            routes.default.push(one.clone());
        }
    }
}

/// A `destination`, and whether its subset is defined where its rules are known.
fn destination(
    place: Place<'_>,
    namespace: &str,
    landscape: &Landscape<'_, '_>,
) -> Option<Destination> {
    let host = place.get("host").and_then(Place::text)?;
    let Some(subset) = place.get("subset").and_then(Place::text) else {
        return Some(Destination {
            name: host.to_owned(),
            said: format!("all of {host}"),
            missing: None,
        });
    };
    let wanted = names(host, namespace);
    let rules = landscape.others.iter().filter(|other| {
        let rule = other.document.at(&["spec", "host"]).and_then(Place::text);
        kind(other) == "DestinationRule"
            && rule.is_some_and(|rule| {
                names(rule, namespace_of(other)).last() == wanted.last()
                    || (rule.starts_with('*') && matches(rule, wanted.last().map_or("", |n| n)))
            })
    });
    let mut known = None;
    for rule in rules {
        let subsets = rule.document.at(&["spec", "subsets"]);
        let subsets = subsets.into_iter().flat_map(Place::items);
        let subsets = subsets.filter_map(|subset| subset.get("name")?.text());
        known.get_or_insert_with(Vec::new).extend(subsets);
    }
    let missing =
        known
            .filter(|known| !known.contains(&subset))
            .map(|known| match known.as_slice() {
                [] => format!("no DestinationRule of {host} has subsets"),
                known => format!("the subsets of {host} are {}", known.join(", ")),
            });
    Some(Destination {
        name: format!("{host}|{subset}"),
        said: format!("subset {subset} of {host}"),
        missing,
    })
}

/// Gateways whose routes read the header, and which no plugin with this split is for.
pub(super) fn look_for_gateways(
    part: &Part<'_, '_>,
    attachment: &Attachment<'_>,
    header: &str,
    landscape: &Landscape<'_, '_>,
    findings: &mut Vec<Finding>,
) {
    if attachment.names_gateway() || attachment.namespace == landscape.root {
        return;
    }
    let at_gateway = landscape.plugins.iter().any(|plugin| {
        let splits = plugin
            .parts
            .iter()
            .any(|part| part.filter == Filter::CanarySplit);
        let there = plugin
            .attachment
            .as_ref()
            .is_some_and(|other| other.names_gateway() || other.namespace != attachment.namespace);
        splits && there
    });
    if at_gateway {
        return;
    }
    for service in landscape.others {
        if kind(service) != "VirtualService"
            || namespace_of(service) != attachment.namespace
            || !reads(service, header)
        {
            continue;
        }
        let gateways = service.document.at(&["spec", "gateways"]);
        let gateways = gateways.into_iter().flat_map(Place::items);
        if let Some(gateway) = gateways
            .filter_map(Place::text)
            .find(|name| *name != "mesh")
        {
            findings.push(part.finding(
                &OTHER_NAMESPACE,
                "splits",
                format!(
                    "VirtualService {} routes by {header} at gateway {gateway} too, and no plugin here is for a gateway",
                    name_of(service)
                ),
            ));
        }
    }
}

/// Whether the plugin's proxies see a VirtualService: those of its namespace see what is
/// exported, which is everything unless it says otherwise.
fn applies(service: &Other<'_>, namespace: Option<&str>, root: &str) -> bool {
    let private = service
        .document
        .at(&["spec", "exportTo"])
        .is_some_and(|list| list.items().filter_map(Place::text).all(|to| to == "."));
    let own = namespace.is_none_or(|own| own == namespace_of(service) || own == root);
    own || !private
}

fn reads(service: &Other<'_>, header: &str) -> bool {
    let entries = service.document.at(&["spec", "http"]);
    entries
        .into_iter()
        .flat_map(Place::items)
        .flat_map(|entry| entry.get("match").into_iter().flat_map(Place::items))
        .any(|wanted| header_of(wanted, header).is_some())
}

/// The condition on the header; names of headers have no case.
fn header_of<'a>(wanted: Place<'a>, header: &str) -> Option<Place<'a>> {
    let headers = wanted.get("headers")?;
    headers
        .entries()
        .find(|(name, _)| name.eq_ignore_ascii_case(header))
        .map(|(_, value)| value)
}

fn kind<'a>(other: &Other<'a>) -> &'a str {
    other
        .document
        .get("kind")
        .and_then(Place::text)
        .unwrap_or_default()
}

fn name_of<'a>(other: &Other<'a>) -> &'a str {
    let name = other.document.at(&["metadata", "name"]);
    name.and_then(Place::text).unwrap_or_default()
}

fn namespace_of<'a>(other: &Other<'a>) -> &'a str {
    let namespace = other.document.at(&["metadata", "namespace"]);
    namespace.and_then(Place::text).unwrap_or("default")
}

fn hosts_of<'a>(service: &Other<'a>) -> impl Iterator<Item = &'a str> {
    let hosts = service.document.at(&["spec", "hosts"]);
    hosts
        .into_iter()
        .flat_map(Place::items)
        .filter_map(Place::text)
}

/// What a service is called by its callers; the full name is last.
fn names(host: &str, namespace: &str) -> Vec<String> {
    let host = host.to_ascii_lowercase();
    let parts: Vec<&str> = host.split('.').collect();
    let (name, namespace) = match parts.as_slice() {
        [name] => (*name, namespace),
        [name, space] | [name, space, "svc"] => (*name, *space),
        [name, space, "svc", "cluster", "local"] => (*name, *space),
        _ => return vec![host],
    };
    if host.starts_with('*') {
        return vec![host];
    }
    vec![
        name.to_owned(),
        format!("{name}.{namespace}"),
        format!("{name}.{namespace}.svc"),
        // What has one dot may be a name of the internet as well.
        host.clone(),
        format!("{name}.{namespace}.svc.cluster.local"),
    ]
}

fn matches(pattern: &str, name: &str) -> bool {
    TextMatch::parse(&pattern.to_ascii_lowercase()).matches(name.as_bytes())
}
