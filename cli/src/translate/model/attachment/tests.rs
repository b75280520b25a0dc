use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn scope(namespace: &str, labels: &[(&str, &str)]) -> Scope {
    let labels: Vec<(String, String)> = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Scope {
        name: String::new(),
        namespace: namespace.to_owned(),
        selector: (!labels.is_empty()).then(|| ("selector".to_owned(), selector(&labels))),
        port: None,
    }
}

/// Namespace and labels.
type Pods<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)]);

fn gateways(complete: bool, pods: &[Pods<'_>]) -> Layout {
    let pods = pods.iter().map(|(namespace, labels)| GatewayPods {
        namespace: namespace.map(str::to_owned),
        labels: scope("", labels).labels(),
    });
    Layout {
        gateways: pods.collect(),
        complete,
        ..Layout::default()
    }
}

#[test]
fn a_policy_acts_where_istio_has_it_act() {
    let none = gateways(true, &[]);
    let edge: &[(&str, &str)] = &[("app", "edge"), ("istio", "edge")];
    let known = gateways(true, &[(Some("ingress"), edge)]);
    // What is selected; whether sidecars are; how many gateways.
    for (gateways, scope, sidecars, count) in [
        (&none, scope("shop", &[("app", "orders")]), true, 0),
        (&none, scope("shop", &[]), true, 0),
        (
            &none,
            scope("istio-system", &[("istio", "ingressgateway")]),
            false,
            1,
        ),
        (&none, scope("x", &[("istio", "egressgateway")]), false, 1),
        (
            &none,
            scope("x", &[("gateway.networking.k8s.io/gateway-name", "web")]),
            false,
            1,
        ),
        (
            &known,
            scope("ingress", &[("istio", "edge"), ("app", "edge")]),
            false,
            1,
        ),
        (&known, scope("ingress", &[("app", "edge")]), true, 1),
        (&none, scope("x", &[("app", "istio-ingress")]), false, 1),
        (&none, scope("x", &[("istio", "pilot")]), true, 0),
        (&known, scope("ingress", &[("app", "orders")]), true, 0),
        (&known, scope("ingress", &[]), true, 1),
        (&known, scope("shop", &[]), true, 0),
        (&known, scope("istio-system", &[]), true, 1),
    ] {
        let places = gateways.places(&scope);
        assert_eq!(
            (places.sidecars, places.gateways.len()),
            (sidecars, count),
            "{scope:?}"
        );
        assert_eq!(places.unreached, None, "{scope:?}");
    }
}

#[test]
fn where_the_files_do_not_tell_it_is_said() {
    let unknown = gateways(false, &[(None, &[("istio", "ingressgateway")])]);
    for namespace in ["shop", "istio-system"] {
        let places = unknown.places(&scope(namespace, &[]));
        assert_eq!(places.gateways.len(), 1);
        assert!(places.unreached.unwrap().contains("--gateway"));
    }
    assert_eq!(
        unknown.places(&scope("shop", &[("app", "a")])).unreached,
        None
    );
}

#[test]
fn targets_are_gateways_or_not_reached() {
    let target = |kind: &str| {
        let entries = [("kind", Node::String(kind.to_owned()))];
        canonical(Some(("targetRef".to_owned(), object(entries))))
    };
    for (kind, reached) in [
        ("Gateway", true),
        ("Service", false),
        ("GatewayClass", false),
    ] {
        let scope = Scope {
            selector: target(kind),
            ..scope("shop", &[])
        };
        let places = Layout::default().places(&scope);
        assert!(!places.sidecars);
        assert_eq!(places.unreached.is_none(), reached, "{kind}");
    }
}

proptest! {
    #[test]
    fn no_two_selectors_get_one_name(
        selectors in proptest::collection::vec(
            proptest::collection::btree_map("(app|tier|a\\.b/c)", "[a-bA-B.-]{1,3}|[a-b]{60,63}", 1..4),
            2..40,
        ),
        turned in any::<bool>(),
    ) {
        let mut names: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for labels in &selectors {
            let mut labels: Vec<(String, String)> =
                labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            let sorted = labels.clone();
            if turned {
                labels.reverse();
            }
            let one = canonical(Some(("selector".to_owned(), selector(&labels))));
            let name = plugin_name("authz-policy", &one);
            prop_assert!(name.len() <= 63, "{name}");
            prop_assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            let known = names.entry(name.clone()).or_insert_with(|| sorted.clone());
            prop_assert_eq!(&*known, &sorted, "{}", name);
        }
    }
}
