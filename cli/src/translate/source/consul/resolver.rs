//! service-resolver: what the subsets of a service are, and where it is otherwise found.

use meshpack_sdk::config::Node;

use super::super::Context;
use super::{Entry, get, lose, text};
use crate::json::object;
use crate::translate::ledger::Field;
use crate::translate::model::Mesh;
use crate::translate::model::traffic::{Backend, Limits};
use crate::translate::options::Target;

/// Gives the subsets that splitters and routers name a meaning, or says that they have none.
/// Routes from `first` on are Consul's.
pub(super) fn read_all(resolvers: &[Entry<'_>], first: usize, cx: &Context<'_>, mesh: &mut Mesh) {
    for resolver in resolvers {
        let subsets = read(resolver, cx, mesh);
        if cx.options.to == Target::Wasmplugin && !subsets.is_empty() {
            mesh.kept.push(destination_rule(resolver, subsets));
        }
    }
    if cx.options.to == Target::Envoy {
        return;
    }
    let defines = |host: &str| resolvers.iter().any(|resolver| resolver.name == host);
    for rule in mesh
        .routes
        .iter()
        .skip(first)
        .flat_map(|routes| &routes.rules)
    {
        let mut arms = rule.arms.iter();
        let undefined = arms.find(|arm| arm.to.subset.is_some() && !defines(&arm.to.host));
        if let Some(arm) = undefined {
            cx.ledger.lost(
                &rule.spot,
                format!("names subsets of {}, and its service-resolver is not among these files: in Istio a DestinationRule must define them, or requests find no endpoint", arm.to.host),
            );
        }
    }
}

/// Names of the subsets, and the labels of their pods.
fn read(resolver: &Entry<'_>, cx: &Context<'_>, mesh: &mut Mesh) -> Vec<(String, Node)> {
    let field = &resolver.field;
    for (key, reason) in [
        (
            "Redirect",
            "sends calls to another service: have the routes do that",
        ),
        (
            "Failover",
            "endpoints elsewhere are Istio's localities and DestinationRules",
        ),
        ("LoadBalancer", "is the DestinationRule's business"),
        ("RequestTimeout", "is the route's business"),
        ("PrioritizeByLocality", "is the DestinationRule's business"),
        (
            "DefaultSubset",
            "calls that name no subset go to all of the service here",
        ),
    ] {
        lose(field, key, reason);
    }
    if let Some(timeout) = get(field, "ConnectTimeout").and_then(|time| time.duration()) {
        mesh.backends.push(Backend {
            limits: Limits {
                connect_timeout: Some(timeout),
                ..Limits::default()
            },
            ..Backend::new(&resolver.name, &resolver.namespace, None)
        });
    }
    let Some(subsets) = get(field, "Subsets") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, subset) in subsets.entries() {
        lose(&subset, "OnlyPassing", "health is Kubernetes' business");
        let filter = get(&subset, "Filter");
        if cx.options.to == Target::Envoy {
            // Its endpoints are given with --endpoint, which a note says.
            subset.take();
            continue;
        }
        match filter.as_ref().and_then(labels) {
            Some((key, value)) => {
                subset.note(format!("is chosen by the pods' label {key}={value} here, by the service's meta in Consul: see that the pods have it"));
                let labels = object([(key, Node::String(value.to_owned()))]);
                found.push((name.to_owned(), labels));
            }
            None => subset.lost("is not chosen by one value of Service.Meta: define the subset in a DestinationRule"),
        }
    }
    found
}

/// `Service.Meta.version == v1`, also with quotes.
fn labels<'a>(filter: &Field<'a>) -> Option<(&'a str, &'a str)> {
    let (key, value) = filter.text()?.split_once("==")?;
    let key = key.trim().strip_prefix("Service.Meta.")?;
    let value = value.trim().trim_matches('"');
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    (plain(key) && plain(value)).then_some((key, value))
}

fn destination_rule(resolver: &Entry<'_>, subsets: Vec<(String, Node)>) -> Node {
    let subsets = subsets
        .into_iter()
        .map(|(name, labels)| object([("name", Node::String(name)), ("labels", labels)]));
    let string = |text: &str| Node::String(text.to_owned());
    let mut spec = vec![
        ("host", string(&resolver.name)),
        ("subsets", Node::List(subsets.collect())),
    ];
    let timeout = text(&resolver.field, "ConnectTimeout").map(string);
    if let Some(timeout) = timeout {
        let tcp = object([("tcp", object([("connectTimeout", timeout)]))]);
        spec.push(("trafficPolicy", object([("connectionPool", tcp)])));
    }
    object([
        ("apiVersion", string("networking.istio.io/v1")),
        ("kind", string("DestinationRule")),
        (
            "metadata",
            object([
                ("name", string(&resolver.name)),
                ("namespace", string(&resolver.namespace)),
            ]),
        ),
        ("spec", object(spec)),
    ])
}
