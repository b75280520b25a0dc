//! What is refused, and where the message points.

use serde_json::json;

use super::{
    Config, accepted, parse, read, refused, with_operation, with_rule, with_source, with_spec,
    with_when,
};

#[test]
fn what_the_webhook_refuses_is_refused_with_its_path() {
    for (spec, path, about) in [
        (
            json!({"action": "CUSTOM", "rules": [{}]}),
            "policies[0].spec.action",
            "CUSTOM is not supported",
        ),
        (
            json!({"action": "allow"}),
            "policies[0].spec.action",
            "not one of ALLOW, DENY, AUDIT",
        ),
        (
            json!({"action": "DENY"}),
            "policies[0].spec",
            "never denies",
        ),
        (
            json!({"action": "DENY", "rules": []}),
            "policies[0].spec",
            "never denies",
        ),
        (
            json!({"provider": {"name": "x"}}),
            "policies[0].spec.provider",
            "CUSTOM only",
        ),
        (
            json!({"rules": [null]}),
            "policies[0].spec.rules[0]",
            "must be an object",
        ),
        (json!({"rule": []}), "policies[0].spec.rule", "unknown key"),
        (
            json!({"selector": {"matchLabels": {"a": "*"}}}),
            "policies[0].spec.selector.matchLabels.a",
            "wildcard",
        ),
        (
            json!({"selector": {}, "targetRefs": []}),
            "policies[0].spec.targetRefs",
            "only one of",
        ),
        (
            json!({"targetRefs": [{"kind": "Gateway"}]}),
            "policies[0].spec.targetRefs[0].name",
            "required",
        ),
    ] {
        refused(&with_spec(spec), path, about);
    }
    for (rule, path, about) in [
        (json!({"from": []}), "RULE.from", "is empty"),
        (json!({"to": []}), "RULE.to", "is empty"),
        (json!({"from": [{}]}), "RULE.from[0].source", "required"),
        (
            json!({"from": [{"source": {}}]}),
            "RULE.from[0].source",
            "is empty",
        ),
        (
            json!({"to": [{"operation": {}}]}),
            "RULE.to[0].operation",
            "is empty",
        ),
        (
            json!({"to": [{"operation": {"paths": []}}]}),
            "RULE.to[0].operation",
            "is empty",
        ),
        (
            json!({"to": [{"operation": {"paths": ["/a"]}, "from": []}]}),
            "RULE.to[0].from",
            "unknown key",
        ),
        (json!({"form": []}), "RULE.form", "unknown key"),
    ] {
        refused(&with_rule(rule), path, about);
    }
    for (source, path, about) in [
        (
            json!({"principals": [""]}),
            "RULE.from[0].source.principals[0]",
            "empty",
        ),
        (
            json!({"principals": "a"}),
            "RULE.from[0].source.principals",
            "must be a list",
        ),
        (
            json!({"remoteIpBlocks": ["10.0.0/8"]}),
            "RULE.from[0].source.remoteIpBlocks[0]",
            "not an IP address or CIDR",
        ),
        (
            json!({"notRemoteIpBlocks": ["10.0.0.0/8", "10.0.0.0/33"]}),
            "RULE.from[0].source.notRemoteIpBlocks[1]",
            "not an IP address or CIDR",
        ),
        (
            json!({"ipBlocks": ["10.0.0.0/8"]}),
            "RULE.from[0].source.ipBlocks[0]",
            "directRemoteIp.filterState",
        ),
        (
            json!({"serviceAccounts": ["a*"]}),
            "RULE.from[0].source.serviceAccounts[0]",
            "wildcard",
        ),
        (
            json!({"serviceAccounts": ["a/b/c"]}),
            "RULE.from[0].source.serviceAccounts[0]",
            "not a service account",
        ),
        (
            json!({"serviceAccounts": ["/b"]}),
            "RULE.from[0].source.serviceAccounts[0]",
            "not a service account",
        ),
        (
            json!({"serviceAccounts": ["x".repeat(321)]}),
            "RULE.from[0].source.serviceAccounts[0]",
            "320",
        ),
        (
            json!({"serviceAccounts": vec!["a"; 17]}),
            "RULE.from[0].source.serviceAccounts",
            "at most 16",
        ),
        (
            json!({"serviceAccounts": ["a"], "notNamespaces": ["b"]}),
            "RULE.from[0].source",
            "do not go with",
        ),
        (
            json!({"trustDomains": ["a/b"]}),
            "RULE.from[0].source.trustDomains[0]",
            "not a trust domain",
        ),
        (
            json!({"trustDomains": ["*a*"]}),
            "RULE.from[0].source.trustDomains[0]",
            "not a trust domain",
        ),
    ] {
        refused(&with_source(source), path, about);
    }
    for (operation, path, about) in [
        (
            json!({"ports": ["80-90"]}),
            "RULE.to[0].operation.ports[0]",
            "not a port",
        ),
        (
            json!({"ports": ["*"]}),
            "RULE.to[0].operation.ports[0]",
            "not a port",
        ),
        (
            json!({"ports": ["65536"]}),
            "RULE.to[0].operation.ports[0]",
            "not a port",
        ),
        (
            json!({"ports": ["+80"]}),
            "RULE.to[0].operation.ports[0]",
            "not a port",
        ),
        (
            json!({"ports": [80]}),
            "RULE.to[0].operation.ports[0]",
            "must be a string",
        ),
        (
            json!({"hosts": [""]}),
            "RULE.to[0].operation.hosts[0]",
            "empty",
        ),
        (
            json!({"paths": ["/a{b}"]}),
            "RULE.to[0].operation.paths[0]",
            "brace",
        ),
        (
            json!({"paths": ["/{*}x"]}),
            "RULE.to[0].operation.paths[0]",
            "whole segments",
        ),
        (
            json!({"notPaths": ["/{**}/{*}"]}),
            "RULE.to[0].operation.notPaths[0]",
            "may follow {**}",
        ),
        (
            json!({"paths": ["/a//{*}"]}),
            "RULE.to[0].operation.paths[0]",
            "empty segment",
        ),
        (
            json!({"paths": ["/a b/{*}"]}),
            "RULE.to[0].operation.paths[0]",
            "character",
        ),
        (
            json!({"paths": ["/*/{*}"]}),
            "RULE.to[0].operation.paths[0]",
            "character",
        ),
    ] {
        refused(&with_operation(operation), path, about);
    }
    for (when, path, about) in [
        (json!({"values": ["a"]}), "RULE.when[0].key", "required"),
        (
            json!({"key": "request.headers[x]"}),
            "RULE.when[0]",
            "at least one of",
        ),
        (
            json!({"key": "request.headers[]", "values": ["a"]}),
            "RULE.when[0].key",
            "request.headers[NAME]",
        ),
        (
            json!({"key": "request.headers", "values": ["a"]}),
            "RULE.when[0].key",
            "request.headers[NAME]",
        ),
        (
            json!({"key": "request.headersfoo[x]", "values": ["a"]}),
            "RULE.when[0].key",
            "not a known attribute",
        ),
        (
            json!({"key": "destination.labels[x]", "values": ["a"]}),
            "RULE.when[0].key",
            "workload selector",
        ),
        (
            json!({"key": "destination.namespace", "values": ["a"]}),
            "RULE.when[0].key",
            "metadata.namespace",
        ),
        (
            json!({"key": "source.user", "values": ["a"]}),
            "RULE.when[0].key",
            "not a known attribute",
        ),
        (
            json!({"key": "experimental.envoy.filters.a", "values": ["a"]}),
            "RULE.when[0].key",
            "[KEY]",
        ),
        (
            json!({"key": "remote.ip", "values": ["x"]}),
            "RULE.when[0].values[0]",
            "not an IP address",
        ),
        (
            json!({"key": "source.ip", "notValues": ["10.0.0.1"]}),
            "RULE.when[0].notValues[0]",
            "directRemoteIp",
        ),
        (
            json!({"key": "destination.port", "values": ["x"]}),
            "RULE.when[0].values[0]",
            "not a port",
        ),
        (
            json!({"key": "request.headers[x]", "values": [""]}),
            "RULE.when[0].values[0]",
            "empty",
        ),
    ] {
        refused(&with_when(when), path, about);
    }
}

