//! Whether the proxies that are to run a plugin load it, on the side where it acts.

use super::super::code::{BOTH_SIDES, NEVER_RUNS};
use super::super::finding::Finding;
use super::attachment::Attachment;
use super::part::Part;
use super::{Landscape, Plugin, tree};
use crate::filters::Filter;
use crate::yaml::Place;

/// On which side of a call a part acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Where the choice of a destination is made.
    Caller,
    /// Where the call arrives.
    Called,
    /// Anywhere.
    Any,
}

fn side(part: &Part<'_, '_>) -> Side {
    let given = |key| tree::is_given(tree::get(part.node, key));
    match part.filter {
        Filter::AuthzPolicy => Side::Called,
        Filter::CanarySplit => Side::Caller,
        Filter::RetryBudget if given("budgets") && given("server") => Side::Any,
        Filter::RetryBudget if given("budgets") => Side::Caller,
        Filter::RetryBudget if given("server") => Side::Called,
        Filter::RetryBudget | Filter::Telemetry | Filter::Meshpack => Side::Any,
    }
}

pub(super) fn look(
    plugin: &Plugin<'_, '_>,
    landscape: &Landscape<'_, '_>,
    findings: &mut Vec<Finding>,
) {
    let Some(attachment) = &plugin.attachment else {
        return;
    };
    let mut say = |code, message: String| {
        findings.push(attachment.finding(plugin.checked, code, "spec.match", message));
    };
    if let Some(gateway) = gateway(attachment, landscape) {
        if !attachment.client {
            say(
                &NEVER_RUNS,
                format!("is SERVER alone, but {gateway} is a gateway: write mode: CLIENT"),
            );
        }
        return;
    }
    for part in &plugin.parts {
        let filter = part.filter;
        match (side(part), attachment.client, attachment.server) {
            (Side::Caller, false, true) => say(
                &NEVER_RUNS,
                format!("is SERVER alone, but {filter} acts where calls are made: write mode: CLIENT"),
            ),
            (Side::Called, true, false) => say(
                &NEVER_RUNS,
                format!("is CLIENT alone, but {filter} is about calls that arrive: write mode: SERVER"),
            ),
            (Side::Caller, true, true) => say(
                &BOTH_SIDES,
                format!("is for both sides, but {filter} acts where calls are made: write mode: CLIENT"),
            ),
            (Side::Called, true, true) if filter == Filter::RetryBudget => say(
                &BOTH_SIDES,
                "is for both sides, but retry_budget's server is about calls that arrive: write mode: SERVER".to_owned(),
            ),
            (Side::Called, true, true) => say(
                &BOTH_SIDES,
                format!("is for both sides, but {filter} is about calls that arrive: the policies judge calls to others too. Write mode: SERVER"),
            ),
            _ => {}
        }
    }
}

/// The gateway that the plugin is for, as a person would name it.
fn gateway(attachment: &Attachment<'_>, landscape: &Landscape<'_, '_>) -> Option<String> {
    if let Some((_, name)) = attachment
        .targets
        .iter()
        .find(|(kind, _)| *kind == "Gateway")
    {
        return Some(name.to_string());
    }
    if attachment.labels.is_empty() {
        return None;
    }
    if attachment.names_gateway() {
        let labels: Vec<_> = attachment
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        return Some(labels.join(","));
    }
    // The labels of the workload that a Gateway is for.
    landscape.others.iter().find_map(|other| {
        let text = |path: &[&str]| other.document.at(path).and_then(Place::text);
        if text(&["kind"]) != Some("Gateway") {
            return None;
        }
        let selector: Vec<_> = other
            .document
            .at(&["spec", "selector"])
            .into_iter()
            .flat_map(Place::entries)
            .filter_map(|(key, value)| Some((key, value.text()?)))
            .collect();
        let selected = !selector.is_empty() && attachment.selects(&selector);
        selected.then(|| text(&["metadata", "name"]).unwrap_or_default().to_owned())
    })
}
