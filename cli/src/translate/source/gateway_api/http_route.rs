//! HTTPRoute: matches, weights, retries, timeouts.

use std::time::Duration;

use meshpack_sdk::config::Node;

use super::super::{Context, Resource, as_written};
use super::{matching, precedence};
use crate::translate::ledger::Field;
use crate::translate::model::Mesh;
use crate::translate::model::traffic::{
    Arm, Budget, Callers, Destination, GatewayRef, Match, Reach, Retry, RetryPolicy, Routes, Rule,
    WrittenRoute,
};
use crate::translate::options::Target;

/// Retries that are safe whatever the request did: it never reached an application.
const SAFE: [&str; 2] = ["connect-failure", "refused-stream"];

/// Reads a route whose parents are gateways or services.
pub(in super::super) fn read(resource: &Resource<'_>, cx: &Context<'_>) -> Option<Routes> {
    let spec = resource.field.get("spec")?;
    let mut rules = Vec::new();
    for (group, rule) in spec.list("rules").iter().enumerate() {
        rules.extend(read_rule(group, rule, resource, cx));
    }
    precedence::sort(&mut rules);
    let (hosts, reach) = parents(&spec, resource, cx);
    Some(Routes {
        name: resource.name.clone(),
        namespace: resource.namespace.clone(),
        hosts,
        rules,
        reach,
        http_routes: vec![WrittenRoute {
            node: of_core(&as_written(resource.field.node())),
            first_group: 0,
        }],
        ..Routes::default()
    })
}

/// Linkerd calls the group of Services `core`, Kubernetes and Istio "".
fn of_core(node: &Node) -> Node {
    match node {
        Node::Object(entries) => Node::Object(
            entries
                .iter()
                .map(|(key, value)| match value {
                    Node::String(group) if key == "group" && group == "core" => {
                        (key.clone(), Node::String(String::new()))
                    }
                    value => (key.clone(), of_core(value)),
                })
                .collect(),
        ),
        Node::List(items) => Node::List(items.iter().map(of_core).collect()),
        other => other.clone(),
    }
}

/// Adds routes to those that other HTTPRoutes have for the same hosts: the most
/// specific rule of all of them decides.
pub(in super::super) fn add(mesh: &mut Mesh, routes: Routes) {
    let same = |known: &&mut Routes| {
        known.namespace == routes.namespace
            && known.reach == routes.reach
            && known.kind() == routes.kind()
            && known.hosts == routes.hosts
            && !known.http_routes.is_empty()
    };
    let Some(known) = mesh.routes.iter_mut().find(same) else {
        mesh.routes.push(routes);
        return;
    };
    let offset = known
        .rules
        .iter()
        .map(|rule| rule.group + 1)
        .max()
        .unwrap_or(0);
    known
        .http_routes
        .extend(routes.http_routes.into_iter().map(|written| WrittenRoute {
            first_group: written.first_group + offset,
            ..written
        }));
    known
        .rules
        .extend(routes.rules.into_iter().map(|rule| Rule {
            group: rule.group + offset,
            ..rule
        }));
    precedence::sort(&mut known.rules);
}

/// The hosts of the route, its hostnames at gateways and the services that it is attached
/// to, and whose proxies follow it.
fn parents(spec: &Field<'_>, resource: &Resource<'_>, cx: &Context<'_>) -> (Vec<String>, Reach) {
    let mut services = Vec::new();
    let mut gateways = Vec::new();
    let mut callers: Option<Callers> = None;
    for parent in spec.list("parentRefs") {
        parent.skip("group");
        for key in ["sectionName", "port"] {
            let Some(field) = parent.get(key) else {
                continue;
            };
            match cx.options.to {
                Target::Wasmplugin => field.note(
                    "stays in the HTTPRoute; splits and budgets are for the hosts on every port",
                ),
                Target::Envoy => {
                    field.lost("the listener takes requests for the hosts on every port")
                }
            }
        }
        let kind = parent.text_at("kind").unwrap_or("Gateway");
        let name = parent.text_at("name").unwrap_or_default();
        let namespace = parent.text_at("namespace").unwrap_or(&resource.namespace);
        if kind == "Service" {
            services.push(host(name, namespace, &resource.namespace));
            // A route beside its service is for all callers, one elsewhere for those there.
            let beside = namespace == resource.namespace;
            if beside {
                callers = Some(Callers::All);
            } else if callers.is_none() {
                callers = Some(Callers::Of(vec![resource.namespace.clone()]));
            }
        } else {
            gateways.push(GatewayRef {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                of_api: true,
            });
        }
    }
    if services.is_empty() && gateways.is_empty() {
        spec.ledger().lost(
            &spec.spot(),
            "names no parent, so no proxy follows this route: name its Gateway or its Service in parentRefs",
        );
    }
    let named = spec.list("hostnames");
    let named = named.iter().filter_map(Field::text);
    let mut hosts: Vec<String> = named.map(str::to_owned).collect();
    if gateways.is_empty() && !services.is_empty() {
        // Services have their own names.
        hosts.clear();
    } else if hosts.is_empty() {
        hosts.push("*".to_owned());
    }
    hosts.extend(services);
    let reach = Reach {
        callers: callers.unwrap_or_else(|| Callers::Of(Vec::new())),
        gateways,
    };
    (hosts, reach)
}

/// The host name of a service, short in its own namespace.
pub(in super::super) fn host(service: &str, namespace: &str, own: &str) -> String {
    if namespace == own {
        service.to_owned()
    } else {
        format!("{service}.{namespace}.svc.cluster.local")
    }
}

