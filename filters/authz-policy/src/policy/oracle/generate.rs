//! Policies and requests from a small vocabulary, so that they meet often.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value as Json, json};

use super::plain::Plain;

const PATHS: &[&str] = &[
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/",
    "/b",
    "/a*",
    "/a/*",
    "*/b",
    "*c",
    "*",
    "/a/{*}",
    "/{*}/b",
    "/a/{**}",
    "/{**}/c",
    "/a/{*}/c",
    "/a/{**}/c",
    "/A",
    "/*",
];
const REQUEST_PATHS: &[&str] = &[
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/",
    "/b",
    "/A",
    "/a?x=/b",
    "/a#/b",
    "/a//b",
    "/a/b|c",
    "/a/*",
    "/",
    "*",
    "/a%2fb",
    "/a/b?k=1&k=2",
    "//a",
    "/a;x/b",
    "",
];
const HOSTS: &[&str] = &[
    "a.com", "*.com", "a*", "*", "A.com:80", "b.com", "a.com:*", "*:80",
];
const REQUEST_HOSTS: &[&str] = &[
    "a.com", "A.COM", "a.com:80", "b.com", "x.a.com", "a.com.", "",
];
const METHODS: &[&str] = &["GET", "POST", "P*", "*T", "*", "get"];
const REQUEST_METHODS: &[&str] = &["GET", "POST", "PUT", "get"];
const PORTS: &[&str] = &["80", "080", "8080", "0"];
const PRINCIPALS: &[&str] = &[
    "td/ns/a/sa/x",
    "td/ns/b/sa/y",
    "td/ns/a/*",
    "*/sa/x",
    "*",
    "other/ns/a/sa/x",
    "td*",
    "*x",
];
const IDS: &[&str] = &[
    "spiffe://td/ns/a/sa/x",
    "spiffe://td/ns/b/sa/y",
    "spiffe://other/ns/a/sa/x",
    "spiffe://td/ns/a/k/v/sa/x/more",
    "spiffe://td/ns/a/ns/b/sa/y",
    "CN=client",
    "spiffe://td",
];
const NAMESPACES: &[&str] = &["a", "b", "a*", "*", "*b", "."];
const ACCOUNTS: &[&str] = &["x", "y", "a/x", "b/y", "b/x"];
const TRUST_DOMAINS: &[&str] = &["td", "other", "*", "t*", "*r"];
const BLOCKS: &[&str] = &[
    "10.0.0.0/8",
    "10.1.2.3",
    "10.1.2.3/16",
    "::1",
    "2001:db8::/32",
    "0.0.0.0/0",
    "::/0",
    "10.1.0.0/17",
];
const ADDRESSES: &[&str] = &[
    "10.1.2.3",
    "10.9.9.9",
    "11.0.0.1",
    "::1",
    "2001:db8::9",
    "10.1.200.1",
];
const TOKENS: &[&str] = &[
    "i/s",
    "*",
    "i/*",
    "*/s",
    "i",
    "i*",
    "*s",
    "*i/s",
    "i/s*",
    "https://i/s",
];
const TEXTS: &[&str] = &["a", "a*", "*a", "*", "b", "ab", "a,b", "*b*"];
const VALUES: &[&str] = &["a", "ab", "b", "ba", "", "a,b", "b*"];
const FILTER_TEXTS: &[&str] = &["a", "[a]", "[*]", "*", "[a*]", "[[b]]"];

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = Json> {
    subsequence(values, 1..=2.min(values.len())).prop_map(|values| json!(values))
}

/// An object with some of these keys, at least one.
fn fields(
    all: &'static [(&'static str, &'static [&'static str])],
    most: usize,
) -> impl Strategy<Value = Json> {
    subsequence(all, 1..=most).prop_flat_map(|chosen| {
        let lists: Vec<_> = chosen
            .into_iter()
            .map(|(key, values)| some_of(values).prop_map(move |list| (key.to_owned(), list)))
            .collect();
        lists.prop_map(|entries| Json::Object(entries.into_iter().collect()))
    })
}

fn source() -> impl Strategy<Value = Json> {
    fields(
        &[
            ("principals", PRINCIPALS),
            ("notPrincipals", PRINCIPALS),
            ("namespaces", NAMESPACES),
            ("notNamespaces", NAMESPACES),
            ("trustDomains", TRUST_DOMAINS),
            ("notTrustDomains", TRUST_DOMAINS),
            ("ipBlocks", BLOCKS),
            ("notIpBlocks", BLOCKS),
            ("remoteIpBlocks", BLOCKS),
            ("notRemoteIpBlocks", BLOCKS),
            ("requestPrincipals", TOKENS),
            ("notRequestPrincipals", TOKENS),
        ],
        2,
    )
    .boxed()
    .prop_union(
        fields(
            &[
                ("serviceAccounts", ACCOUNTS),
                ("notServiceAccounts", ACCOUNTS),
            ],
            1,
        )
        .boxed(),
    )
}

fn operation() -> impl Strategy<Value = Json> {
    fields(
        &[
            ("paths", PATHS),
            ("notPaths", PATHS),
            ("hosts", HOSTS),
            ("notHosts", HOSTS),
            ("methods", METHODS),
            ("notMethods", METHODS),
            ("ports", PORTS),
            ("notPorts", PORTS),
        ],
        3,
    )
}