#[test]
fn what_the_filter_adds_is_checked_too() {
    for (config, path, about) in [
        (json!({"polices": []}), "polices", "unknown key"),
        (
            json!({"policies": [{"spec": {}}]}),
            "policies[0].metadata",
            "required",
        ),
        (
            json!({"policies": [{"metadata": {}}]}),
            "policies[0].metadata.name",
            "required",
        ),
        (
            json!({"policies": [{"metadata": {"name": "A]"}}]}),
            "policies[0].metadata.name",
            "Kubernetes name",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "apiVersion": "security.istio.io/v2"}]}),
            "policies[0].apiVersion",
            "not one of",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "kind": "PeerAuthentication"}]}),
            "policies[0].kind",
            "not one of AuthorizationPolicy",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}}, {"metadata": {"name": "a"}}]}),
            "policies",
            "more than once",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a", "annotations": {"istio.io/dry-run": "maybe"}}}]}),
            "policies[0].metadata.annotations[\"istio.io/dry-run\"]",
            "neither",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a", "annotations": {"istio.io/dry-run": "true"}}, "spec": {"action": "AUDIT"}}]}),
            "policies[0].metadata.annotations[\"istio.io/dry-run\"]",
            "AUDIT",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a", "annotations": {"istio.io/dry-run": "true"}}, "enforcePercent": 5}]}),
            "policies[0].enforcePercent",
            "dry run",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "enforcePercent": 101}]}),
            "policies[0].enforcePercent",
            "out of range",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "denyWith": {"status": 200}}]}),
            "policies[0].denyWith.status",
            "300 to 599",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "denyWith": {"headers": {"a b": "x"}}}]}),
            "policies[0].denyWith.headers[\"a b\"]",
            "not a header name",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "denyWith": {"headers": {"a": "x\r\ny: z"}}}]}),
            "policies[0].denyWith.headers.a",
            "control character",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "denyWith": {"headers": {"Content-Length": "1"}}}]}),
            "policies[0].denyWith.headers.Content-Length",
            "written by the proxy",
        ),
        (
            json!({"pathMatching": "strict"}),
            "pathMatching",
            "not one of istio, hardened",
        ),
        (
            json!({"explain": "body"}),
            "explain",
            "not one of none, header",
        ),
        (
            json!({"typedClaims": "yes"}),
            "typedClaims",
            "true or false",
        ),
        (
            json!({"splitHeaders": ["a b"]}),
            "splitHeaders[0]",
            "not a header name",
        ),
        (
            json!({"directRemoteIp": {}}),
            "directRemoteIp.filterState",
            "required",
        ),
        (
            json!({"decisionLog": {"allowedPercent": -1}}),
            "decisionLog.allowedPercent",
            "out of range",
        ),
        (json!({"trustDomain": ""}), "trustDomain", "empty"),
        (
            with_when(json!({"key": "request.headers[x]", "valuesRegex": ["("]})),
            "RULE.when[0].valuesRegex[0]",
            "without its )",
        ),
        (
            with_when(json!({"key": "request.headers[x]", "valuesRegex": ["a{1000}{1000}"]})),
            "RULE.when[0].valuesRegex[0]",
            "repet",
        ),
        (
            with_when(json!({"key": "remote.ip", "valuesRegex": ["a"]})),
            "RULE.when[0].valuesRegex",
            "do not go with this key",
        ),
    ] {
        refused(&config, path, about);
    }
}

