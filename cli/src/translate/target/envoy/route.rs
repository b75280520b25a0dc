//! Envoy routes.

use std::collections::BTreeMap;

use meshpack_sdk::config::Node;

use crate::json::object;
use crate::translate::ledger::Ledger;
use crate::translate::model::traffic::{
    Arm, Extra, Match, PathMatch, Retry, RetryPolicy, Routes, Rule, TextMatch,
};
use crate::translate::target::split::steering;
use crate::translate::target::virtual_service::quote;
use crate::translate::target::{STEERING_HEADER, integer, seconds, text, texts};

/// A route table with a virtual host per resource. A host belongs to the first
/// that names it.
pub(super) fn configuration(routes: &[&Routes], ledger: &Ledger) -> Node {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut hosts = Vec::new();
    for routes in routes {
        let mut domains = Vec::new();
        for name in routes.names() {
            match taken.get(&name) {
                Some(other) => report_taken(routes, &name, other, ledger),
                None => {
                    taken.insert(name.clone(), &routes.label);
                    domains.push(name);
                }
            }
        }
        let rules = routes.rules.iter().flat_map(|rule| of_rule(routes, rule));
        if !domains.is_empty() {
            hosts.push(object([
                ("name", text(&routes.label)),
                ("domains", texts(domains)),
                ("include_request_attempt_count", Node::Bool(true)),
                ("routes", Node::List(rules.collect())),
            ]));
        }
    }
    object([
        ("name", text("outbound")),
        ("ignore_port_in_host_matching", Node::Bool(true)),
        ("virtual_hosts", Node::List(hosts)),
    ])
}

fn report_taken(routes: &Routes, name: &str, other: &str, ledger: &Ledger) {
    if let Some(rule) = routes.rules.first() {
        ledger.lost(
            &rule.spot,
            format!("the host {name} is already routed by {other}, whose routes stay the only ones for it"),
        );
    }
}

/// A route table that sends every request to one cluster.
pub(super) fn everything_to(cluster: &str) -> Node {
    let route = object([
        ("match", object([("prefix", text("/"))])),
        (
            "route",
            object([("cluster", text(cluster)), ("timeout", text("0s"))]),
        ),
    ]);
    let host = object([
        ("name", text("local")),
        ("domains", texts(["*"])),
        ("routes", Node::List(vec![route])),
    ]);
    object([
        ("name", text("inbound")),
        ("virtual_hosts", Node::List(vec![host])),
    ])
}

fn of_rule(routes: &Routes, rule: &Rule) -> Vec<Node> {
    let any = [Match::default()];
    let matches = if rule.matches.is_empty() {
        &any[..]
    } else {
        &rule.matches
    };
    let values = steering(routes, rule);
    let targets: Vec<(Option<&String>, Node)> = match &values {
        Some(values) => {
            let steered = values.iter().map(Some).zip(&rule.arms).skip(1);
            let first = rule.arms.iter().take(1).map(|arm| (None, arm));
            let all = steered.chain(first);
            all.map(|(value, arm)| (value, to(std::slice::from_ref(arm))))
                .collect()
        }
        None => vec![(None, to(&rule.arms))],
    };
    let mut all = Vec::new();
    for (steered, target) in &targets {
        // What cannot be seen here matches nothing, rather than everything.
        let seen = matches
            .iter()
            .filter(|one| !one.extra.contains(&Extra::Unknown));
        for one in seen {
            let target = if rule.arms.is_empty() {
                ("direct_response", not_translated())
            } else {
                ("route", action(target, rule))
            };
            all.push(object([("match", condition(one, *steered)), target]));
        }
    }
    all
}

/// The answer of a rule that has no destination here (a redirect, say): better
/// than letting the next rule take its requests.
fn not_translated() -> Node {
    let body = object([("inline_string", text("this route was not carried over"))]);
    object([("status", integer(501)), ("body", body)])
}

/// Where requests go: one cluster, or several by weight.
fn to(arms: &[Arm]) -> Node {
    let [arm] = arms else {
        // Envoy's weights are whole numbers.
        let fine = arms.iter().any(|arm| arm.weight.fract() != 0.0);
        let scale = if fine { 1000.0 } else { 1.0 };
        let clusters = arms.iter().map(|arm| {
            let weight = (arm.weight * scale).round() as i64;
            object([
                ("name", text(arm.to.cluster())),
                ("weight", integer(weight)),
            ])
        });
        let clusters = object([("clusters", Node::List(clusters.collect()))]);
        return object([("weighted_clusters", clusters)]);
    };
    object([("cluster", text(arm.to.cluster()))])
}