fn condition() -> impl Strategy<Value = Json> {
    let key = select(
        &[
            ("request.headers[x-A]", TEXTS),
            ("request.headers[:authority]", HOSTS),
            ("source.ip", BLOCKS),
            ("remote.ip", BLOCKS),
            ("destination.ip", BLOCKS),
            ("destination.port", PORTS),
            ("connection.sni", HOSTS),
            ("source.principal", PRINCIPALS),
            ("source.namespace", NAMESPACES),
            ("source.serviceAccount", ACCOUNTS),
            ("source.trustDomain", TRUST_DOMAINS),
            ("request.auth.principal", TOKENS),
            ("request.auth.audiences", TEXTS),
            ("request.auth.presenter", TEXTS),
            ("request.auth.claims[c]", TEXTS),
            ("request.auth.claims[n][c]", TEXTS),
            ("experimental.envoy.filters.http.f[k]", FILTER_TEXTS),
        ][..],
    );
    (key, any::<(bool, bool)>()).prop_flat_map(|((key, values), (is, not))| {
        (some_of(values), some_of(values)).prop_map(move |(yes, no)| {
            let mut when = Map::new();
            when.insert("key".into(), key.into());
            if is || !not {
                when.insert("values".into(), yes);
            }
            if not {
                when.insert("notValues".into(), no);
            }
            Json::Object(when)
        })
    })
}

fn rule() -> impl Strategy<Value = Json> {
    (
        vec(source().prop_map(|s| json!({"source": s})), 0..=2),
        vec(operation().prop_map(|o| json!({"operation": o})), 0..=2),
        vec(condition(), 0..=2),
    )
        .prop_map(|(from, to, when)| {
            let mut rule = Map::new();
            for (key, list) in [("from", from), ("to", to), ("when", when)] {
                if !list.is_empty() {
                    rule.insert(key.into(), list.into());
                }
            }
            Json::Object(rule)
        })
}

/// Policies with distinct names, most of them enforced.
pub(super) fn policies(most: usize) -> impl Strategy<Value = Vec<Json>> {
    let policy = (
        select(&["ALLOW", "DENY", "DENY", "AUDIT"][..]),
        vec(rule(), 1..=3),
        select(&["default", "a", "b"][..]),
        prop::bool::weighted(0.15),
    );
    vec(policy, 0..=most).prop_map(|policies| {
        policies
            .into_iter()
            .enumerate()
            .map(|(number, (action, rules, namespace, dry_run))| {
                let mut policy = json!({
                    "metadata": {"name": format!("p{number}"), "namespace": namespace},
                    "spec": {"action": action, "rules": rules},
                });
                if action != "AUDIT" {
                    policy["metadata"]["annotations"] =
                        json!({"istio.io/dry-run": dry_run.to_string()});
                }
                policy
            })
            .collect()
    })
}

fn claims() -> impl Strategy<Value = Json> {
    let text = || select(VALUES).prop_map(Json::from);
    let claim = prop_oneof![
        3 => text(),
        2 => vec(text(), 0..=3).prop_map(Json::from),
        1 => Just(json!([1, true, null, {"a": "a"}, ["a"]])),
        1 => Just(json!(7)),
        1 => Just(json!(null)),
    ];
    let name = select(&["aud", "azp", "c"][..]);
    let id = |all: &'static [&'static str]| option::weighted(0.9, select(all).prop_map(Json::from));
    (
        id(&["i", "xi", "https://i", ""]),
        id(&["s", "xs", ""]),
        vec((name, claim.clone()), 0..=3),
        option::of(claim),
    )
        .prop_map(|(iss, sub, claims, nested)| {
            let mut payload = Map::new();
            let parts = [("iss", iss), ("sub", sub)];
            payload.extend(
                parts
                    .into_iter()
                    .filter_map(|(k, v)| Some((k.to_owned(), v?))),
            );
            payload.extend(claims.into_iter().map(|(k, v)| (k.to_owned(), v)));
            if let Some(nested) = nested {
                payload.insert("n".into(), json!({"c": nested}));
            }
            Json::Object(payload)
        })
}

/// Requests.
pub(super) fn request() -> impl Strategy<Value = Plain> {
    let text = |all: &'static [&'static str]| select(all).prop_map(str::to_owned);
    let address = || select(ADDRESSES).prop_map(|text| text.parse().unwrap());
    let filter = prop_oneof![
        Just(json!({})),
        Just(json!({"k": "a"})),
        Just(json!({"k": ["b", "a"]})),
        Just(json!({"k": 1})),
    ];
    (
        (
            option::weighted(0.95, text(REQUEST_PATHS)),
            option::weighted(0.95, text(REQUEST_HOSTS)),
            text(REQUEST_METHODS),
            vec((select(&["x-a", "x-b"][..]), text(VALUES)), 0..=3),
            option::weighted(0.8, text(IDS)),
        ),
        (
            address(),
            option::weighted(0.9, address()),
            option::weighted(0.9, (address(), select(&[80_u16, 8080, 0][..]))),
            text(REQUEST_HOSTS),
            option::weighted(0.8, claims()),
            filter,
        ),
    )
        .prop_map(|((path, host, method, mut headers, principal), rest)| {
            let (direct_ip, remote_ip, destination, sni, payload, filter) = rest;
            if let Some(host) = &host {
                headers.push((":authority", host.clone()));
            }
            let mut metadata = Map::new();
            metadata.insert("envoy.filters.http.f".into(), filter);
            if let Some(payload) = payload {
                metadata.insert(
                    "envoy.filters.http.jwt_authn".into(),
                    json!({"payload": payload}),
                );
            }
            Plain {
                path,
                host,
                method,
                headers: headers
                    .into_iter()
                    .map(|(k, v)| (k.to_owned(), v))
                    .collect(),
                principal,
                direct_ip: Some(direct_ip),
                remote_ip,
                destination,
                sni,
                metadata: Json::Object(metadata),
            }
        })
}