#[test]
fn saying_nothing_is_no_permission() {
    for config in [
        json!({}),
        json!({"policies": []}),
        json!({"policies": null}),
        json!({"allowAll": false}),
        json!({"policies": [], "allowAll": false}),
        json!({"explain": "header", "pathMatching": "hardened"}),
    ] {
        let problems = read(&config).expect_err("to be refused");
        assert!(
            problems
                .iter()
                .any(|line| line.contains("allowAll: true if that is meant")),
            "{config}: {problems:#?}"
        );
    }
    for blank in ["", " ", "\n\t ", "null"] {
        assert!(parse(blank.as_bytes(), Config::read).is_err(), "{blank:?}");
    }
    for config in [
        json!({"allowAll": true}),
        json!({"allowAll": true, "policies": []}),
    ] {
        assert!(accepted(&config).policies.is_empty(), "{config}");
    }
    refused(
        &json!({"allowAll": true, "policies": [{"metadata": {"name": "a"}}]}),
        "allowAll",
        "does not go with policies",
    );
}

#[test]
fn what_can_never_match_is_refused() {
    let list = |field: &str| {
        let (place, key) = field.split_once('.').unwrap();
        (place.to_owned(), key.to_owned())
    };
    for (field, values) in [
        (
            "operation.paths",
            &["admin", "admin*", "/a?b=1", "/a#b", "*?x", "https://a/b"][..],
        ),
        ("operation.notPaths", &["admin"]),
        (
            "operation.hosts",
            &["https://a.example", "a.example/", "*/x", "a b", "a, b"],
        ),
        ("operation.notHosts", &["http://*"]),
        ("operation.methods", &["GET, POST", "GET POST", "/"]),
        (
            "source.principals",
            &["spiffe://td/ns/a/sa/b", "spiffe://*"],
        ),
        ("source.notPrincipals", &["spiffe://td/ns/a/sa/b"]),
        (
            "source.requestPrincipals",
            &["https://*", "https://issuer.example", "https://sub*"],
        ),
    ] {
        let (place, key) = list(field);
        for value in values {
            let inner = json!({key.as_str(): [value]});
            let config = match place.as_str() {
                "operation" => with_operation(inner),
                _ => with_source(inner),
            };
            let path = if place == "operation" { "to" } else { "from" };
            refused(
                &config,
                &format!("RULE.{path}[0].{field}[0]"),
                "can never match",
            );
        }
    }
    for key in [
        "request.headers[a][b]",
        "request.headers[[x]]",
        "request.headers[a b]",
        "request.headers[a:b]",
        "request.headers[:status]",
        "request.cookies[a=b]",
        "request.cookies[a;b]",
        "request.cookies[ a]",
    ] {
        let config = with_when(json!({"key": key, "values": ["x"]}));
        refused(&config, "RULE.when[0].key", "can never match");
    }
    for (key, value) in [
        ("request.headers[x]", "a\nb"),
        ("request.headers[x]", "a\r*"),
        ("request.headers[x-groups]", "a,b"),
        ("request.headers[X-Groups]", " a"),
        ("request.headers[x-groups]", "*a\t"),
        ("source.principal", "spiffe://td/ns/a/sa/b"),
        ("request.auth.principal", "https://issuer.example"),
    ] {
        let mut config = with_when(json!({"key": key, "values": [value]}));
        config["splitHeaders"] = json!(["x-groups"]);
        refused(&config, "RULE.when[0].values[0]", "can never match");
    }
}

