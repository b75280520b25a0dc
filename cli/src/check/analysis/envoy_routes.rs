//! The routes of the connection manager that a split runs in.

use super::super::carried::either;
use super::routes::{Destination, Routes};
use crate::yaml::Place;

/// The routes beside a plugin in a bootstrap; none where a control plane sends them.
pub(super) fn of(bootstrap: Place<'_>, plugin: Place<'_>, header: &str) -> Option<Routes> {
    let manager = manager_of(bootstrap, plugin)?;
    let config = either(manager, "route_config", "routeConfig")?;
    let resources = either(bootstrap, "static_resources", "staticResources");
    let clusters = resources.and_then(|resources| resources.get("clusters"));
    let clusters: Vec<String> = clusters
        .into_iter()
        .flat_map(Place::items)
        .filter_map(|cluster| cluster.get("name")?.text().map(str::to_owned))
        .collect();
    let dynamic = either(bootstrap, "dynamic_resources", "dynamicResources")
        .is_some_and(|resources| either(resources, "cds_config", "cdsConfig").is_some());
    let mut routes = Routes {
        from: "this bootstrap".to_owned(),
        ..Routes::default()
    };
    let hosts = either(config, "virtual_hosts", "virtualHosts");
    let entries = hosts
        .into_iter()
        .flat_map(Place::items)
        .flat_map(|host| host.get("routes").into_iter().flat_map(Place::items));
    for entry in entries {
        let Some(route) = entry.get("route") else {
            continue;
        };
        let by_header = either(route, "cluster_header", "clusterHeader").and_then(Place::text);
        if by_header.is_some_and(|name| name.eq_ignore_ascii_case(header)) {
            if dynamic {
                routes.otherwise = true;
            } else {
                routes.clusters = Some(clusters.clone());
            }
            continue;
        }
        let destination = route
            .get("cluster")
            .and_then(Place::text)
            .map(|name| Destination {
                name: name.to_owned(),
                said: format!("cluster {name}"),
                missing: None,
            });
        let condition = entry
            .at(&["match", "headers"])
            .into_iter()
            .flat_map(Place::items)
            .find(|matcher| {
                let name = matcher.get("name").and_then(Place::text);
                name.is_some_and(|name| name.eq_ignore_ascii_case(header))
            });
        match (condition, destination) {
            (Some(condition), Some(destination)) => match exact(condition) {
                Some(value) => {
                    routes
                        .by_value
                        .entry(value.to_owned())
                        .or_insert(destination);
                }
                None => routes.otherwise = true,
            },
            (Some(_), None) => routes.otherwise = true,
            (None, Some(destination)) if entry.at(&["match", "headers"]).is_none() => {
                routes.default.push(destination);
            }
            (None, _) => {}
        }
    }
    // Other hosts have default routes too: those that lead nowhere near an arm are theirs.
    let known: Vec<_> = routes.by_value.values().cloned().collect();
    routes.default.retain(|default| known.contains(default));
    Some(routes)
}

fn exact<'a>(matcher: Place<'a>) -> Option<&'a str> {
    let text = either(matcher, "string_match", "stringMatch").and_then(|text| text.get("exact"));
    let old = either(matcher, "exact_match", "exactMatch");
    text.or(old).and_then(Place::text)
}

/// The nearest object around the plugin that has `http_filters`.
fn manager_of<'a>(place: Place<'a>, plugin: Place<'a>) -> Option<Place<'a>> {
    let below = place
        .entries()
        .map(|(_, child)| child)
        .chain(place.items())
        .find_map(|child| manager_of(child, plugin));
    if below.is_some() {
        return below;
    }
    let filters = either(place, "http_filters", "httpFilters")?;
    holds(filters, plugin).then_some(place)
}

fn holds(place: Place<'_>, wanted: Place<'_>) -> bool {
    std::ptr::eq(place.node(), wanted.node())
        || place.entries().any(|(_, child)| holds(child, wanted))
        || place.items().any(|child| holds(child, wanted))
}
