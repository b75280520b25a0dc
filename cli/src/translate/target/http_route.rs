//! An HTTPRoute that follows the steering header.

use meshpack_sdk::config::{Node, Number};

use super::split::steering;
use super::{STEERING_HEADER, text};
use crate::json::object;
use crate::translate::model::traffic::{Match, Routes, Rule, WrittenRoute, heaviest};
use crate::translate::source::gateway_api::precedence;

/// The route as it was written, with a rule per arm behind the first at its
/// end: the steering header makes them more specific than the rule they come
/// from, and of equally specific rules the first decides.
///
/// It makes them more specific than others, too. A rule that decided before them has its
/// matches once more, with the header, so that it still does.
pub(crate) fn http_route(routes: &Routes, written: &WrittenRoute) -> Node {
    let mut route = without(&written.node, "status");
    set(
        &mut route,
        &["apiVersion"],
        text("gateway.networking.k8s.io/v1"),
    );
    let Some(Node::List(rules)) = get_mut(&mut route, &["spec", "rules"]) else {
        return route;
    };
    let mut steered = Vec::new();
    for (index, rule) in rules.iter_mut().enumerate() {
        let group = written.first_group + index;
        let parts: Vec<&Rule> = routes
            .rules
            .iter()
            .filter(|part| part.group == group)
            .collect();
        let all: Option<Vec<Vec<String>>> =
            parts.iter().map(|part| steering(routes, part)).collect();
        let Some(values) = all.and_then(|all| all.into_iter().next()) else {
            hold_place(rule, &outranked(routes, group));
            continue;
        };
        let backends = match get_mut(rule, &["backendRefs"]) {
            Some(Node::List(backends)) => default_first(std::mem::take(backends)),
            _ => continue,
        };
        for (value, backend) in values.iter().zip(&backends).skip(1) {
            let mut own = without(rule, "name");
            set(&mut own, &["matches"], matches(rule, value));
            set(
                &mut own,
                &["backendRefs"],
                Node::List(vec![without(backend, "weight")]),
            );
            steered.push(own);
        }
        let first = backends
            .iter()
            .take(1)
            .map(|backend| without(backend, "weight"));
        let first = Node::List(first.collect());
        set(rule, &["backendRefs"], first);
    }
    rules.extend(steered);
    route
}

/// The backends in the order of the rule's arms.
fn default_first(mut backends: Vec<Node>) -> Vec<Node> {
    let weight = |backend: &Node| match entry(backend, "weight") {
        Some(Node::Number(Number::Integer(weight))) => *weight as f64,
        Some(Node::Number(Number::Double(weight))) => *weight,
        _ => 1.0,
    };
    let weights: Vec<f64> = backends.iter().map(weight).collect();
    if let Some(first) = backends.get_mut(..=heaviest(&weights)) {
        first.rotate_right(1);
    }
    backends
}

/// The values by which later rules steer requests that this rule takes.
fn outranked(routes: &Routes, group: usize) -> Vec<String> {
    let any = Match::default();
    let ranks = |rule: &Rule| {
        let one = rule.matches.first().unwrap_or(&any);
        precedence::of_path_and_method(one)
    };
    let mut values: Vec<String> = Vec::new();
    let mine = routes.rules.iter().enumerate();
    for (at, rule) in mine.filter(|(_, rule)| rule.group == group) {
        let later = routes.rules.iter().skip(at + 1);
        for other in later.filter(|other| other.group != group && ranks(other) == ranks(rule)) {
            for value in steering(routes, other)
                .unwrap_or_default()
                .into_iter()
                .skip(1)
            {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
    }
    values
}

fn hold_place(rule: &mut Node, values: &[String]) {
    if values.is_empty() {
        return;
    }
    let mut all = match entry(rule, "matches") {
        Some(Node::List(written)) if !written.is_empty() => written.clone(),
        _ => vec![Node::Object(Vec::new())],
    };
    for value in values {
        if let Node::List(more) = matches(rule, value) {
            all.extend(more);
        }
    }
    set(rule, &["matches"], Node::List(all));
}

/// The matches of a rule, with the steering header in each.
fn matches(rule: &Node, value: &str) -> Node {
    let header = object([("name", text(STEERING_HEADER)), ("value", text(value))]);
    let written = match entry(rule, "matches") {
        Some(Node::List(matches)) if !matches.is_empty() => matches.clone(),
        _ => vec![Node::Object(Vec::new())],
    };
    let steered = written.into_iter().map(|mut one| {
        let mut headers = match entry(&one, "headers") {
            Some(Node::List(headers)) => headers.clone(),
            _ => Vec::new(),
        };
        headers.push(header.clone());
        set(&mut one, &["headers"], Node::List(headers));
        one
    });
    Node::List(steered.collect())
}

fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match node {
        Node::Object(entries) => entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, node)| node),
        _ => None,
    }
}

fn get_mut<'n>(node: &'n mut Node, keys: &[&str]) -> Option<&'n mut Node> {
    let mut node = node;
    for key in keys {
        let Node::Object(entries) = node else {
            return None;
        };
        node = entries
            .iter_mut()
            .find(|(name, _)| name == key)
            .map(|(_, node)| node)?;
    }
    Some(node)
}

fn set(node: &mut Node, keys: &[&str], value: Node) {
    if let Some(found) = get_mut(node, keys) {
        *found = value;
    } else if let (Node::Object(entries), [key]) = (node, keys) {
        entries.push(((*key).to_owned(), value));
    }
}

fn without(node: &Node, key: &str) -> Node {
    match node {
        Node::Object(entries) => {
            let kept = entries.iter().filter(|(name, _)| name != key);
            Node::Object(kept.cloned().collect())
        }
        other => other.clone(),
    }
}