fn read_rule(
    group: usize,
    field: &Field<'_>,
    resource: &Resource<'_>,
    cx: &Context<'_>,
) -> Vec<Rule> {
    field.skip("name");
    for key in ["filters", "sessionPersistence"] {
        if let Some(value) = field.get(key) {
            cx.leave_to_istio(&value);
        }
    }
    let arms: Vec<Arm> = field
        .list("backendRefs")
        .iter()
        .filter_map(|reference| read_arm(reference, resource, cx))
        .collect();
    let whole = field
        .at(&["timeouts", "request"])
        .and_then(|time| limit(&time));
    let one = field
        .at(&["timeouts", "backendRequest"])
        .and_then(|time| limit(&time));
    let retry = read_retry(field, resource, one, cx);
    // Without retries there is one attempt, whose limit is that of the request.
    let timeout = match (&retry, whole, one) {
        (Retry::On(_), whole, _) => whole,
        (_, Some(whole), Some(one)) => Some(whole.min(one)),
        (_, whole, one) => whole.or(one),
    };
    let written = field.list("matches");
    let read = match resource.kind.as_str() {
        "GRPCRoute" => matching::read_grpc,
        _ => matching::read,
    };
    let mut matches: Vec<Match> = written.iter().filter_map(read).collect();
    if written.is_empty() {
        matches.push(Match::default());
    }
    let rule = |one: Match| Rule {
        matches: if one.is_any() { Vec::new() } else { vec![one] },
        arms: arms.clone(),
        delegated: None,
        delegate: None,
        retry: retry.clone(),
        timeout,
        kept: Vec::new(),
        group,
        spot: field.spot(),
    };
    matches.into_iter().map(rule).collect()
}

/// A timeout; `0s` means none.
fn limit(field: &Field<'_>) -> Option<Duration> {
    field.duration().filter(|time| !time.is_zero())
}

fn read_arm(field: &Field<'_>, resource: &Resource<'_>, cx: &Context<'_>) -> Option<Arm> {
    let kind = field.text_at("kind").unwrap_or("Service");
    field.skip("group");
    if kind != "Service" {
        field.lost(format!("a backend of kind {kind} is not a service"));
        return None;
    }
    if let Some(filters) = field.get("filters") {
        cx.leave_to_istio(&filters);
    }
    let namespace = field.text_at("namespace").unwrap_or(&resource.namespace);
    Some(Arm {
        to: Destination {
            host: host(field.text_at("name")?, namespace, &resource.namespace),
            subset: None,
            port: field.get("port").and_then(|port| port.port()),
        },
        weight: field
            .get("weight")
            .map_or(Some(1.0), |weight| weight.number())?,
        kept: Vec::new(),
    })
}

/// `retry` of the rule (GEP-1731), or Linkerd's annotations of the route.
fn read_retry(
    rule: &Field<'_>,
    resource: &Resource<'_>,
    per_try_timeout: Option<Duration>,
    cx: &Context<'_>,
) -> Retry {
    let Some(field) = rule.get("retry") else {
        return by_annotations(resource, per_try_timeout);
    };
    let codes = field
        .get("codes")
        .map(|codes| codes.items())
        .unwrap_or_default();
    let codes = codes
        .iter()
        .filter_map(|code| code.integer())
        .map(|code| code.to_string());
    let attempts = field
        .get("attempts")
        .and_then(|attempts| attempts.integer());
    if attempts.is_none() {
        field.note("gives no number of attempts, which is left to implementations: one retry");
    }
    let backoff = field.get("backoff").and_then(|time| time.duration());
    if let (Some(_), Target::Wasmplugin) = (backoff, cx.options.to) {
        field.note("the HTTPRoute keeps its retry, with its backoff");
    }
    match u32::try_from(attempts.unwrap_or(1)) {
        Ok(0) | Err(_) => Retry::Off,
        Ok(retries) => Retry::On(RetryPolicy {
            retries,
            on: codes.chain(SAFE.map(str::to_owned)).collect(),
            per_try_timeout,
            backoff,
            budget: Budget::default(),
            kept: Vec::new(),
        }),
    }
}

/// Linkerd's `retry.linkerd.io/http|limit|timeout`.
fn by_annotations(resource: &Resource<'_>, per_try_timeout: Option<Duration>) -> Retry {
    let annotation = |name: &str| {
        resource.field.at(&[
            "metadata",
            "annotations",
            &format!("retry.linkerd.io/{name}"),
        ])
    };
    let Some(http) = annotation("http") else {
        return Retry::Off;
    };
    let mut on = Vec::new();
    for condition in http.text().unwrap_or_default().split(',').map(str::trim) {
        match condition {
            "5xx" | "gateway-error" => on.push(condition.to_owned()),
            code if code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit()) => {
                on.push(code.to_owned());
            }
            range => http.lost(format!("{range:?}: ranges of codes other than 5xx and gateway-error must be written as codes")),
        }
    }
    let limit = annotation("limit").and_then(|limit| {
        let number = limit.text().and_then(|text| text.parse().ok());
        if number.is_none() {
            limit.lost("is not a number of retries: one is made");
        }
        number
    });
    let timeout = annotation("timeout").and_then(|time| time.duration());
    Retry::On(RetryPolicy {
        retries: limit.unwrap_or(1),
        on,
        per_try_timeout: timeout.or(per_try_timeout),
        backoff: Some(Duration::from_millis(25)),
        budget: Budget::default(),
        kept: Vec::new(),
    })
}
