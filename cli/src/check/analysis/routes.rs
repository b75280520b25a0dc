//! Splits against the routes that read their steering header.

use std::collections::BTreeMap;

use meshpack_canary_split::config::DEFAULT_HEADER;
use meshpack_sdk::config::Node;

use super::super::code::{DEFAULT_ROUTE, NO_ROUTE, NO_SUBSET};
use super::super::file::Holder;
use super::super::finding::Finding;
use super::part::Part;
use super::{Landscape, Plugin, envoy_routes, mesh_routes, tree};
use crate::filters::Filter;

/// What the routes for a split's hosts do.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Where requests go that carry a value of the steering header.
    pub(super) by_value: BTreeMap<String, Destination>,
    /// Where all others go.
    pub(super) default: Vec<Destination>,
    /// The header's value is the name of a cluster, of these; none if they come from
    /// elsewhere.
    pub(super) clusters: Option<Vec<String>>,
    /// Some route reads the header in a way that is not looked into.
    pub(super) otherwise: bool,
    /// What holds them, for messages.
    pub(super) from: String,
}

/// A service's subset, or a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) name: String,
    /// As messages call it.
    pub(super) said: String,
    /// What is wrong with it: it is not defined.
    pub(super) missing: Option<String>,
}

pub(super) fn look(
    part: &Part<'_, '_>,
    plugin: &Plugin<'_, '_>,
    landscape: &Landscape<'_, '_>,
    findings: &mut Vec<Finding>,
) {
    if part.filter != Filter::CanarySplit {
        return;
    }
    let header = tree::text(tree::get(part.node, "header")).unwrap_or(DEFAULT_HEADER);
    for (number, split) in tree::items(tree::get(part.node, "splits"))
        .iter()
        .enumerate()
    {
        let routes = match plugin.checked.holder {
            Holder::Envoy {
                document,
                plugin,
                bootstrap: true,
            } => envoy_routes::of(document, plugin, header),
            Holder::Envoy { .. } | Holder::Gateway { .. } => None,
            Holder::Resource { .. } | Holder::Alone => {
                let namespace = plugin.attachment.as_ref().map(|a| a.namespace);
                mesh_routes::of(split, namespace, header, landscape)
            }
        };
        if let Some(routes) = routes {
            judge(
                part,
                &format!("splits[{number}]"),
                split,
                header,
                &routes,
                findings,
            );
        }
    }
    if let Some(attachment) = &plugin.attachment {
        mesh_routes::look_for_gateways(part, attachment, header, landscape, findings);
    }
}

fn judge(
    part: &Part<'_, '_>,
    at: &str,
    split: &Node,
    header: &str,
    routes: &Routes,
    findings: &mut Vec<Finding>,
) {
    let arms = tree::items(tree::get(split, "arms"));
    let values: Vec<&str> = arms
        .iter()
        .filter_map(|arm| tree::text(tree::get(arm, "value")))
        .collect();
    let from = &routes.from;
    for (number, value) in values.iter().enumerate() {
        let mut say = |code, message: String| {
            findings.push(part.finding(code, &format!("{at}.arms[{number}].value"), message));
        };
        match (routes.by_value.get(*value), &routes.clusters) {
            (Some(destination), _) => {
                if let Some(missing) = &destination.missing {
                    say(
                        &NO_SUBSET,
                        format!("is routed by {from} to {}, but {missing}", destination.said),
                    );
                }
            }
            (None, Some(clusters)) => {
                if !clusters.iter().any(|cluster| cluster == value) {
                    say(
                        &NO_SUBSET,
                        format!(
                            "{value:?} is no cluster of {from}; its clusters are {}",
                            clusters.join(", ")
                        ),
                    );
                }
            }
            // The first arm is what the default route is for.
            (None, None) if number > 0 && !routes.otherwise => say(
                &NO_ROUTE,
                format!("no route of {from} matches {header}: {value}"),
            ),
            (None, None) => {}
        }
    }
    let Some(first) = values.first() else {
        return;
    };
    let wanted = routes.by_value.get(*first);
    for default in &routes.default {
        let mut say = |code, message: String| {
            findings.push(part.finding(code, &format!("{at}.arms[0].value"), message));
        };
        if let Some(missing) = &default.missing {
            say(
                &NO_SUBSET,
                format!(
                    "{first}: the default route of {from} leads to {}, but {missing}",
                    default.said
                ),
            );
            continue;
        }
        let another = routes
            .by_value
            .iter()
            .find(|(value, destination)| {
                *destination == default
                    && value.as_str() != *first
                    && values.contains(&value.as_str())
            })
            .map(|(value, _)| value);
        match (wanted, another) {
            (Some(wanted), _) if wanted == default => {}
            (_, Some(another)) => say(
                &DEFAULT_ROUTE,
                format!(
                    "{first} is the first arm, but the default route of {from} leads to {}, which is arm {another}",
                    default.said
                ),
            ),
            (Some(wanted), None) => say(
                &DEFAULT_ROUTE,
                format!(
                    "{first} is the first arm and is routed to {}, but the default route of {from} leads to {}",
                    wanted.said, default.said
                ),
            ),
            (None, None) => {}
        }
    }
}
