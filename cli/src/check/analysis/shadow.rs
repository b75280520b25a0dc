//! Entries of a list where the first match wins, hidden by an earlier one.

use meshpack_sdk::config::Node;
use meshpack_sdk::matching::{PathTemplate, TextMatch};

use super::super::code::SHADOWED;
use super::super::finding::Finding;
use super::part::Part;
use super::tree;
use crate::filters::Filter;

pub(super) fn look(part: &Part<'_, '_>, findings: &mut Vec<Finding>) {
    match part.filter {
        Filter::CanarySplit => {
            let splits = tree::items(tree::get(part.node, "splits"));
            hidden(part, "splits", splits, findings);
            for (number, split) in splits.iter().enumerate() {
                let rules = tree::items(tree::get(split, "rules"));
                hidden(part, &format!("splits[{number}].rules"), rules, findings);
            }
        }
        Filter::RetryBudget => {
            let budgets = tree::items(tree::get(part.node, "budgets"));
            hidden(part, "budgets", budgets, findings);
        }
        Filter::AuthzPolicy | Filter::Telemetry | Filter::Meshpack => {}
    }
}

/// Bounds the pairs that are looked at in a long list.
const MOST: usize = 2_000;

fn hidden(part: &Part<'_, '_>, path: &str, entries: &[Node], findings: &mut Vec<Finding>) {
    let matches: Vec<&Node> = entries
        .iter()
        .take(MOST)
        .map(|entry| tree::get(entry, "match"))
        .collect();
    for (later, narrow) in matches.iter().enumerate() {
        let earlier = matches
            .iter()
            .take(later)
            .position(|wide| covers(wide, narrow));
        if let Some(earlier) = earlier {
            findings.push(part.finding(
                &SHADOWED,
                &format!("{path}[{later}]"),
                format!("takes only requests that {path}[{earlier}] has already taken"),
            ));
        }
    }
}

/// Whether every request of `narrow` is one of `wide`; in doubt it is not.
fn covers(wide: &Node, narrow: &Node) -> bool {
    let texts = |key, same: fn(&str, &str) -> bool| {
        let (wide, narrow) = (tree::get(wide, key), tree::get(narrow, key));
        if !tree::is_given(wide) {
            return true;
        }
        let (wide, narrow) = (tree::texts(wide), tree::texts(narrow));
        !narrow.is_empty()
            && narrow
                .iter()
                .all(|narrow| wide.iter().any(|wide| same(wide, narrow)))
    };
    let headers = tree::entries(tree::get(wide, "headers"))
        .iter()
        .all(|(name, value)| {
            tree::entries(tree::get(narrow, "headers"))
                .iter()
                .any(|(other, inner)| {
                    name.eq_ignore_ascii_case(other)
                        && matches!(
                            (tree::text(value), tree::text(inner)),
                            (Some(value), Some(inner)) if text_covers(value, inner)
                        )
                })
        });
    headers
        && texts("hosts", |wide, narrow| {
            text_covers(&wide.to_ascii_lowercase(), &narrow.to_ascii_lowercase())
        })
        && texts("paths", path_covers)
        && texts("methods", text_covers)
}

fn path_covers(wide: &str, narrow: &str) -> bool {
    if PathTemplate::is_template(wide) || PathTemplate::is_template(narrow) {
        // `*` takes everything, a template whatever else is equal to it.
        return wide == narrow || wide == "*";
    }
    text_covers(wide, narrow)
}

fn text_covers(wide: &str, narrow: &str) -> bool {
    match (TextMatch::parse(wide), TextMatch::parse(narrow)) {
        (TextMatch::Present, _) => true,
        (TextMatch::Prefix(wide), TextMatch::Prefix(text) | TextMatch::Exact(text)) => {
            text.starts_with(&*wide)
        }
        (TextMatch::Suffix(wide), TextMatch::Suffix(text) | TextMatch::Exact(text)) => {
            text.ends_with(&*wide)
        }
        (TextMatch::Exact(wide), TextMatch::Exact(text)) => wide == text,
        _ => false,
    }
}