fn action(target: &Node, rule: &Rule) -> Node {
    let Node::Object(mut entries) = target.clone() else {
        return Node::Null;
    };
    // Without a word about it the meshes have no limit, unlike Envoy (15 s).
    let timeout = rule.timeout.map_or_else(|| text("0s"), seconds);
    entries.push(("timeout".to_owned(), timeout));
    let policy = match &rule.retry {
        Retry::Off => None,
        Retry::On(policy) => Some(policy.clone()),
        Retry::Default => Some(RetryPolicy::istio_default()),
    };
    if let Some(policy) = policy {
        entries.push(("retry_policy".to_owned(), retry_policy(&policy)));
    }
    Node::Object(entries)
}

fn retry_policy(policy: &RetryPolicy) -> Node {
    let is_code = |condition: &&String| condition.bytes().all(|b| b.is_ascii_digit());
    let codes: Vec<Node> = policy
        .on
        .iter()
        .filter(is_code)
        .filter_map(|code| code.parse::<i64>().ok())
        .map(integer)
        .collect();
    let mut on: Vec<&str> = policy
        .on
        .iter()
        .filter(|condition| !is_code(condition))
        .map(String::as_str)
        .collect();
    if !codes.is_empty() && !on.contains(&"retriable-status-codes") {
        on.push("retriable-status-codes");
    }
    let mut entries = vec![
        ("retry_on", text(on.join(","))),
        ("num_retries", integer(policy.retries)),
    ];
    if !codes.is_empty() {
        entries.push(("retriable_status_codes", Node::List(codes)));
    }
    entries.extend(
        policy
            .per_try_timeout
            .map(|time| ("per_try_timeout", seconds(time))),
    );
    let backoff = policy
        .backoff
        .map(|time| object([("base_interval", seconds(time))]));
    entries.extend(backoff.map(|backoff| ("retry_back_off", backoff)));
    // A retry goes to another endpoint where there is one.
    let kind =
        "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
    let previous = object([
        ("name", text("envoy.retry_host_predicates.previous_hosts")),
        ("typed_config", object([("@type", text(kind))])),
    ]);
    entries.push(("retry_host_predicate", Node::List(vec![previous])));
    entries.push(("host_selection_retry_max_attempts", integer(5)));
    object(entries)
}

fn condition(one: &Match, steered: Option<&String>) -> Node {
    let mut entries = vec![match &one.path {
        None => ("prefix", text("/")),
        Some(PathMatch::Exact(path)) => ("path", text(path)),
        Some(PathMatch::Prefix(path)) => ("prefix", text(path)),
        Some(PathMatch::Regex(regex)) => ("safe_regex", object([("regex", text(regex))])),
        Some(PathMatch::Segments(path)) => match path.trim_end_matches('/') {
            "" => ("prefix", text("/")),
            bare => ("path_separated_prefix", text(bare)),
        },
    }];
    if one.extra.contains(&Extra::IgnoreCase) {
        entries.push(("case_sensitive", Node::Bool(false)));
    }
    let mut headers = Vec::new();
    match one.methods.as_slice() {
        [] => {}
        [method] => headers.push(matcher(":method", &TextMatch::Exact(method.clone()))),
        methods => headers.push(matcher(":method", &TextMatch::Regex(methods.join("|")))),
    }
    headers.extend(one.headers.iter().map(|(name, value)| matcher(name, value)));
    for extra in &one.extra {
        match extra {
            Extra::IgnoreCase | Extra::Unknown => {}
            Extra::Pseudo(name, value) => headers.push(matcher(name, value)),
            Extra::Without(name, value) => headers.push(inverted(name, value)),
        }
    }
    if let Some(value) = steered {
        headers.push(matcher(STEERING_HEADER, &TextMatch::Exact(value.clone())));
    }
    if !headers.is_empty() {
        entries.push(("headers", Node::List(headers)));
    }
    if !one.query.is_empty() {
        let query = one.query.iter().map(|(name, value)| matcher(name, value));
        entries.push(("query_parameters", Node::List(query.collect())));
    }
    object(entries)
}

/// A matcher of requests whose header has no such value, or is missing.
fn inverted(name: &str, value: &TextMatch) -> Node {
    let Node::Object(mut entries) = matcher(name, value) else {
        return Node::Null;
    };
    entries.push(("invert_match".to_owned(), Node::Bool(true)));
    if *value != TextMatch::Present {
        let missing = "treat_missing_header_as_empty".to_owned();
        entries.push((missing, Node::Bool(true)));
    }
    Node::Object(entries)
}

/// A matcher of a header or a query parameter.
fn matcher(name: &str, value: &TextMatch) -> Node {
    let condition = match value {
        TextMatch::Present => ("present_match", Node::Bool(true)),
        TextMatch::Exact(value) => ("string_match", object([("exact", text(value))])),
        TextMatch::Prefix(value) => ("string_match", object([("prefix", text(value))])),
        TextMatch::Suffix(value) => {
            let regex = object([("regex", text(format!(".*{}", quote(value))))]);
            ("string_match", object([("safe_regex", regex)]))
        }
        TextMatch::Regex(value) => {
            let regex = object([("regex", text(value))]);
            ("string_match", object([("safe_regex", regex)]))
        }
    };
    object([("name", text(name)), condition])
}
