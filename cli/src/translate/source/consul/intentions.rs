//! service-intentions: the most specific source decides, then its first
//! permission that matches, then the default policy.

use super::super::Context;
use super::super::permission::Clause;
use super::router::read_text;
use super::{Entry, get, given, list, lose_tenancy, text};
use crate::translate::ledger::Field;
use crate::translate::model::Scope;
use crate::translate::model::policy::{Acting, Condition, Guard, Policy, Rule};
use crate::translate::model::traffic::{Match, PathMatch};
use crate::translate::options::{ConsulDefault, Target};

/// One entry of `Sources`.
struct Intention {
    source: String,
    decision: Decision,
}

enum Decision {
    /// All calls.
    Everything(Verdict),
    /// By request, in order.
    Permissions(Vec<(Verdict, Clause)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    Deny,
}

/// The intentions of one destination.
struct Destination<'e> {
    entry: &'e Entry<'e>,
    service: String,
    intentions: Vec<Intention>,
    with_token: bool,
}

/// A guard for each destination: its own intentions, then those for every destination, as
/// Consul's precedence has it.
pub(super) fn read_all(entries: &[Entry<'_>], cx: &Context<'_>, root: &str) -> Vec<Guard> {
    let destinations: Vec<Destination<'_>> = entries
        .iter()
        .map(|entry| read_destination(entry, cx))
        .collect();
    let everywhere = |one: &&Destination<'_>| one.service == "*";
    let named: Vec<Scope> = destinations
        .iter()
        .filter(|one| !everywhere(one))
        .map(|one| scope(one, root))
        .collect();
    let wild: Vec<&Destination<'_>> = destinations.iter().filter(everywhere).collect();
    let mut guards: Vec<Guard> = destinations
        .iter()
        .filter(|one| !everywhere(one))
        .map(|one| guard(one, &wild, Vec::new(), cx, root))
        .collect();
    if let Some(first) = wild.first() {
        guards.push(guard(first, &[], named, cx, root));
    }
    guards
}

fn read_destination<'e>(entry: &'e Entry<'e>, cx: &Context<'_>) -> Destination<'e> {
    let token = given(&entry.field, "JWT");
    if let Some(token) = &token {
        token.lost("providers and claims are not checked: any token that jwt_authn took is enough here; add conditions on request.auth.claims");
    }
    // A custom resource names its destination inside.
    let destination = get(&entry.field, "Destination");
    if let Some(destination) = &destination {
        lose_tenancy(destination);
    }
    let service = destination
        .as_ref()
        .and_then(|destination| text(destination, "Name"))
        .unwrap_or(&entry.name)
        .to_owned();
    let intentions = list(&entry.field, "Sources")
        .iter()
        .filter_map(read_source)
        .collect();
    if cx.options.to == Target::Wasmplugin {
        entry.field.note("a service is known by a service account of its name, in any namespace, as Consul on Kubernetes has it: narrow the principals to namespaces where that is too wide");
    }
    Destination {
        entry,
        service,
        intentions,
        with_token: token.is_some(),
    }
}

