//! VirtualService: routes, weights, retries, timeouts.

use meshpack_sdk::config::Node;

use super::super::{Context, Resource};
use crate::translate::ledger::Field;
use crate::translate::model::traffic::{
    Arm, Budget, Destination, Match, PathMatch, Retry, RetryPolicy, Routes, Rule, TextMatch,
};
use crate::translate::options::Target;

/// Keys of an HTTP route that Istio goes on handling.
const LEFT_TO_ISTIO: [&str; 11] = [
    "name",
    "redirect",
    "directResponse",
    "delegate",
    "rewrite",
    "fault",
    "mirror",
    "mirrors",
    "mirrorPercentage",
    "corsPolicy",
    "headers",
];

/// What Istio retries when `retryOn` is not given.
const DEFAULT_CONDITIONS: [&str; 4] = [
    "connect-failure",
    "refused-stream",
    "unavailable",
    "cancelled",
];

pub(super) fn read(resource: &Resource<'_>, cx: &Context<'_>) -> Option<Routes> {
    let spec = resource.field.get("spec")?;
    let hosts = spec
        .get("hosts")
        .map(|hosts| hosts.texts())
        .unwrap_or_default();
    let kept = keep(&spec, &["gateways", "exportTo", "tcp", "tls"], cx);
    let routes = spec.list("http");
    let routes = routes.iter().enumerate();
    let rules: Vec<Rule> = routes
        .map(|(group, route)| read_rule(group, route, cx))
        .collect();
    if rules.is_empty() {
        spec.lost("has no http routes, and the filters work on HTTP alone");
        return None;
    }
    Some(Routes {
        name: resource.name.clone(),
        namespace: resource.namespace.clone(),
        label: String::new(),
        hosts: hosts.into_iter().map(str::to_owned).collect(),
        rules,
        kept,
        http_routes: Vec::new(),
    })
}

/// Names and visibility, which change no request.
const MEANINGLESS: [&str; 3] = ["name", "exportTo", "statPrefix"];

/// Entries to be written back as they are for Istio; others do not understand them.
fn keep(field: &Field<'_>, keys: &[&str], cx: &Context<'_>) -> Vec<(String, Node)> {
    let kept = keys.iter().filter_map(|key| {
        let value = field.get(key)?;
        if cx.options.to == Target::Envoy && !MEANINGLESS.contains(key) {
            value.lost("is left to Istio, and has no counterpart in the Envoy configuration");
        }
        Some(((*key).to_owned(), value.take().clone()))
    });
    kept.collect()
}

fn read_rule(group: usize, route: &Field<'_>, cx: &Context<'_>) -> Rule {
    let matches = route.list("match");
    let arms = route.list("route");
    Rule {
        matches: matches.iter().map(|one| read_match(one, cx)).collect(),
        arms: arms.iter().filter_map(|arm| read_arm(arm, cx)).collect(),
        retry: route
            .get("retries")
            .map_or(Retry::Default, |retries| read_retries(&retries, cx)),
        timeout: route.get("timeout").and_then(|timeout| timeout.duration()),
        kept: keep(route, &LEFT_TO_ISTIO, cx),
        group,
        spot: route.spot(),
    }
}

fn read_match(field: &Field<'_>, cx: &Context<'_>) -> Match {
    let mut read = Match {
        kept: keep(
            field,
            &[
                "scheme",
                "authority",
                "withoutHeaders",
                "port",
                "sourceLabels",
                "sourceNamespace",
                "gateways",
                "statPrefix",
            ],
            cx,
        ),
        ..Match::default()
    };
    field.skip("name");
    let ignores_case = field.get("ignoreUriCase").and_then(|value| value.boolean());
    if let Some(uri) = field.get("uri") {
        if ignores_case == Some(true) {
            if cx.options.to == Target::Envoy {
                uri.lost("with ignoreUriCase is left to Istio, and has no counterpart in the Envoy configuration");
            }
            read.kept.push(("uri".to_owned(), uri.take().clone()));
            read.kept
                .push(("ignoreUriCase".to_owned(), Node::Bool(true)));
        } else {
            read.path = read_path(&uri);
        }
    }
    if let Some(method) = field.get("method") {
        match read_text(&method) {
            Some(TextMatch::Exact(method)) => read.methods.push(method),
            _ => {
                if cx.options.to == Target::Envoy {
                    method.lost("a pattern of methods is left to Istio");
                }
                read.kept.push(("method".to_owned(), method.take().clone()));
            }
        }
    }
    for (key, list) in [
        ("headers", &mut read.headers),
        ("queryParams", &mut read.query),
    ] {
        let entries = field
            .get(key)
            .map(|entries| entries.entries())
            .unwrap_or_default();
        let read = entries
            .iter()
            .filter_map(|(name, value)| Some(((*name).to_owned(), read_text(value)?)));
        list.extend(read);
    }
    read
}

fn read_path(uri: &Field<'_>) -> Option<PathMatch> {
    Some(match read_text(uri)? {
        TextMatch::Exact(path) => PathMatch::Exact(path),
        TextMatch::Prefix(path) => PathMatch::Prefix(path),
        TextMatch::Regex(path) => PathMatch::Regex(path),
        TextMatch::Present | TextMatch::Suffix(_) => return None,
    })
}

/// Istio's StringMatch.
fn read_text(field: &Field<'_>) -> Option<TextMatch> {
    if let Some(text) = field.text_at("exact") {
        return Some(TextMatch::Exact(text.to_owned()));
    }
    if let Some(text) = field.text_at("prefix") {
        return Some(TextMatch::Prefix(text.to_owned()));
    }
    if let Some(text) = field.text_at("regex") {
        return Some(TextMatch::Regex(text.to_owned()));
    }
    field.entries();
    Some(TextMatch::Present)
}

fn read_arm(field: &Field<'_>, cx: &Context<'_>) -> Option<Arm> {
    let destination = field.get("destination")?;
    let port = destination
        .at(&["port", "number"])
        .and_then(|port| port.port());
    Some(Arm {
        to: Destination {
            host: destination.text_at("host")?.to_owned(),
            subset: destination.text_at("subset").map(str::to_owned),
            port,
        },
        weight: field
            .get("weight")
            .and_then(|weight| weight.number())
            .unwrap_or(0.0),
        kept: keep(field, &["headers"], cx),
    })
}

fn read_retries(field: &Field<'_>, cx: &Context<'_>) -> Retry {
    let attempts = field
        .get("attempts")
        .and_then(|attempts| attempts.integer())
        .unwrap_or(0);
    let policy = RetryPolicy {
        retries: u32::try_from(attempts).unwrap_or_default(),
        on: field.get("retryOn").map_or_else(
            || DEFAULT_CONDITIONS.map(str::to_owned).to_vec(),
            |on| read_conditions(&on),
        ),
        per_try_timeout: field
            .get("perTryTimeout")
            .and_then(|timeout| timeout.duration()),
        budget: Budget::default(),
        backoff: field.get("backoff").and_then(|time| time.duration()),
        kept: keep(
            field,
            &["retryRemoteLocalities", "retryIgnorePreviousHosts"],
            cx,
        ),
    };
    if policy.retries == 0 {
        return Retry::Off;
    }
    Retry::On(policy)
}

fn read_conditions(field: &Field<'_>) -> Vec<String> {
    let text = field.text().unwrap_or_default();
    let words = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}
