//! Istio's routes for splits that the canary filter decides.

use meshpack_sdk::config::Node;

use super::split::steering;
use super::{STEERING_HEADER, duration, integer, text, texts};
use crate::json::object;
use crate::translate::model::traffic::{
    Arm, Destination, Match, PathMatch, Retry, Routes, Rule, TextMatch,
};

/// A VirtualService that follows the steering header: one route per arm behind
/// the first, which stays the default when the plugin is absent.
pub(crate) fn virtual_service(routes: &Routes) -> Node {
    let http = routes
        .rules
        .iter()
        .flat_map(|rule| http_routes(routes, rule));
    let mut spec = Vec::new();
    if !routes.hosts.is_empty() {
        spec.push(("hosts".to_owned(), texts(&routes.hosts)));
    }
    spec.extend(routes.kept.iter().cloned());
    spec.push(("http".to_owned(), Node::List(http.collect())));
    let mut metadata = vec![
        ("name".to_owned(), text(&routes.name)),
        ("namespace".to_owned(), text(&routes.namespace)),
    ];
    metadata.extend(routes.metadata.iter().cloned());
    object([
        ("apiVersion", text("networking.istio.io/v1")),
        ("kind", text("VirtualService")),
        ("metadata", Node::Object(metadata)),
        ("spec", object(spec)),
    ])
}

fn http_routes(routes: &Routes, rule: &Rule) -> Vec<Node> {
    let Some(values) = steering(routes, rule) else {
        let arms: Vec<&Arm> = rule.arms.iter().collect();
        return vec![http_route(rule, None, &arms)];
    };
    let mut all: Vec<Node> = values
        .iter()
        .zip(&rule.arms)
        .skip(1)
        .map(|(value, arm)| http_route(rule, Some(value), &[arm]))
        .collect();
    let first: Vec<&Arm> = rule.arms.iter().take(1).collect();
    all.push(http_route(rule, None, &first));
    all
}

fn http_route(rule: &Rule, steered: Option<&String>, arms: &[&Arm]) -> Node {
    let mut entries: Vec<(String, Node)> = Vec::new();
    let mut matches: Vec<Node> = Vec::new();
    let none = [Match::default()];
    let conditions = if rule.matches.is_empty() {
        &none[..]
    } else {
        &rule.matches
    };
    for one in conditions {
        matches.extend(match_nodes(one, steered));
    }
    if !matches.is_empty() {
        entries.push(("match".to_owned(), Node::List(matches)));
    }
    // A redirect, say, has no destination.
    if !arms.is_empty() {
        entries.push(("route".to_owned(), destinations(arms)));
    }
    if let Some(timeout) = rule.timeout {
        entries.push(("timeout".to_owned(), duration(timeout)));
    }
    entries.extend(retries(&rule.retry).map(|retries| ("retries".to_owned(), retries)));
    entries.extend(rule.kept.iter().cloned());
    Node::Object(entries)
}

fn destinations(arms: &[&Arm]) -> Node {
    // Istio's weights are whole numbers.
    let fine = arms.iter().any(|arm| arm.weight.fract() != 0.0);
    let scale = if fine { 1000.0 } else { 1.0 };
    let route = arms.iter().map(|arm| {
        let mut entries = vec![("destination".to_owned(), destination(&arm.to))];
        if arms.len() > 1 {
            let weight = (arm.weight * scale).round() as i64;
            entries.push(("weight".to_owned(), integer(weight)));
        }
        entries.extend(arm.kept.iter().cloned());
        Node::Object(entries)
    });
    Node::List(route.collect())
}

fn destination(to: &Destination) -> Node {
    let mut entries = vec![("host", text(&to.host))];
    entries.extend(to.subset.iter().map(|subset| ("subset", text(subset))));
    entries.extend(
        to.port
            .map(|port| ("port", object([("number", integer(port))]))),
    );
    object(entries)
}

fn retries(retry: &Retry) -> Option<Node> {
    match retry {
        Retry::Default => None,
        Retry::Off => Some(object([("attempts", integer(0))])),
        Retry::On(policy) => {
            let mut entries = vec![("attempts", integer(policy.retries))];
            entries.extend(
                policy
                    .per_try_timeout
                    .map(|time| ("perTryTimeout", duration(time))),
            );
            if !policy.on.is_empty() {
                entries.push(("retryOn", text(policy.on.join(","))));
            }
            let pause = policy.backoff.map(|time| ("backoff", duration(time)));
            entries.extend(pause);
            let kept = policy
                .kept
                .iter()
                .map(|(key, node)| (key.as_str(), node.clone()));
            entries.extend(kept);
            Some(object(entries))
        }
    }
}

/// A match as Istio writes it; segments and several methods become alternatives.
fn match_nodes(one: &Match, steered: Option<&String>) -> Vec<Node> {
    let paths: Vec<Option<Node>> = match &one.path {
        None => vec![None],
        Some(path) => path_matches(path).into_iter().map(Some).collect(),
    };
    let method = match one.methods.as_slice() {
        [] => None,
        [method] => Some(object([("exact", text(method))])),
        methods => Some(object([("regex", text(methods.join("|")))])),
    };
    let mut rest: Vec<(String, Node)> = Vec::new();
    rest.extend(method.map(|method| ("method".to_owned(), method)));
    let mut headers: Vec<(String, Node)> = one
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), text_match(value)))
        .collect();
    if let Some(value) = steered {
        headers.push((STEERING_HEADER.to_owned(), object([("exact", text(value))])));
    }
    if !headers.is_empty() {
        rest.push(("headers".to_owned(), Node::Object(headers)));
    }
    if !one.query.is_empty() {
        let query = one
            .query
            .iter()
            .map(|(name, value)| (name.clone(), text_match(value)));
        rest.push(("queryParams".to_owned(), object(query)));
    }
    rest.extend(one.kept.iter().cloned());
    paths
        .into_iter()
        .map(|uri| {
            let uri = uri.map(|uri| ("uri".to_owned(), uri));
            let entries: Vec<_> = uri.into_iter().chain(rest.iter().cloned()).collect();
            Node::Object(entries)
        })
        .filter(|node| *node != Node::Object(Vec::new()))
        .collect()
}

fn path_matches(path: &PathMatch) -> Vec<Node> {
    match path {
        PathMatch::Exact(path) => vec![object([("exact", text(path))])],
        PathMatch::Prefix(path) => vec![object([("prefix", text(path))])],
        PathMatch::Regex(path) => vec![object([("regex", text(path))])],
        PathMatch::Segments(path) => {
            let bare = path.trim_end_matches('/');
            if bare.is_empty() {
                return vec![object([("prefix", text("/"))])];
            }
            vec![
                object([("exact", text(bare))]),
                object([("prefix", text(format!("{bare}/")))]),
            ]
        }
    }
}

pub(crate) fn text_match(value: &TextMatch) -> Node {
    match value {
        // What Istio takes for "is present".
        TextMatch::Present => Node::Object(Vec::new()),
        TextMatch::Exact(value) => object([("exact", text(value))]),
        TextMatch::Prefix(value) => object([("prefix", text(value))]),
        TextMatch::Suffix(value) => object([("regex", text(format!(".*{}", quote(value))))]),
        TextMatch::Regex(value) => object([("regex", text(value))]),
    }
}

/// A text as a regular expression that matches just it.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars() {
        if !c.is_alphanumeric() && !"/-_%~ :@=,&".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}
