//! The same policies in native RBAC and in the filter, thousands of requests,
//! and not one disagreement.
//!
//! Native RBAC runs in front as shadow rules, so both decide on the very same
//! request on the very same connection; its answer comes back in a header.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshpack_e2e::authz::random::{IDENTITIES, PEERS, Random, SERVER_NAMES};
use meshpack_e2e::authz::{
    DETAILS, OTHER_HEADER, PAYLOAD_HEADER, config, filter, listener, metadata_header, native,
};
use meshpack_harness::{
    Certificates, Client, DEFAULT_VERSION, Envoy, EnvoyVersion, HttpFilter, Port, Request,
    Response, versions,
};
use serde_json::Value;

/// Sets of policies; each listens in plain text, over TLS and over mutual TLS.
const SETS: u64 = 16;
/// Sets on each of the older versions.
const SETS_BEFORE: u64 = 4;
/// Before it, native RBAC joins the values of a repeated header (CVE-2026-26308).
const SINGLE_VALUES_SINCE: EnvoyVersion = EnvoyVersion::new(1, 38, 0);
/// Requests to each of the three.
const REQUESTS: usize = 120;

#[derive(Default)]
struct Tally {
    compared: usize,
    by_details: BTreeMap<String, usize>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_equals_native_rbacs() {
    let tally = compare_sets(DEFAULT_VERSION, SETS).await;
    println!(
        "{} requests compared: {:#?}",
        tally.compared, tally.by_details
    );
    assert_eq!(tally.compared, SETS as usize * 3 * REQUESTS);
    // The vocabulary must not have drifted to where one answer is always right.
    let denied = tally
        .by_details
        .iter()
        .filter(|(details, _)| details.starts_with("rbac"));
    let denied: usize = denied.map(|(_, count)| count).sum();
    let share = denied * 100 / tally.compared;
    assert!((15..=85).contains(&share), "{share} % denied");
    assert!(tally.by_details.len() > 20, "{:#?}", tally.by_details);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_equals_native_rbacs_on_older_versions() {
    let older = versions().unwrap().into_iter();
    for version in older.filter(|version| *version != DEFAULT_VERSION) {
        let tally = compare_sets(version, SETS_BEFORE).await;
        assert_eq!(tally.compared, SETS_BEFORE as usize * 3 * REQUESTS);
        assert!(tally.by_details.len() > 5, "{:#?}", tally.by_details);
    }
}

async fn compare_sets(version: EnvoyVersion, count: u64) -> Tally {
    let certificates = Certificates::new().unwrap();
    let server = certificates
        .issue(&[SERVER_NAMES, &["localhost"]].concat())
        .unwrap();
    let mut sets: Vec<Vec<Value>> = Vec::new();
    let mut builder = Envoy::builder().version(version);
    // Policies name them before Envoy listens on them.
    let mut held = Vec::new();
    for set in 0..count {
        let ports = [(); 3].map(|()| Port::hold().unwrap());
        let texts = ports
            .each_ref()
            .map(|port| port.address().port().to_string());
        let mut names: Vec<&str> = texts.iter().map(String::as_str).collect();
        names.extend(["80", "080"]);
        let policies = Random::new(set).policies(&names);
        let chain = || {
            let mut filters: Vec<HttpFilter> = native::shadow(&policies);
            filters.push(filter(&trusting(&policies)).into());
            filters
        };
        let [plain, tls, mutual] = &ports;
        builder = builder
            .listener(listener(&format!("plain-{set}"), chain()).port(plain))
            .listener(
                listener(&format!("tls-{set}"), chain())
                    .port(tls)
                    .tls(certificates.server_tls(&server)),
            )
            .listener(
                listener(&format!("mutual-{set}"), chain())
                    .port(mutual)
                    .tls(certificates.mutual_tls(&server)),
            );
        sets.push(policies);
        held.push(ports);
    }
    let envoy = builder.start().await.unwrap();
    let configs: Vec<_> = IDENTITIES
        .iter()
        .map(|names| {
            let identity = certificates.issue(names).unwrap();
            certificates.client_tls(Some(&identity)).unwrap()
        })
        .collect();
    let anonymous = certificates.client_tls(None).unwrap();

    let mut tally = Tally::default();
    for (set, policies) in sets.iter().enumerate() {
        let mut random = Random::new(1000 + set as u64);
        let from = |random: &mut Random, client: Client| {
            client.from_ip(random.pick(PEERS).parse().unwrap())
        };
        for name in [
            format!("plain-{set}"),
            format!("tls-{set}"),
            format!("mutual-{set}"),
        ] {
            let address = envoy.address(&name);
            let clients: Vec<Client> = (0..6)
                .map(|_| {
                    let client = from(&mut random, Client::http1(address));
                    let server_name = random.pick(SERVER_NAMES);
                    match &name[..1] {
                        "p" => client,
                        "t" => client.tls(anonymous.clone(), server_name),
                        _ => {
                            let config = &configs[random.below(configs.len())];
                            client.tls(Arc::clone(config), server_name)
                        }
                    }
                })
                .collect();
            for _ in 0..REQUESTS {
                let client = &clients[random.below(clients.len())];
                let (request, shown) = request(&mut random, version);
                let answer = client.send(request).await.unwrap();
                let what = format!("{version} {name} {shown}");
                compare(&answer, policies, &what, &mut tally);
            }
        }
    }
    tally
}

/// The trust domain of these tests, so that `cluster.local` is no alias.
fn trusting(policies: &[Value]) -> Value {
    let mut config = config(policies);
    config["trustDomain"] = "td".into();
    config["decisionLog"] = serde_json::json!({"denied": false});
    config
}

fn request(random: &mut Random, version: EnvoyVersion) -> (Request, String) {
    const METHODS: &[&str] = &["GET", "GET", "POST", "PUT"];
    const PATHS: &[&str] = &[
        "/a",
        "/a/b",
        "/a/b/c",
        "/a/",
        "/b",
        "/A",
        "/a?x=/b",
        "/a//b",
        "/a/b|c",
        "/a/*",
        "/",
        "/a%2fb",
        "/a%2Fb",
        "/a/b?k=1&k=2",
        "//a",
        "/a;x/b",
        "/a/../b",
        "/a/./b",
        "/%61",
        "/x/c",
        "/b/a/c",
        "/a/x/c",
        "/a/%zz",
    ];
    const HOSTS: &[&str] = &["a.com", "A.COM", "a.com:80", "b.com", "x.a.com", "a.com."];
    const VALUES: &[&str] = &["a", "ab", "b", "ba", "", "a,b", "b*", "\u{e9}a"];
    const FORWARDED: &[&str] = &[
        "10.1.2.3",
        "11.0.0.1",
        "2001:db8::9",
        "10.9.9.9, 10.1.2.3",
        "x",
        "::1",
    ];
    let (method, path, host) = (random.pick(METHODS), random.pick(PATHS), random.pick(HOSTS));
    let mut shown = format!("{method} {path} {host}");
    let mut request = Request::new(method, path).authority(host);
    let mut headers: Vec<(&str, String)> = Vec::new();
    let mut names = vec!["x-a", "X-A", "x-b"];
    for _ in 0..random.below(4).min(names.len()) {
        let name = random.pick(&names);
        headers.push((name, random.pick(VALUES).to_owned()));
        if version < SINGLE_VALUES_SINCE {
            names.retain(|other| !other.eq_ignore_ascii_case(name));
            names.push("x-c");
        }
    }
    if random.chance(50) {
        headers.push(("x-forwarded-for", random.pick(FORWARDED).to_owned()));
    }
    if random.chance(70) {
        let payload = random.payload();
        shown += &format!(" {payload}");
        request = request.header(PAYLOAD_HEADER, metadata_header(&payload));
    }
    if random.chance(50) {
        let other = random.other_metadata();
        shown += &format!(" k={other}");
        request = request.header(OTHER_HEADER, metadata_header(&other));
    }
    for (name, value) in headers {
        shown += &format!(" {name}:{value:?}");
        request = request.header(name, value.as_bytes());
    }
    (request, shown)
}

fn compare(answer: &Response, policies: &[Value], what: &str, tally: &mut Tally) {
    let native = |name: &str| match answer.header(&format!("x-native-{name}")) {
        None | Some("" | "-") => None,
        Some(text) => Some(text.to_owned()),
    };
    let denied = native("deny-shadow-engine-result").as_deref() == Some("denied");
    let allowed = native("allow-shadow-engine-result").as_deref() != Some("denied");
    let id = if denied {
        native("deny-shadow-effective-policy-id")
    } else {
        None
    };
    let expected = if denied || !allowed {
        let id = id.unwrap_or_else(|| "none".to_owned());
        (403, format!("rbac_access_denied_matched_policy[{id}]"))
    } else {
        (200, "direct_response".to_owned())
    };
    let details = answer.header(DETAILS).unwrap_or_default().to_owned();
    assert_eq!(
        (answer.status, details.clone()),
        expected,
        "{what}\n{:?}\n{}",
        answer.headers,
        serde_json::to_string_pretty(policies).unwrap()
    );
    tally.compared += 1;
    *tally.by_details.entry(details).or_default() += 1;
}
