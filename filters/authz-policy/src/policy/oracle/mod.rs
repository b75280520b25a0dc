//! The compiled set held against plain evaluators.

mod generate;
mod plain;

use meshpack_sdk::HeaderMap;
use meshpack_sdk::config::parse;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::config::Config;
use crate::policy::engine::{Outcome, PolicySet, RuleRef, Shadow, Verdict};
use crate::policy::model::Action;
use crate::policy::request::{Attribute, Request};
use crate::policy::testing::{Fixture, encoded, metadata_of};
use crate::policy::value::Tri;
use plain::Plain;

fn compile(policies: &[Json], path_matching: &str) -> PolicySet {
    let config = json!({
        "policies": policies,
        "allowAll": policies.is_empty(),
        "trustDomain": "td",
        "pathMatching": path_matching,
        "directRemoteIp": {"filterState": "peer"},
    });
    parse(config.to_string().as_bytes(), Config::read)
        .unwrap_or_else(|problems| panic!("{problems:?} in {config:#}"))
        .compile()
}

/// The request's headers as Envoy lists them: pseudo headers first.
fn headers_of(plain: &Plain) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut headers = vec![(":method".to_owned(), plain.method.clone())];
    headers.extend(
        plain
            .path
            .iter()
            .map(|path| (":path".to_owned(), path.clone())),
    );
    headers.extend(
        plain
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with(':'))
            .cloned(),
    );
    headers.extend(
        plain
            .headers
            .iter()
            .filter(|(name, _)| !name.starts_with(':'))
            .cloned(),
    );
    headers
        .into_iter()
        .map(|(k, v)| (k.into_bytes(), v.into_bytes()))
        .collect()
}

fn attributes_of(plain: &Plain) -> Fixture {
    let mut fixture = Fixture::default().with(Attribute::Metadata, metadata_of(&plain.metadata));
    let socket =
        |address: std::net::IpAddr, port| std::net::SocketAddr::new(address, port).to_string();
    if let Some(address) = plain.direct_ip {
        fixture = fixture.with(Attribute::DirectRemoteAddress, address.to_string());
    }
    if let Some(address) = plain.remote_ip {
        fixture = fixture.with(Attribute::SourceAddress, socket(address, 1234));
    }
    if let Some((address, port)) = plain.destination {
        fixture = fixture.with(Attribute::DestinationAddress, socket(address, port));
    }
    match plain.principal.as_deref() {
        Some(id) if id.starts_with("spiffe:") => fixture.with(Attribute::UriSan, id),
        Some(id) => fixture.with(Attribute::CertificateSubject, id),
        None => fixture,
    }
    .with(Attribute::ServerName, &plain.sni)
}

