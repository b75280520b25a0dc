//! Patterns that no request has, though the filter takes them.

use meshpack_sdk::config::Node;
use meshpack_sdk::matching::PathTemplate;

use super::super::code::{METHOD_CASE, PATTERN};
use super::super::finding::Finding;
use super::part::Part;
use super::tree;
use crate::filters::Filter;

pub(super) fn look(part: &Part<'_, '_>, findings: &mut Vec<Finding>) {
    match part.filter {
        Filter::CanarySplit => {
            for (number, split) in tree::items(tree::get(part.node, "splits"))
                .iter()
                .enumerate()
            {
                let at = format!("splits[{number}]");
                of_match(
                    part,
                    tree::get(split, "match"),
                    &format!("{at}.match"),
                    findings,
                );
                let rules = tree::items(tree::get(split, "rules"));
                for (number, rule) in rules.iter().enumerate() {
                    let at = format!("{at}.rules[{number}].match");
                    of_match(part, tree::get(rule, "match"), &at, findings);
                }
            }
        }
        Filter::RetryBudget => {
            let budgets = tree::items(tree::get(part.node, "budgets"));
            for (number, budget) in budgets.iter().enumerate() {
                let at = format!("budgets[{number}].match");
                of_match(part, tree::get(budget, "match"), &at, findings);
            }
        }
        Filter::AuthzPolicy => {
            let policies = tree::items(tree::get(part.node, "policies"));
            for (number, policy) in policies.iter().enumerate() {
                of_policy(part, policy, &format!("policies[{number}]"), findings);
            }
        }
        Filter::Telemetry => {
            let templates = tree::get(part.node, "pathTemplates");
            each(part, templates, "pathTemplates", of_path, findings);
        }
        Filter::Meshpack => {}
    }
}

fn of_match(part: &Part<'_, '_>, matcher: &Node, at: &str, findings: &mut Vec<Finding>) {
    each(
        part,
        tree::get(matcher, "hosts"),
        &format!("{at}.hosts"),
        of_host,
        findings,
    );
    each(
        part,
        tree::get(matcher, "paths"),
        &format!("{at}.paths"),
        of_path,
        findings,
    );
    methods(
        part,
        tree::get(matcher, "methods"),
        &format!("{at}.methods"),
        findings,
    );
}

fn of_policy(part: &Part<'_, '_>, policy: &Node, at: &str, findings: &mut Vec<Finding>) {
    let rules = tree::items(tree::get(tree::get(policy, "spec"), "rules"));
    for (number, rule) in rules.iter().enumerate() {
        for (to, entry) in tree::items(tree::get(rule, "to")).iter().enumerate() {
            let operation = tree::get(entry, "operation");
            let at = format!("{at}.spec.rules[{number}].to[{to}].operation");
            for (key, look) in [
                ("paths", of_path as Look),
                ("notPaths", of_path),
                ("hosts", of_host),
                ("notHosts", of_host),
            ] {
                each(
                    part,
                    tree::get(operation, key),
                    &format!("{at}.{key}"),
                    look,
                    findings,
                );
            }
            for key in ["methods", "notMethods"] {
                methods(
                    part,
                    tree::get(operation, key),
                    &format!("{at}.{key}"),
                    findings,
                );
            }
        }
    }
}

/// Why a pattern matches nothing.
type Look = fn(&str) -> Option<String>;

fn each(part: &Part<'_, '_>, list: &Node, at: &str, look: Look, findings: &mut Vec<Finding>) {
    for (number, item) in tree::items(list).iter().enumerate() {
        if let Some(why) = tree::text(item).and_then(look) {
            findings.push(part.finding(&PATTERN, &format!("{at}[{number}]"), why));
        }
    }
}

/// A `*` that is not the first or last character is a star to Istio.
fn inner_star(text: &str) -> bool {
    let inner = text
        .strip_suffix('*')
        .or_else(|| text.strip_prefix('*'))
        .unwrap_or(text);
    inner.contains('*')
}

fn of_path(path: &str) -> Option<String> {
    let literal = path.trim_matches('*');
    if !PathTemplate::is_template(path) && inner_star(path) {
        return Some(format!(
            "{path:?}: only a * at one end stands for any text; {{*}} stands for one segment, {{**}} for several"
        ));
    }
    if literal.contains(['?', '#']) {
        return Some(format!(
            "{path:?}: paths are compared without query and fragment"
        ));
    }
    if literal.contains(|c: char| c == ' ' || c.is_control() || !c.is_ascii()) {
        return Some(format!(
            "{path:?}: clients encode that, as in %20 or %C3%BC"
        ));
    }
    let rooted = path.starts_with(['/', '*']) || path.is_empty() || path.starts_with('{');
    (!rooted).then(|| format!("{path:?}: paths start with a slash"))
}

fn of_host(host: &str) -> Option<String> {
    if inner_star(host) {
        return Some(format!("{host:?}: only a * at one end stands for any text"));
    }
    if host.contains('/') {
        return Some(format!("{host:?}: a host has no scheme and no path"));
    }
    host.contains([' ', '?', '#', '@'])
        .then(|| format!("{host:?}: is no host that a client can name"))
}

fn methods(part: &Part<'_, '_>, list: &Node, at: &str, findings: &mut Vec<Finding>) {
    const KNOWN: &[&str] = &[
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
    ];
    for (number, item) in tree::items(list).iter().enumerate() {
        let Some(method) = tree::text(item) else {
            continue;
        };
        let right = method.to_ascii_uppercase();
        if right != method && KNOWN.contains(&right.as_str()) {
            findings.push(part.finding(
                &METHOD_CASE,
                &format!("{at}[{number}]"),
                format!("{method:?}: write {right}"),
            ));
        }
    }
}