fn guard(
    of: &Destination<'_>,
    wild: &[&Destination<'_>],
    except: Vec<Scope>,
    cx: &Context<'_>,
    root: &str,
) -> Guard {
    let mut intentions: Vec<&Intention> = of.intentions.iter().collect();
    // A destination's own intentions come first, even the one for every source.
    for other in wild.iter().flat_map(|other| &other.intentions) {
        let decided = |known: &&Intention| known.source == "*" || known.source == other.source;
        if !intentions.iter().any(decided) {
            intentions.push(other);
        }
    }
    let mut rules = allowed(&intentions, cx);
    if of.with_token {
        for rule in &mut rules {
            rule.when.push(Condition {
                key: "request.auth.principal".to_owned(),
                values: vec!["*".to_owned()],
                ..Condition::default()
            });
        }
    }
    let named = match of.service.as_str() {
        "*" => "any-service",
        service => service,
    };
    let scope = scope(of, root);
    let policy = Policy {
        name: format!("{named}-intentions"),
        namespace: scope.namespace.clone(),
        rules,
    };
    Guard {
        scope,
        policies: vec![Acting {
            needs_identity: true,
            ..Acting::from(&policy)
        }],
        except,
        at_gateways: false,
        spot: Some(of.entry.field.spot()),
    }
}

/// The workloads of a destination; `*` stands for all in the mesh.
fn scope(of: &Destination<'_>, root: &str) -> Scope {
    match of.service.as_str() {
        "*" => Scope {
            name: "authz-policy-any-service".to_owned(),
            namespace: root.to_owned(),
            selector: None,
            port: None,
        },
        service => Scope {
            name: format!("authz-policy-{service}"),
            namespace: of.entry.namespace.clone(),
            selector: Some(("selector".to_owned(), selector(service))),
            port: None,
        },
    }
}

/// Pods of a Consul service carry its name as `app` by convention.
fn selector(service: &str) -> meshpack_sdk::config::Node {
    use crate::json::object;
    use crate::translate::target::text;
    object([("matchLabels", object([("app", text(service))]))])
}

fn read_source(field: &Field<'_>) -> Option<Intention> {
    for (key, reason) in [
        (
            "Peer",
            "calls from other clusters have identities of their own: they are denied",
        ),
        (
            "SamenessGroup",
            "sameness groups have no counterpart: these calls are denied",
        ),
    ] {
        if let Some(value) = get(field, key).filter(|value| value.text() != Some("")) {
            field.lost(format!(
                "{key} {}: {reason}",
                value.text().unwrap_or_default()
            ));
            return None;
        }
    }
    lose_tenancy(field);
    for key in [
        "Description",
        "Precedence",
        "Type",
        "LegacyID",
        "LegacyMeta",
        "LegacyCreateTime",
        "LegacyUpdateTime",
    ] {
        if let Some(value) = get(field, key) {
            value.take();
        }
    }
    let verdict = |word: Option<&str>| match word {
        Some("allow") => Some(Verdict::Allow),
        Some("deny") => Some(Verdict::Deny),
        _ => None,
    };
    let decision = match get(field, "Permissions") {
        None => Decision::Everything(verdict(text(field, "Action")).unwrap_or_else(|| {
            field.lost("says neither allow nor deny: these calls are denied");
            Verdict::Deny
        })),
        Some(permissions) => {
            let mut read = Vec::new();
            for permission in permissions.items() {
                let token = given(&permission, "JWT");
                if let Some(token) = &token {
                    token.lost("claims are conditions on request.auth.claims");
                }
                let word = verdict(text(&permission, "Action")).unwrap_or_else(|| {
                    permission.note("says neither allow nor deny, and counts as a denial");
                    Verdict::Deny
                });
                match read_permission(&permission).filter(|_| token.is_none()) {
                    Some(clause) => read.push((word, clause)),
                    None if word == Verdict::Allow => {
                        permission.lost("cannot be said in a policy: what it allows will be denied")
                    }
                    None => {
                        permission.lost("cannot be said in a policy: the permissions after it are left out, lest they allow what it denies");
                        break;
                    }
                }
            }
            Decision::Permissions(read)
        }
    };
    let Some(source) = text(field, "Name") else {
        field.lost("names no service");
        return None;
    };
    Some(Intention {
        source: source.to_owned(),
        decision,
    })
}

fn read_permission(permission: &Field<'_>) -> Option<Clause> {
    let Some(http) = get(permission, "HTTP") else {
        return Some(Clause::default());
    };
    let exact = text(&http, "PathExact").map(|path| PathMatch::Exact(path.to_owned()));
    let prefix = text(&http, "PathPrefix").map(|path| PathMatch::Prefix(path.to_owned()));
    let regex = text(&http, "PathRegex").map(|path| PathMatch::Regex(path.to_owned()));
    let methods = get(&http, "Methods")
        .map(|methods| methods.texts())
        .unwrap_or_default();
    let one = Match {
        path: exact.or(prefix).or(regex),
        methods: methods.into_iter().map(str::to_owned).collect(),
        ..Match::default()
    };
    let mut clause = Clause::of_match(&one).ok()?;
    for header in list(&http, "Header") {
        let (name, value, inverted) = read_text(&header)?;
        clause.header(&name, &value, inverted);
    }
    Some(clause)
}

/// What is allowed, as rules of which any may match.
fn allowed(intentions: &[&Intention], cx: &Context<'_>) -> Vec<Rule> {
    let by_default = match cx.options.consul_default {
        ConsulDefault::Allow => Verdict::Allow,
        ConsulDefault::Deny => Verdict::Deny,
    };
    let named: Vec<&str> = intentions
        .iter()
        .map(|intention| intention.source.as_str())
        .filter(|source| *source != "*")
        .collect();
    let mut rules = Vec::new();
    for intention in intentions {
        // A named source goes before the wildcard, whatever the order.
        let who = match intention.source.as_str() {
            "*" => identity(&[], &named, cx),
            name => identity(&[name], &[], cx),
        };
        rules.extend(
            clauses(&intention.decision, by_default)
                .iter()
                .map(|clause| {
                    let mut rule = clause.rule(Vec::new());
                    rule.when.splice(0..0, who.iter().cloned());
                    rule
                }),
        );
    }
    let has_wildcard = intentions.iter().any(|intention| intention.source == "*");
    if by_default == Verdict::Allow && !has_wildcard {
        rules.push(Rule {
            when: identity(&[], &named, cx),
            ..Rule::default()
        });
    }
    rules
}

/// The requests that a decision lets in.
fn clauses(decision: &Decision, by_default: Verdict) -> Vec<Clause> {
    match decision {
        Decision::Everything(Verdict::Allow) => vec![Clause::default()],
        Decision::Everything(Verdict::Deny) => Vec::new(),
        Decision::Permissions(permissions) => {
            let last = (by_default, Clause::default());
            let mut denied = Vec::new();
            let mut found = Vec::new();
            for (verdict, clause) in permissions.iter().chain([&last]) {
                match verdict {
                    Verdict::Allow => found.extend(clause.without(&denied)),
                    Verdict::Deny => denied.push(clause.clone()),
                }
            }
            found
        }
    }
}

/// Conditions on who calls: one of some services, none of others.
fn identity(of: &[&str], not: &[&str], cx: &Context<'_>) -> Vec<Condition> {
    let mut condition = Condition {
        key: "source.principal".to_owned(),
        ..Condition::default()
    };
    match cx.options.to {
        // In Istio services are known by their service accounts, which Consul
        // on Kubernetes wants to have the services' names.
        Target::Wasmplugin => {
            let account = |name: &&str| format!("*/sa/{name}");
            condition.values = of.iter().map(account).collect();
            condition.not_values = not.iter().map(account).collect();
        }
        // Consul's own certificates: spiffe://<id>.consul/ns/default/dc/dc1/svc/web.
        Target::Envoy => {
            let service = |name: &&str| {
                format!(
                    "[^/]+/ns/[^/]+/dc/[^/]+/svc/{}",
                    crate::translate::target::quote(name)
                )
            };
            condition.values_regex = of.iter().map(service).collect();
            condition.not_values_regex = not.iter().map(service).collect();
        }
    }
    let mut conditions = Vec::new();
    if condition.values.is_empty() && condition.values_regex.is_empty() {
        // Every call in the mesh has an identity.
        conditions.push(Condition {
            key: "source.principal".to_owned(),
            values: vec!["*".to_owned()],
            ..Condition::default()
        });
    }
    let says_something = !of.is_empty() || !not.is_empty();
    conditions.extend(says_something.then_some(condition));
    conditions
}
