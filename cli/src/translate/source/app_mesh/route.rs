//! A route: match, weighted targets, retries, timeouts.

use std::time::Duration;

use meshpack_sdk::config::Node;

use super::node::Node as VirtualNode;
use super::reference;
use crate::json::object;
use crate::translate::ledger::Field;
use crate::translate::model::traffic::{
    Arm, Budget, Extra, Match, PathMatch, Retry, RetryPolicy, Rule, TextMatch,
};
use crate::translate::options::Target;
use crate::translate::target::text_match;

/// Where routes without a priority stand.
const NO_PRIORITY: i64 = i64::MAX;
/// App Mesh's limit on a request when the route gives none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// The priority and the rule.
pub(super) fn read(
    field: &Field<'_>,
    nodes: &[VirtualNode],
    target: Target,
) -> Option<(i64, Rule)> {
    let priority = field
        .get("priority")
        .and_then(|priority| priority.integer());
    field.lose("tcpRoute", "the filters work on HTTP");
    let http = field.any(&["httpRoute", "http2Route"]);
    let grpc = field.get("grpcRoute");
    let route = http.as_ref().or(grpc.as_ref())?;
    let mut matches = Vec::new();
    if let Some(one) = route.get("match") {
        let one = if grpc.is_some() {
            read_grpc(&one)
        } else {
            read_match(&one)
        };
        let Some(one) = one else {
            field.lost(
                "its match cannot be said, so it is left out, and its requests follow later routes",
            );
            return None;
        };
        if target == Target::Envoy && one.extra.contains(&Extra::Unknown) {
            field.lost("is for one port of the router, and the listener has no such ports: it is left out, and its requests follow later routes");
            return None;
        }
        if !one.is_any() {
            matches.push(one);
        }
    }
    let arms = route.at(&["action", "weightedTargets"]);
    let arms = arms.map(|arms| arms.items()).unwrap_or_default();
    let retry = route
        .get("retryPolicy")
        .map_or(Retry::Off, |policy| read_retry(&policy));
    let timeout = route
        .at(&["timeout", "perRequest"])
        .and_then(|time| duration(&time));
    if let Some(timeout) = route.get("timeout") {
        timeout.lose("idle", "is the listener's business");
    }
    let rule = Rule {
        matches,
        arms: arms.iter().filter_map(|arm| read_arm(arm, nodes)).collect(),
        delegated: None,
        delegate: None,
        retry,
        timeout: Some(timeout.unwrap_or(DEFAULT_TIMEOUT)).filter(|time| !time.is_zero()),
        kept: Vec::new(),
        group: 0,
        spot: field.spot(),
    };
    Some((priority.unwrap_or(NO_PRIORITY), rule))
}

/// `{unit: s, value: 5}`
pub(super) fn duration(field: &Field<'_>) -> Option<Duration> {
    let value = u64::try_from(field.get("value")?.integer()?).ok()?;
    match field.text_at("unit")? {
        "s" => Some(Duration::from_secs(value)),
        "ms" => Some(Duration::from_millis(value)),
        other => {
            field.lost(format!("{other:?} is not s or ms"));
            None
        }
    }
}

fn read_match(field: &Field<'_>) -> Option<Match> {
    let mut one = Match::default();
    let exact = field.at(&["path", "exact"]).and_then(|path| path.text());
    let regex = field.at(&["path", "regex"]).and_then(|path| path.text());
    let prefix = field.text_at("prefix").filter(|prefix| *prefix != "/");
    one.path = exact
        .map(|path| PathMatch::Exact(path.to_owned()))
        .or_else(|| regex.map(|path| PathMatch::Regex(path.to_owned())))
        .or_else(|| prefix.map(|path| PathMatch::Prefix(path.to_owned())));
    one.methods
        .extend(field.text_at("method").map(str::to_owned));
    if let Some(scheme) = field.text_at("scheme") {
        let exact = TextMatch::Exact(scheme.to_owned());
        one.extra.push(Extra::Pseudo(":scheme", exact));
        let exact = object([("exact", Node::String(scheme.to_owned()))]);
        one.kept.push(("scheme".to_owned(), exact));
    }
    read_port(field, &mut one);
    for header in field.list("headers") {
        read_header(&header, &mut one)?;
    }
    for parameter in field.list("queryParameters") {
        let exact = parameter
            .at(&["match", "exact"])
            .and_then(|value| value.text());
        let value = exact.map_or(TextMatch::Present, |value| {
            TextMatch::Exact(value.to_owned())
        });
        one.query.extend(
            parameter
                .text_at("name")
                .map(|name| (name.to_owned(), value)),
        );
    }
    Some(one)
}

