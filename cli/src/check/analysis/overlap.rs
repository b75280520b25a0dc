//! Two plugins that do the same on one proxy.

use super::super::code::TWICE;
use super::super::finding::Finding;
use super::attachment::Attachment;
use super::part::Part;
use super::{Landscape, Plugin, tree};
use crate::filters::Filter;

pub(super) fn look(landscape: &Landscape<'_, '_>, findings: &mut Vec<Finding>) {
    let plugins: Vec<_> = landscape
        .plugins
        .iter()
        .filter_map(|plugin| Some((plugin, plugin.attachment.as_ref()?)))
        .collect();
    for (number, (later, place)) in plugins.iter().enumerate() {
        let twin = plugins.iter().take(number).find_map(|(earlier, other)| {
            let meet = meet(place, other, landscape.root);
            let part = meet.then(|| common(earlier, later)).flatten()?;
            Some((earlier, other, part))
        });
        if let Some((earlier, other, what)) = twin {
            findings.push(place.finding(
                later.checked,
                &TWICE,
                "metadata.name",
                format!(
                    "{}/{}: a proxy that loads it loads {}/{} ({}) too, and both {what}",
                    place.namespace, place.name, other.namespace, other.name, earlier.checked.file,
                ),
            ));
        }
    }
}

/// Whether some proxy surely loads both on one side of a call. Selectors of which none
/// holds the other may or may not meet.
fn meet(one: &Attachment<'_>, other: &Attachment<'_>, root: &str) -> bool {
    let spaces =
        one.namespace == other.namespace || one.namespace == root || other.namespace == root;
    let sides = one.client && other.client || one.server && other.server;
    let workloads = if one.targets.is_empty() && other.targets.is_empty() {
        one.selects(&other.labels) || other.selects(&one.labels)
    } else {
        one.targets == other.targets && one.namespace == other.namespace
    };
    // A gateway in another namespace than its plugin's has not been looked for.
    let gateways = one.names_gateway() == other.names_gateway();
    spaces && sides && workloads && gateways
}

/// What both do that must be done once.
fn common(one: &Plugin<'_, '_>, other: &Plugin<'_, '_>) -> Option<String> {
    one.parts.iter().find_map(|part| {
        let twin = other.parts.iter().find(|twin| twin.filter == part.filter)?;
        same(part, twin)
    })
}

fn same(one: &Part<'_, '_>, other: &Part<'_, '_>) -> Option<String> {
    let names = |part: &Part<'_, '_>, list: &str| -> Vec<String> {
        let entries = tree::items(tree::get(part.node, list));
        entries
            .iter()
            .filter_map(|entry| tree::text(tree::get(entry, "name")).map(str::to_owned))
            .collect()
    };
    let shared = |list, what: &str| {
        let known = names(one, list);
        let name = names(other, list)
            .into_iter()
            .find(|name| known.contains(name))?;
        Some(format!("{what} {name}"))
    };
    match one.filter {
        Filter::CanarySplit => {
            let header = |part: &Part<'_, '_>| {
                let header = tree::text(tree::get(part.node, "header"));
                header
                    .unwrap_or(meshpack_canary_split::config::DEFAULT_HEADER)
                    .to_ascii_lowercase()
            };
            (header(one) == header(other)).then(|| format!("set the header {}", header(one)))
        }
        Filter::RetryBudget => shared("budgets", "have a budget").or_else(|| {
            let server = |part: &Part<'_, '_>| tree::is_given(tree::get(part.node, "server"));
            (server(one) && server(other)).then(|| "limit what callers retry".to_owned())
        }),
        Filter::Telemetry => {
            let golden = |part: &Part<'_, '_>| {
                let enabled = tree::get(tree::get(part.node, "golden"), "enabled");
                *enabled != meshpack_sdk::config::Node::Bool(false)
            };
            if golden(one) && golden(other) {
                return Some("count requests as meshpack_requests_total".to_owned());
            }
            shared("metrics", "record")
        }
        // Policies add up: two plugins with different ones are as good as one.
        Filter::AuthzPolicy => {
            let policies = |part: &Part<'_, '_>| -> Vec<(String, String)> {
                let list = tree::items(tree::get(part.node, "policies"));
                let text = |policy, key| {
                    let text = tree::text(tree::get(tree::get(policy, "metadata"), key));
                    text.unwrap_or_default().to_owned()
                };
                list.iter()
                    .map(|policy| (text(policy, "namespace"), text(policy, "name")))
                    .collect()
            };
            let known = policies(one);
            let twin = policies(other)
                .into_iter()
                .find(|policy| known.contains(policy));
            twin.map(|(namespace, name)| format!("have the policy {namespace}/{name}"))
        }
        Filter::Meshpack => None,
    }
}
