//! What is accepted.

use meshpack_sdk::config::parse;
use serde_json::{Value as Json, json};

mod refused;

use super::Config;
use crate::policy::model::{Action, Share};

fn read(config: &Json) -> Result<Config, Vec<String>> {
    parse(config.to_string().as_bytes(), Config::read)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// A configuration with one policy of this spec.
fn with_spec(spec: Json) -> Json {
    json!({"policies": [{"metadata": {"name": "p"}, "spec": spec}]})
}

fn with_rule(rule: Json) -> Json {
    with_spec(json!({"rules": [rule]}))
}

fn with_source(source: Json) -> Json {
    with_rule(json!({"from": [{"source": source}]}))
}

fn with_operation(operation: Json) -> Json {
    with_rule(json!({"to": [{"operation": operation}]}))
}

fn with_when(when: Json) -> Json {
    with_rule(json!({"when": [when]}))
}

const RULE: &str = "policies[0].spec.rules[0]";

/// What the schema cannot say: names that differ, expressions that compile,
/// settings that belong together.
const BEYOND_THE_SCHEMA: [&str; 6] = [
    "can never match",
    "directRemoteIp",
    "more than once",
    "without its )",
    "too large",
    "repeats a repetition",
];

fn schema() -> jsonschema::Validator {
    let schema: Json = serde_json::from_str(include_str!("../../../schema.json")).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

#[track_caller]
fn refused(config: &Json, path: &str, about: &str) {
    let problems = read(config).expect_err("to be refused");
    let start = format!("{}: ", path.replace("RULE", RULE));
    assert!(
        problems
            .iter()
            .any(|line| line.starts_with(&start) && line.contains(about)),
        "no problem at {start:?} about {about:?} in {problems:#?}"
    );
    let beyond = |line: &String| BEYOND_THE_SCHEMA.iter().any(|about| line.contains(about));
    if !problems.iter().all(beyond) {
        assert!(!schema().is_valid(config), "the schema takes {config:#}");
    }
}

/// Accepted by the parser and by the schema.
#[track_caller]
fn accepted(config: &Json) -> Config {
    if let Some(error) = schema().iter_errors(config).next() {
        panic!("the schema refuses {}: {error}", error.instance_path());
    }
    read(config).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn a_whole_resource_as_kubectl_prints_it_is_accepted() {
    let config = accepted(&json!({"policies": [{
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {
            "name": "httpbin", "namespace": "foo", "uid": "1-2", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "7",
            "labels": {"app": "x"},
            "annotations": {
                "istio.io/dry-run": "true",
                "kubectl.kubernetes.io/last-applied-configuration": "{}"
            },
            "managedFields": [{"manager": "kubectl", "operation": "Update"}],
            "ownerReferences": []
        },
        "spec": {
            "selector": {"matchLabels": {"app": "httpbin"}},
            "action": "ALLOW",
            "rules": [{
                "from": [
                    {"source": {"principals": ["cluster.local/ns/default/sa/sleep"]}},
                    {"source": {"namespaces": ["test"], "notRemoteIpBlocks": ["::1"]}}
                ],
                "to": [{"operation": {"methods": ["GET"], "paths": ["/info*", "/a/{*}/b"], "ports": ["080"]}}],
                "when": [{"key": "request.auth.claims[iss]", "values": ["https://accounts.google.com"]}]
            }]
        },
        "status": {"conditions": [], "observedGeneration": "3"}
    }]}));
    let policy = &config.policies[0];
    assert_eq!(
        (policy.action, policy.enforce),
        (Action::Allow, Share::NONE)
    );
    assert_eq!(policy.label(), "foo/httpbin");
    assert_eq!(policy.rule_id(0), "ns[foo]-policy[httpbin]-rule[0]");
    assert_eq!(policy.rules[0].from.len(), 2);
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].starts_with("policies[0].spec.selector: has no effect"));
}

#[test]
fn every_field_and_key_is_accepted() {
    let conditions: Vec<Json> = [
        ("request.headers[X-a]", "a"),
        ("request.headers[:authority]", "a"),
        ("request.query[a b]", "a"),
        ("request.cookies[c]", "a*"),
        ("request.auth.principal", "i/s"),
        ("request.auth.audiences", "*"),
        ("request.auth.presenter", "*a"),
        ("request.auth.claims[a][b]", "a"),
        ("source.ip", "10.0.0.0/8"),
        ("source.namespace", "a*"),
        ("source.principal", "*/sa/x"),
        ("source.serviceAccount", "a/b"),
        ("source.trustDomain", "*-td"),
        ("remote.ip", "2001:db8::/32"),
        ("destination.ip", "::1"),
        ("destination.port", "65535"),
        ("connection.sni", "*.com"),
        (
            "experimental.envoy.filters.network.mysql_proxy[db.table]",
            "[update]",
        ),
    ]
    .iter()
    .map(|(key, value)| json!({"key": key, "values": [value], "notValues": [value]}))
    .chain([
        json!({"key": "request.headers[x]", "valuesRegex": ["a|b+"]}),
        json!({"key": "source.principal", "notValuesRegex": [".*/sa/(a|b)"]}),
    ])
    .collect();
    let lists = |names: &[(&str, &str)]| {
        let both = names.iter().flat_map(|(name, value)| {
            let not = format!("not{}{}", name[..1].to_uppercase(), &name[1..]);
            [((*name).to_owned(), json!([value])), (not, json!([value]))]
        });
        Json::Object(both.collect())
    };
    let source = lists(&[
        ("principals", "a"),
        ("requestPrincipals", "a/b"),
        ("namespaces", "a"),
        ("trustDomains", "*"),
        ("ipBlocks", "1.2.3.4"),
        ("remoteIpBlocks", "::/0"),
    ]);
    let operation = lists(&[
        ("hosts", "*.a"),
        ("ports", "0"),
        ("methods", "GET"),
        ("paths", "/{*}/a/{**}/b"),
    ]);
    let config = accepted(&json!({
        "trustDomain": "td", "trustDomainAliases": ["old"], "pathMatching": "hardened",
        "typedClaims": true, "splitHeaders": ["X-Groups"],
        "directRemoteIp": {"filterState": "peer"},
        "decisionLog": {"denied": false, "allowedPercent": 0.5}, "explain": "header",
        "policies": [
            {
                "metadata": {"name": "a.b", "namespace": "n"},
                "spec": {"rules": [
                    {"from": [{"source": source}, {"source": {"serviceAccounts": ["a"]}}], "to": [{"operation": operation}], "when": conditions},
                    {}
                ]},
                "denyWith": {"status": 302, "body": "", "headers": {"Location": "/login"}},
                "enforcePercent": 12.5
            },
            {"metadata": {"name": "b"}, "spec": {"action": "AUDIT"}},
            {"metadata": {"name": "c"}, "spec": {}},
            {"metadata": {"name": "d"}}
        ]
    }));
    assert_eq!(config.policies.len(), 4);
    assert_eq!(config.policies[0].rules[0].when.len(), 20);
}

#[test]
fn defaults_are_istios() {
    let config = read(&json!({"policies": [{"metadata": {"name": "a"}, "spec": null}]})).unwrap();
    let policy = &config.policies[0];
    assert_eq!(policy.label(), "default/a");
    assert_eq!((policy.action, policy.enforce), (Action::Allow, Share::ALL));
    assert!(policy.rules.is_empty());
    assert!(!config.hardened && !config.explain_header && config.decision_log.denied);
}

#[test]
fn empty_rules_and_lists_mean_no_constraint() {
    let config = read(&with_rule(
        json!({"to": [{"operation": {"paths": ["/a"], "methods": []}}], "when": []}),
    ));
    let rule = &config.unwrap().policies[0].rules[0];
    assert_eq!(
        (rule.to[0].len(), rule.from.len(), rule.when.len()),
        (1, 0, 0)
    );
    assert_eq!(
        read(&with_rule(json!({}))).unwrap().policies[0].rules.len(),
        1
    );
}

proptest::proptest! {
    #[test]
    fn any_json_is_read_without_a_panic(text in "[\\[\\]{}:,\"a-z0-9 ]{0,60}") {
        let _ = parse(text.as_bytes(), Config::read);
    }
}