#[test]
fn what_hardly_means_what_it_says_is_warned_of() {
    let paths = accepted(&with_operation(json!({
        "paths": ["/service/*health", "*api*", "/v1/*/users", "/a*", "*b", "*", "/a/{*}/b"],
        "hosts": ["*.x.com:*"], "methods": ["GET"]
    })));
    assert_eq!(paths.warnings.len(), 4, "{:#?}", paths.warnings);
    let mut unused = with_when(json!({"key": "request.headers[x-a]", "values": ["a"]}));
    unused["splitHeaders"] = json!(["x-a", "x-b"]);
    let unused = accepted(&unused).warnings;
    assert!(
        unused[0].starts_with("splitHeaders[1]: has no effect"),
        "{unused:#?}"
    );
    let contrary = json!({"key": "request.query[x]", "values": ["a"], "notValues": ["b", "a"]});
    let contrary = accepted(&with_when(contrary)).warnings;
    assert!(contrary[0].contains("can never match"), "{contrary:#?}");
}

#[test]
fn every_problem_is_reported_at_once() {
    let problems = read(&json!({
        "pathMatching": "x",
        "policies": [
            {"metadata": {"name": "a"}, "spec": {"action": "DENY"}},
            {"metadata": {"name": "b"}, "spec": {"rules": [
                {"to": [{"operation": {"ports": ["x"], "paths": ["/{"]}}]},
                {"from": [{"source": {"remoteIpBlocks": ["y"]}}]}
            ]}}
        ]
    }))
    .unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:#?}");
}
