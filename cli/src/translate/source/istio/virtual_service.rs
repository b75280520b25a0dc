//! VirtualService: routes, weights, retries, timeouts.

use meshpack_sdk::config::Node;

use super::super::{Context, Resource, kept_metadata};
use crate::translate::ledger::Field;
use crate::translate::model::traffic::{
    Arm, Budget, Callers, Destination, Extra, GatewayRef, Match, PathMatch, Reach, Retry,
    RetryPolicy, Routes, Rule, TextMatch,
};
use crate::translate::options::Target;

/// Keys of an HTTP route that Istio goes on handling.
const LEFT_TO_ISTIO: [&str; 12] = [
    "name",
    "redirect",
    "directResponse",
    "delegate",
    "rewrite",
    "fault",
    "mirror",
    "mirrors",
    "mirrorPercentage",
    "mirrorPercent",
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
    let reach = read_reach(&spec, resource);
    let kept = keep(&spec, &["gateways", "exportTo", "tcp", "tls"], cx);
    let routes = spec.list("http");
    let routes = routes.iter().enumerate();
    let rules: Vec<Rule> = routes
        .map(|(group, route)| read_rule(group, route, &resource.namespace, cx))
        .collect();
    let connections = spec.get("tcp").is_some() || spec.get("tls").is_some();
    if rules.is_empty() && connections && cx.options.to == Target::Wasmplugin {
        spec.take();
        let name = format!("{}/{}", resource.namespace, resource.name);
        cx.ledger.stays(format!("VirtualService {name}"));
        return None;
    }
    if rules.is_empty() {
        spec.lost("has no http routes, and the filters work on HTTP alone");
        return None;
    }
    Some(Routes {
        name: resource.name.clone(),
        namespace: resource.namespace.clone(),
        hosts: hosts.into_iter().map(str::to_owned).collect(),
        rules,
        reach,
        metadata: kept_metadata(resource, cx),
        kept,
        ..Routes::default()
    })
}

/// Whose proxies follow the routes: `gateways` and `exportTo`.
fn read_reach(spec: &Field<'_>, resource: &Resource<'_>) -> Reach {
    let named = spec.list("gateways");
    let named: Vec<&str> = named.iter().filter_map(Field::text).collect();
    let in_mesh = named.is_empty() || named.contains(&"mesh");
    let gateways = named.iter().filter(|name| **name != "mesh").map(|name| {
        let (namespace, name) = name
            .split_once('/')
            .unwrap_or((resource.namespace.as_str(), name));
        let namespace = match namespace {
            "." => &resource.namespace,
            namespace => namespace,
        };
        GatewayRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            of_api: false,
        }
    });
    let shown = spec.list("exportTo");
    let shown: Vec<&str> = shown.iter().filter_map(Field::text).collect();
    let callers = match (in_mesh, shown.is_empty() || shown.contains(&"*")) {
        (false, _) => Callers::Of(Vec::new()),
        (true, true) => Callers::All,
        (true, false) => {
            let of = |name: &&str| match *name {
                "." => Some(resource.namespace.clone()),
                "~" => None,
                name => Some(name.to_owned()),
            };
            Callers::Of(shown.iter().filter_map(of).collect())
        }
    };
    Reach {
        callers,
        gateways: gateways.collect(),
    }
}

/// Names and visibility, which change no request.
const MEANINGLESS: [&str; 3] = ["name", "exportTo", "statPrefix"];

/// Entries to be written back as they are for Istio; others do not understand them.
fn keep(field: &Field<'_>, keys: &[&str], cx: &Context<'_>) -> Vec<(String, Node)> {
    let kept = keys.iter().filter_map(|key| {
        let value = field.get(key)?;
        let is_read = MEANINGLESS.contains(key) || *key == "delegate";
        if cx.options.to == Target::Envoy && !is_read {
            value.lost("is left to Istio, and has no counterpart in the Envoy configuration");
        }
        Some(((*key).to_owned(), value.take().clone()))
    });
    kept.collect()
}

fn read_rule(group: usize, route: &Field<'_>, namespace: &str, cx: &Context<'_>) -> Rule {
    let matches = route.list("match");
    let arms = route.list("route");
    let delegate = route.get("delegate").and_then(|delegate| {
        let namespace = delegate.text_at("namespace").unwrap_or(namespace);
        let name = delegate.text_at("name")?;
        Some((namespace.to_owned(), name.to_owned()))
    });
    Rule {
        matches: matches.iter().map(|one| read_match(one, cx)).collect(),
        arms: arms.iter().filter_map(|arm| read_arm(arm, cx)).collect(),
        delegated: None,
        delegate,
        retry: route
            .get("retries")
            .map_or(Retry::Default, |retries| read_retries(&retries, cx)),
        timeout: route.get("timeout").and_then(|timeout| timeout.duration()),
        kept: keep(route, &LEFT_TO_ISTIO, cx),
        group,
        spot: route.spot(),
    }
}

/// Conditions on where a request comes from or to, which only Istio's proxies know.
const OF_PROXIES: [&str; 4] = ["port", "sourceLabels", "sourceNamespace", "gateways"];

fn read_match(field: &Field<'_>, cx: &Context<'_>) -> Match {
    let mut read = Match::default();
    field.skip("name");
    for key in OF_PROXIES {
        if let Some(value) = field.get(key) {
            if cx.options.to == Target::Envoy {
                value.lost("is a condition that an Envoy outside of Istio cannot see: this route is left out, and its requests follow later routes");
            }
            read.kept.push((key.to_owned(), value.take().clone()));
            read.extra.push(Extra::Unknown);
        }
    }
    if let Some(prefix) = field.get("statPrefix") {
        read.kept
            .push(("statPrefix".to_owned(), prefix.take().clone()));
    }
    let ignores_case = field.get("ignoreUriCase").and_then(|value| value.boolean());
    if let Some(uri) = field.get("uri") {
        read.path = read_path(&uri);
        if ignores_case == Some(true) {
            read.extra.push(Extra::IgnoreCase);
            read.kept
                .push(("ignoreUriCase".to_owned(), Node::Bool(true)));
        }
    }
    for (key, header) in [("scheme", ":scheme"), ("authority", ":authority")] {
        if let Some(value) = field.get(key) {
            read.extra
                .extend(read_text(&value).map(|text| Extra::Pseudo(header, text)));
            read.kept.push((key.to_owned(), value.take().clone()));
        }
    }
    if let Some(method) = field.get("method") {
        match read_text(&method) {
            Some(TextMatch::Exact(method)) => read.methods.push(method),
            text => {
                read.extra
                    .extend(text.map(|text| Extra::Pseudo(":method", text)));
                read.kept.push(("method".to_owned(), method.take().clone()));
            }
        }
    }
    if let Some(without) = field.get("withoutHeaders") {
        for (name, value) in without.entries() {
            let value = read_text(&value);
            read.extra
                .extend(value.map(|value| Extra::Without(name.to_owned(), value)));
        }
        read.kept
            .push(("withoutHeaders".to_owned(), without.take().clone()));
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