fn with_request<T>(
    plain: &Plain,
    fixture: &Fixture,
    hardened: bool,
    then: impl FnOnce(&Request<'_>) -> T,
) -> T {
    let raw = encoded(&headers_of(plain));
    let headers = HeaderMap::decode(&raw).unwrap();
    then(&Request::new(&headers, fixture, hardened))
}

/// The decision by trying every rule in turn.
fn decide_linearly(set: &PolicySet, request: &Request<'_>, draw: u32) -> Outcome {
    let (mut denied, mut allowed) = (None, None);
    let (mut shadow, mut audits) = (Vec::new(), Vec::<RuleRef>::new());
    for rule in set.rules() {
        let (number, policy) = set.policy_of(rule).unwrap();
        let matched = set.rule(rule).unwrap().matches(request);
        let enforced = policy.enforce.includes(draw);
        match policy.action {
            Action::Audit if matched != Tri::No => {
                let known = audits
                    .iter()
                    .any(|a| set.policy_of(*a).unwrap().0 == number);
                if !known {
                    audits.push(rule);
                }
            }
            Action::Deny if matched != Tri::No && enforced => denied = denied.or(Some(rule)),
            Action::Allow if matched == Tri::Yes && enforced => allowed = allowed.or(Some(rule)),
            Action::Deny if matched != Tri::No => shadow.push((number, true)),
            Action::Allow if matched == Tri::Yes => shadow.push((number, false)),
            _ => {}
        }
    }
    let of = |action| set.policies().iter().filter(move |p| p.action == action);
    let in_force = of(Action::Allow).any(|p| p.enforce.includes(draw));
    let allow_shadow = of(Action::Allow).any(|p| !p.enforce.includes(draw));
    let deny_shadow = of(Action::Deny).any(|p| !p.enforce.includes(draw));
    shadow.sort_unstable();
    shadow.dedup();
    let mut shadow: Vec<Shadow> = shadow
        .into_iter()
        .map(|(policy, denies)| Shadow {
            policy: Some(policy),
            denies,
        })
        .collect();
    if shadow.is_empty() && (allow_shadow || deny_shadow) {
        shadow.push(Shadow {
            policy: None,
            denies: allow_shadow && allowed.is_none(),
        });
    }
    Outcome {
        verdict: match (denied, allowed) {
            (Some(rule), _) => Verdict::Deny(Some(rule)),
            (_, Some(rule)) => Verdict::Allow(Some(rule)),
            _ if in_force => Verdict::Deny(None),
            _ => Verdict::Allow(None),
        },
        shadow,
        audits,
    }
}

fn plain_verdict(set: &PolicySet, verdict: Verdict) -> (bool, String) {
    match verdict {
        Verdict::Allow(rule) => (true, set.rule_id(rule)),
        Verdict::Deny(rule) => (false, set.rule_id(rule)),
    }
}

/// An attribute that may be read with an error.
fn attribute() -> impl Strategy<Value = Attribute> {
    proptest::sample::select(vec![
        Attribute::UriSan,
        Attribute::DirectRemoteAddress,
        Attribute::SourceAddress,
        Attribute::DestinationAddress,
        Attribute::ServerName,
        Attribute::Metadata,
    ])
}

#[cfg(not(target_arch = "wasm32"))]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn the_schema_takes_what_the_parser_takes(policies in generate::policies(6)) {
        let schema = serde_json::from_str(include_str!("../../../schema.json")).unwrap();
        let schema = jsonschema::draft202012::new(&schema).unwrap();
        let config = json!({"policies": policies, "allowAll": policies.is_empty()});
        prop_assert!(schema.is_valid(&config), "{config:#}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn decisions_equal_those_of_istios_generated_matchers(
        policies in generate::policies(6),
        requests in proptest::collection::vec(generate::request(), 4),
    ) {
        let set = compile(&policies, "istio");
        for plain in &requests {
            let outcome = with_request(plain, &attributes_of(plain), false, |r| set.decide(r, 0));
            prop_assert_eq!(
                plain_verdict(&set, outcome.verdict),
                plain::decide(&policies, plain),
                "{:#?} {:#?}", policies, plain
            );
        }
    }

    #[test]
    fn the_index_decides_as_trying_every_rule_does(
        policies in generate::policies(12),
        requests in proptest::collection::vec(generate::request(), 4),
        shares in proptest::collection::vec(proptest::option::of(0_u32..=4), 12),
        hardened: bool,
        broken in proptest::option::of(attribute()),
        draw: u32,
    ) {
        let mut policies = policies;
        for (policy, share) in policies.iter_mut().zip(&shares) {
            let plain = policy["metadata"]["annotations"]["istio.io/dry-run"] == "false";
            if let (Some(share), true) = (share, plain && policy["spec"]["action"] != "AUDIT") {
                policy["enforcePercent"] = json!(f64::from(*share) * 25.0);
            }
        }
        let set = compile(&policies, if hardened { "hardened" } else { "istio" });
        for plain in &requests {
            let mut fixture = attributes_of(plain);
            if let Some(attribute) = broken {
                fixture = fixture.failing(attribute);
            }
            with_request(plain, &fixture, hardened, |request| {
                prop_assert_eq!(
                    set.decide(request, draw),
                    decide_linearly(&set, request, draw),
                    "{:#?} {:#?}", policies, plain
                );
                Ok(())
            })?;
        }
    }

    #[test]
    fn hardening_never_lets_a_refused_request_pass(
        policies in generate::policies(6),
        requests in proptest::collection::vec(generate::request(), 4),
    ) {
        let (plain_set, hardened_set) = (compile(&policies, "istio"), compile(&policies, "hardened"));
        for plain in &requests {
            let fixture = attributes_of(plain);
            let istio = with_request(plain, &fixture, false, |r| plain_set.decide(r, 0));
            let hardened = with_request(plain, &fixture, true, |r| hardened_set.decide(r, 0));
            if matches!(istio.verdict, Verdict::Deny(_)) {
                prop_assert!(matches!(hardened.verdict, Verdict::Deny(_)), "{policies:#?} {plain:#?}");
            }
        }
    }

    #[test]
    fn neither_the_order_of_headers_nor_a_query_changes_a_decision(
        policies in generate::policies(4),
        plain in generate::request(),
    ) {
        let set = compile(&policies, "istio");
        let decide = |plain: &Plain| {
            with_request(plain, &attributes_of(plain), false, |r| set.decide(r, 0).verdict)
        };
        let before = decide(&plain);
        let mut turned = plain.clone();
        turned.headers.reverse();
        prop_assert_eq!(decide(&turned), before);
        if plain.path.as_ref().is_some_and(|path| !path.contains(['?', '#'])) {
            let mut queried = plain;
            queried.path = queried.path.map(|path| path + "?q=/a#f");
            prop_assert_eq!(decide(&queried), before);
        }
    }
}