/// A port of the router, in Istio of the service.
fn read_port(field: &Field<'_>, one: &mut Match) {
    if let Some(port) = field.get("port") {
        one.kept.push(("port".to_owned(), port.take().clone()));
        one.extra.push(Extra::Unknown);
    }
}

/// Adds the condition; none if it cannot be said.
fn read_header(header: &Field<'_>, one: &mut Match) -> Option<()> {
    let name = header.text_at("name")?.to_ascii_lowercase();
    let inverted = header.get("invert").and_then(|value| value.boolean()) == Some(true);
    let value = match header.get("match") {
        None => TextMatch::Present,
        Some(condition) => {
            let own = |text: &str| text.to_owned();
            let value = condition
                .text_at("exact")
                .map(|text| TextMatch::Exact(own(text)))
                .or_else(|| {
                    condition
                        .text_at("prefix")
                        .map(|text| TextMatch::Prefix(own(text)))
                })
                .or_else(|| {
                    condition
                        .text_at("suffix")
                        .map(|text| TextMatch::Suffix(own(text)))
                })
                .or_else(|| {
                    condition
                        .text_at("regex")
                        .map(|text| TextMatch::Regex(own(text)))
                });
            if value.is_none() {
                condition.lost("is a range of numbers, which cannot be said");
            }
            value?
        }
    };
    if inverted {
        let written = object([(name.clone(), text_match(&value))]);
        match one.kept.iter_mut().find(|(key, _)| key == "withoutHeaders") {
            Some((_, Node::Object(headers))) => {
                if let Node::Object(more) = written {
                    headers.extend(more);
                }
            }
            _ => one.kept.push(("withoutHeaders".to_owned(), written)),
        }
        one.extra.push(Extra::Without(name, value));
    } else {
        one.headers.push((name, value));
    }
    Some(())
}

/// gRPC: `/package.Service/Method`.
fn read_grpc(field: &Field<'_>) -> Option<Match> {
    let service = field.text_at("serviceName");
    let method = field.text_at("methodName");
    let mut one = Match {
        path: service.map(|service| match method {
            Some(method) => PathMatch::Exact(format!("/{service}/{method}")),
            None => PathMatch::Prefix(format!("/{service}/")),
        }),
        ..Match::default()
    };
    read_port(field, &mut one);
    for header in field.list("metadata") {
        read_header(&header, &mut one)?;
    }
    Some(one)
}

fn read_arm(field: &Field<'_>, nodes: &[VirtualNode]) -> Option<Arm> {
    let name = field
        .text_at("virtualNode")
        .map(str::to_owned)
        .or_else(|| reference(field, "virtualNodeRef"))?;
    let port = field.get("port").and_then(|port| port.port());
    let known = nodes.iter().find(|node| node.name == name);
    if known.is_none() {
        field.note(format!(
            "the virtual node {name} is not among these files: its host is taken to be that name"
        ));
    }
    let mut to = known.map_or_else(
        || VirtualNode::unknown(&name),
        |node| node.destination.clone(),
    );
    to.port = port.or(to.port);
    Some(Arm {
        to,
        weight: field.get("weight")?.number()?,
        kept: Vec::new(),
    })
}

fn read_retry(field: &Field<'_>) -> Retry {
    let events = |key: &str| -> Vec<String> {
        let events = field
            .get(key)
            .map(|events| events.texts())
            .unwrap_or_default();
        events.into_iter().map(str::to_owned).collect()
    };
    let mut on = Vec::new();
    let mut add = |condition: &str| {
        if !on.iter().any(|known| known == condition) {
            on.push(condition.to_owned());
        }
    };
    for event in events("httpRetryEvents") {
        match event.as_str() {
            // 500 to 511; "server-error and gateway-error … include the Envoy reset policy".
            "server-error" => ["5xx", "reset"].into_iter().for_each(&mut add),
            "gateway-error" => ["gateway-error", "reset"].into_iter().for_each(&mut add),
            // 409, and only that, in both systems.
            "client-error" => add("retriable-4xx"),
            "stream-error" => add("refused-stream"),
            other => field.lost(format!("{other:?} is not an event that can be retried")),
        }
    }
    if !events("tcpRetryEvents").is_empty() {
        add("connect-failure");
    }
    for event in events("grpcRetryEvents") {
        add(&event);
    }
    let retries = field.get("maxRetries").and_then(|count| count.integer());
    match u32::try_from(retries.unwrap_or(0)) {
        Ok(retries) if retries > 0 && !on.is_empty() => Retry::On(RetryPolicy {
            retries,
            on,
            per_try_timeout: field
                .get("perRetryTimeout")
                .and_then(|time| duration(&time)),
            backoff: None,
            budget: Budget::default(),
            kept: Vec::new(),
        }),
        _ => Retry::Off,
    }
}
