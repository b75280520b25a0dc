//! Server, the HTTPRoutes attached to it, and AuthorizationPolicy.

use super::super::Resource;
use super::super::gateway_api::matching;
use super::super::permission::Clause;
use super::Authentication;
use crate::translate::ledger::Field;
use crate::translate::model::Scope;
use crate::translate::model::attachment::canonical;
use crate::translate::model::policy::{Acting, Guard, Policy, Rule, Source};

/// Whether a route is for requests that a Server receives.
pub(super) fn is_attached(route: &Resource<'_>) -> bool {
    let parents = route.field.at(&["spec", "parentRefs"]);
    let parents = parents.map(|parents| parents.items()).unwrap_or_default();
    parents
        .iter()
        .any(|parent| parent.text_at("kind") == Some("Server"))
}

pub(super) fn read(
    servers: &[&Resource<'_>],
    routes: &[&Resource<'_>],
    policies: &[&Resource<'_>],
    authentications: &[Authentication],
) -> Vec<Guard> {
    let routes: Vec<Route> = routes.iter().map(|route| Route::read(route)).collect();
    let grants: Vec<Grant<'_>> = policies
        .iter()
        .filter_map(|policy| Grant::read(policy, authentications))
        .collect();
    for grant in &grants {
        grant.report_if_unused(servers, &routes);
    }
    servers
        .iter()
        .filter_map(|server| guard(server, &routes, &grants))
        .collect()
}

/// An HTTPRoute attached to Servers.
struct Route {
    name: String,
    namespace: String,
    servers: Vec<String>,
    clauses: Vec<Clause>,
}

impl Route {
    fn read(resource: &Resource<'_>) -> Self {
        let mut servers = Vec::new();
        let mut clauses = Vec::new();
        if let Some(spec) = resource.field.get("spec") {
            for parent in spec.list("parentRefs") {
                parent.skip("group");
                parent.skip("namespace");
                parent.skip("kind");
                servers.extend(parent.text_at("name").map(str::to_owned));
            }
            spec.lose(
                "hostnames",
                "a policy is about the workload's own requests, whatever their host",
            );
            for rule in spec.list("rules") {
                rule.lose("filters", "are not part of the policy");
                for one in rule.list("matches") {
                    let Some(read) = matching::read(&one) else {
                        continue;
                    };
                    match Clause::of_match(&read) {
                        Ok(clause) => clauses.push(clause),
                        Err(what) => one.lost(format!(
                            "{what} cannot be said in a policy: these requests will be denied"
                        )),
                    }
                }
            }
        }
        Self {
            name: resource.name.clone(),
            namespace: resource.namespace.clone(),
            servers,
            clauses,
        }
    }
}

/// An AuthorizationPolicy: whom it lets in where.
struct Grant<'a> {
    name: String,
    namespace: String,
    kind: String,
    target: String,
    sources: Vec<Source>,
    field: Field<'a>,
}

impl<'a> Grant<'a> {
    fn read(resource: &Resource<'a>, authentications: &[Authentication]) -> Option<Self> {
        let spec = resource.field.get("spec")?;
        let target = spec.get("targetRef")?;
        target.skip("group");
        let (kind, name) = (target.text_at("kind")?, target.text_at("name")?);
        let mut sources = vec![Source::default()];
        for reference in spec.list("requiredAuthenticationRefs") {
            reference.skip("group");
            let required = required(&reference, resource, authentications)?;
            sources = all_of(&sources, &required).or_else(|| {
                reference.lost("asks for two identities at once, or two networks: nobody will be let in by this policy");
                None
            })?;
        }
        Some(Self {
            name: resource.name.clone(),
            namespace: resource.namespace.clone(),
            kind: kind.to_owned(),
            target: name.to_owned(),
            sources,
            field: resource.field.clone(),
        })
    }

    fn report_if_unused(&self, servers: &[&Resource<'_>], routes: &[Route]) {
        let known = match self.kind.as_str() {
            "Server" => servers
                .iter()
                .any(|server| server.name == self.target && server.namespace == self.namespace),
            "HTTPRoute" => routes
                .iter()
                .any(|route| route.name == self.target && route.namespace == self.namespace),
            "Namespace" => servers.iter().any(|server| server.namespace == self.target),
            _ => false,
        };
        if !known {
            self.field.ledger().lost(
                &self.field.spot(),
                format!(
                    "targets the {} {:?}, which is not among these files",
                    self.kind, self.target
                ),
            );
        }
    }

    fn policy(&self, routes: &[&Route]) -> Option<Policy> {
        let anybody = self.sources == [Source::default()];
        let from = if anybody {
            Vec::new()
        } else {
            self.sources.clone()
        };
        let mut rules = Vec::new();
        if self.kind == "HTTPRoute" {
            let route = routes.iter().find(|route| route.name == self.target)?;
            rules.extend(route.clauses.iter().map(|clause| clause.rule(from.clone())));
        } else {
            rules.push(Rule {
                from,
                ..Rule::default()
            });
        }
        Some(Policy {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            rules,
        })
    }
}

fn required(
    reference: &Field<'_>,
    resource: &Resource<'_>,
    authentications: &[Authentication],
) -> Option<Vec<Source>> {
    let kind = reference.text_at("kind")?;
    let name = reference.text_at("name")?;
    let namespace = reference
        .text_at("namespace")
        .unwrap_or(&resource.namespace);
    if kind == "ServiceAccount" {
        return Some(vec![Source {
            principals: vec![format!("cluster.local/ns/{namespace}/sa/{name}")],
            ..Source::default()
        }]);
    }
    let found = authentications
        .iter()
        .find(|one| one.kind == kind && one.name == name && one.namespace == namespace);
    if found.is_none() {
        reference.lost(format!("the {kind} {namespace}/{name} is not among these files: nobody will be let in by this policy"));
    }
    found.map(|one| one.sources.clone())
}

/// Sources that satisfy one of each list.
fn all_of(some: &[Source], others: &[Source]) -> Option<Vec<Source>> {
    let mut all = Vec::new();
    for one in some {
        for other in others {
            let identities =
                |source: &Source| !source.principals.is_empty() || !source.namespaces.is_empty();
            let clash = (identities(one) && identities(other))
                || (!one.ip_blocks.is_empty() && !other.ip_blocks.is_empty());
            if clash {
                return None;
            }
            all.push(Source {
                principals: [one.principals.clone(), other.principals.clone()].concat(),
                namespaces: [one.namespaces.clone(), other.namespaces.clone()].concat(),
                ip_blocks: [one.ip_blocks.clone(), other.ip_blocks.clone()].concat(),
                not_ip_blocks: [one.not_ip_blocks.clone(), other.not_ip_blocks.clone()].concat(),
                ..Source::default()
            });
        }
    }
    Some(all)
}

fn guard(server: &Resource<'_>, routes: &[Route], grants: &[Grant<'_>]) -> Option<Guard> {
    let spec = server.field.get("spec")?;
    if let Some(protocol) = spec.get("proxyProtocol")
        && !matches!(
            protocol.text(),
            Some("unknown" | "HTTP/1" | "HTTP/2" | "gRPC")
        )
    {
        protocol.lost(
            "its traffic is not HTTP that a filter could judge: leave this Server with Linkerd",
        );
    }
    spec.lose(
        "externalWorkloadSelector",
        "is about workloads outside Kubernetes",
    );
    let selector = spec.get("podSelector").map(|field| selector(&field));
    let selector = match selector {
        Some(None) => {
            spec.take();
            return None;
        }
        Some(found) => found,
        None => None,
    };
    let port = spec.get("port").and_then(|port| match port.raw_text() {
        Ok(name) => {
            port.lost(format!(
                "the port {name:?} is named: write its number, or the policy holds for all ports"
            ));
            None
        }
        Err(()) => port.port(),
    });
    let mut policies = Vec::new();
    if let Some(access) = spec.get("accessPolicy") {
        policies.extend(default_policy(&access, server));
    }
    let here = |route: &&Route| {
        route.namespace == server.namespace && route.servers.contains(&server.name)
    };
    let attached: Vec<&Route> = routes.iter().filter(here).collect();
    for grant in grants {
        let concerns = match grant.kind.as_str() {
            "Server" => grant.target == server.name && grant.namespace == server.namespace,
            "HTTPRoute" => attached.iter().any(|route| route.name == grant.target),
            "Namespace" => grant.target == server.namespace,
            _ => false,
        };
        if concerns {
            policies.extend(grant.policy(&attached));
        }
    }
    // A Server by itself lets nobody in.
    if policies.is_empty() {
        policies.push(Policy {
            name: format!("{}-nobody", server.name),
            namespace: server.namespace.clone(),
            rules: Vec::new(),
        });
    }
    Some(Guard {
        scope: Scope {
            name: format!("authz-policy-{}", server.name),
            namespace: server.namespace.clone(),
            selector: canonical(selector.map(|selector| ("selector".to_owned(), selector))),
            port,
        },
        policies: policies.iter().map(Acting::from).collect(),
        except: Vec::new(),
        at_gateways: false,
        spot: Some(server.field.spot()),
    })
}

/// Labels, as Istio's selectors have them; none if the selector says more.
fn selector(field: &Field<'_>) -> Option<meshpack_sdk::config::Node> {
    use meshpack_sdk::config::Node;
    let mut labels: Vec<(String, Node)> = Vec::new();
    if let Some(written) = field.get("matchLabels") {
        for (key, value) in written.entries() {
            labels.push((key.to_owned(), Node::String(value.text()?.to_owned())));
        }
    }
    for expression in field.list("matchExpressions") {
        let values = expression.list("values");
        let values: Vec<&str> = values.iter().filter_map(Field::text).collect();
        let key = expression.text_at("key")?;
        match (expression.text_at("operator"), values.as_slice()) {
            (Some("In"), [value]) => {
                labels.push((key.to_owned(), Node::String((*value).to_owned())));
            }
            _ => {
                expression.lost("asks for more than one value of a label, and Istio's selectors have labels alone: write a Server for each value, or give the pods a label of their own. This Server is left out");
                return None;
            }
        }
    }
    Some(crate::json::object([(
        "matchLabels",
        crate::json::object(labels),
    )]))
}

/// `accessPolicy`: whom the Server lets in by itself.
fn default_policy(access: &Field<'_>, server: &Resource<'_>) -> Option<Policy> {
    let principals = match access.text()? {
        "deny" => return None,
        "all-unauthenticated" | "cluster-unauthenticated" => Vec::new(),
        "all-authenticated" => vec!["*".to_owned()],
        "cluster-authenticated" => vec!["cluster.local/*".to_owned()],
        other => {
            access.lost(format!(
                "{other:?} cannot be carried over: the policies alone decide"
            ));
            return None;
        }
    };
    if access.text()? == "cluster-unauthenticated" {
        access.note("the cluster's networks are not known here: everybody is let in");
    }
    let from = match principals.is_empty() {
        true => Vec::new(),
        false => vec![Source {
            principals,
            ..Source::default()
        }],
    };
    Some(Policy {
        name: format!("{}-access", server.name),
        namespace: server.namespace.clone(),
        rules: vec![Rule {
            from,
            ..Rule::default()
        }],
    })
}
