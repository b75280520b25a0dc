use meshpack_sdk::mock::{MockHost, Plugin};
use serde_json::{Value as Json, json};

use super::AuthzPolicy;
use crate::policy::testing::metadata_of;

fn plugin(config: &Json) -> Plugin<AuthzPolicy> {
    MockHost::reset();
    Plugin::configure(&config.to_string()).unwrap()
}

fn counted(metric: &str, decision: &str, policy: &str) -> i64 {
    MockHost::metric(&format!(
        "meshpack_authz_{metric}_totaldecision=.={decision};.;authz_policy=.={policy};.;"
    ))
}

fn deny_admin() -> Json {
    json!({"metadata": {"name": "deny-admin"}, "spec": {
        "action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin*"]}}]}]
    }})
}

fn get(path: &str) -> [(&str, &str); 3] {
    [(":method", "GET"), (":authority", "a.com"), (":path", path)]
}

#[test]
fn a_denial_is_istios_answer() {
    let mut plugin = plugin(&json!({"policies": [deny_admin()]}));
    let stream = plugin.request(&get("/admin/x"));
    let reply = stream.reply().unwrap();
    assert_eq!(reply.status, 403);
    assert_eq!(reply.body, b"RBAC: access denied");
    assert_eq!(reply.grpc_status, 7);
    assert_eq!(
        reply.details,
        "rbac_access_denied_matched_policy[ns[default]-policy[deny-admin]-rule[0]]"
    );
    assert!(reply.headers.is_empty());
    assert!(plugin.request(&get("/")).reply().is_none());
    plugin.tick();
    assert_eq!(counted("requests", "deny", "default/deny-admin"), 1);
    assert_eq!(counted("requests", "allow", "none"), 1);
}

#[test]
fn a_request_that_no_allow_policy_matches_is_denied_by_none() {
    let mut plugin = plugin(&json!({"policies": [{"metadata": {"name": "nothing"}, "spec": {}}]}));
    let stream = plugin.request(&get("/"));
    assert_eq!(
        stream.reply().unwrap().details,
        "rbac_access_denied_matched_policy[none]"
    );
    plugin.tick();
    assert_eq!(counted("requests", "deny", "none"), 1);
}

#[test]
fn policies_may_have_answers_of_their_own() {
    let mut deny = deny_admin();
    deny["denyWith"] =
        json!({"status": 404, "body": "not found", "headers": {"X-Reason": "hidden"}});
    let mut plugin = plugin(&json!({"policies": [
        deny,
        {"metadata": {"name": "z"}, "spec": {}, "denyWith": {"status": 401}},
        {"metadata": {"name": "a"}, "spec": {}, "denyWith": {"body": ""}, "enforcePercent": 0},
    ]}));
    let stream = plugin.request(&get("/admin"));
    let reply = stream.reply().unwrap();
    assert_eq!(
        (reply.status, reply.body.as_slice()),
        (404, &b"not found"[..])
    );
    assert_eq!(reply.headers, [(b"x-reason".to_vec(), b"hidden".to_vec())]);
    let stream = plugin.request(&get("/"));
    let reply = stream.reply().unwrap();
    assert_eq!(
        (reply.status, reply.body.as_slice()),
        (401, &b"RBAC: access denied"[..])
    );
}

#[test]
fn a_dry_run_changes_no_decision_and_is_counted_per_policy() {
    let dry = json!({"istio.io/dry-run": "true"});
    let mut deny = deny_admin();
    deny["metadata"]["annotations"] = dry.clone();
    let allow = json!({"metadata": {"name": "readers", "annotations": dry}, "spec": {
        "rules": [{"to": [{"operation": {"paths": ["/r*"]}}]}]
    }});
    let mut plugin = plugin(&json!({"policies": [deny, allow]}));
    for path in ["/admin", "/read", "/other", "/other"] {
        assert!(plugin.request(&get(path)).reply().is_none(), "{path}");
    }
    plugin.tick();
    assert_eq!(counted("requests", "allow", "none"), 4);
    assert_eq!(counted("shadow", "deny", "default/deny-admin"), 1);
    assert_eq!(counted("shadow", "allow", "default/readers"), 1);
    assert_eq!(counted("shadow", "deny", "none"), 2);
}

#[test]
fn a_share_of_the_requests_is_enforced_and_the_rest_counted() {
    let mut deny = deny_admin();
    deny["enforcePercent"] = json!(25);
    let mut plugin = plugin(&json!({"policies": [deny]}));
    let mut denied = 0;
    for number in 0..1000_u64 {
        MockHost::push_random([number.wrapping_mul(0x9e37_79b9_7f4a_7c15)]);
        denied += i64::from(plugin.request(&get("/admin")).reply().is_some());
    }
    assert!((200..300).contains(&denied), "{denied}");
    plugin.tick();
    assert_eq!(counted("requests", "deny", "default/deny-admin"), denied);
    assert_eq!(
        counted("shadow", "deny", "default/deny-admin"),
        1000 - denied
    );
}

#[test]
fn attributes_are_read_only_when_a_candidate_needs_them() {
    let mut plugin = plugin(&json!({"policies": [{"metadata": {"name": "p"}, "spec": {
        "action": "DENY",
        "rules": [{
            "to": [{"operation": {"paths": ["/admin"]}}],
            "from": [{"source": {"namespaces": ["x"], "remoteIpBlocks": ["10.0.0.0/8"]}}],
            "when": [{"key": "request.auth.claims[a]", "values": ["b"]}]
        }]
    }}]}));
    MockHost::reset_calls();
    assert!(plugin.request(&get("/")).reply().is_none());
    assert_eq!(
        MockHost::calls("proxy_get_property"),
        0,
        "{:?}",
        MockHost::all_calls()
    );
}

#[test]
fn identity_addresses_and_claims_come_from_the_proxy() {
    let mut plugin = plugin(&json!({
        "directRemoteIp": {"filterState": "peer"},
        "policies": [{"metadata": {"name": "p"}, "spec": {"rules": [{
            "from": [{"source": {
                "principals": ["cluster.local/ns/a/sa/b"],
                "ipBlocks": ["10.0.0.0/8"],
                "remoteIpBlocks": ["1.2.3.0/24"],
                "requestPrincipals": ["i/s"]
            }}],
            "to": [{"operation": {"ports": ["8080"]}}],
            "when": [
                {"key": "request.auth.claims[groups]", "values": ["g"]},
                {"key": "connection.sni", "values": ["sni"]}
            ]
        }]}}]
    }));
    let metadata = metadata_of(&json!({"envoy.filters.http.jwt_authn": {
        "payload": {"iss": "i", "sub": "s", "groups": ["f", "g"]}
    }}));
    let all: [(&[&str], Vec<u8>); 6] = [
        (
            &["connection", "uri_san_peer_certificate"],
            b"spiffe://cluster.local/ns/a/sa/b".to_vec(),
        ),
        (&["filter_state", "peer"], b"10.1.1.1".to_vec()),
        (&["source", "address"], b"1.2.3.4:5".to_vec()),
        (&["destination", "address"], b"[::1]:8080".to_vec()),
        (&["connection", "requested_server_name"], b"sni".to_vec()),
        (&["metadata"], metadata),
    ];
    for (path, value) in &all {
        MockHost::set_property(path, value.clone());
    }
    assert!(plugin.request(&get("/")).reply().is_none());
    for (path, value) in &all {
        MockHost::clear_property(path);
        assert!(
            plugin.request(&get("/")).reply().is_some(),
            "without {path:?}"
        );
        MockHost::set_property(path, value.clone());
    }
}

#[test]
fn what_a_denying_rule_cannot_read_is_denied() {
    let mut plugin = plugin(&json!({
        "directRemoteIp": {"filterState": "peer"},
        "policies": [{"metadata": {"name": "p"}, "spec": {"action": "DENY", "rules": [
            {"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]}
        ]}}]
    }));
    let stream = plugin.request(&get("/"));
    assert!(stream.reply().unwrap().details.contains("policy[p]"));
    MockHost::set_property(&["filter_state", "peer"], "11.0.0.1");
    assert!(plugin.request(&get("/")).reply().is_none());
}

#[test]
fn the_reason_stands_in_a_header_only_on_request() {
    let mut plugin = plugin(&json!({"explain": "header", "policies": [deny_admin()]}));
    let stream =
        plugin.request_bytes(&[(b":method", b"GET"), (b":path", b"/admin/\xff\x01?secret")]);
    let headers = &stream.reply().unwrap().headers;
    assert_eq!(headers.len(), 1);
    assert_eq!(
        String::from_utf8_lossy(&headers[0].1),
        "denied by default/deny-admin rule[0]: path /admin/\\xff\\x01 matches /admin*"
    );
}

#[test]
fn decisions_are_logged_as_json_without_what_could_break_a_line() {
    let mut plugin = plugin(&json!({
        "policies": [
            deny_admin(),
            {"metadata": {"name": "watch"}, "spec": {"action": "AUDIT", "rules": [{}]}}
        ],
        "decisionLog": {"allowedPercent": 100}
    }));
    plugin.request_bytes(&[(b":method", b"GET"), (b":path", b"/admin\"\n?q=secret")]);
    plugin.request(&get("/"));
    let lines: Vec<Json> = MockHost::logs()
        .iter()
        .filter_map(|(_, line)| line.strip_prefix("authz_policy: decision "))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |number: usize, key: &str| lines[number][key].as_str().unwrap_or("").to_owned();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert_eq!(of(0, "decision"), "audit");
    assert_eq!(
        of(0, "reason"),
        "audited by default/watch rule[0]: the rule matches every request"
    );
    assert_eq!(
        (of(1, "decision"), of(1, "policy")),
        ("deny".into(), "default/deny-admin".into())
    );
    assert_eq!(lines[1]["rule"], 0);
    assert_eq!(of(1, "path"), "/admin\\\"\\n");
    assert!(
        !MockHost::logs()
            .iter()
            .any(|(_, line)| line.contains("secret"))
    );
    assert_eq!(
        (of(3, "decision"), of(3, "policy")),
        ("allow".into(), "none".into())
    );
}

#[test]
fn a_bad_configuration_is_refused_with_every_problem() {
    MockHost::reset();
    let problems = Plugin::<AuthzPolicy>::configure(
        &json!({"policies": [{"metadata": {"name": "a"}, "spec": {"action": "CUSTOM"}}], "x": 1})
            .to_string(),
    )
    .err()
    .unwrap();
    assert_eq!(problems.len(), 2, "{problems:?}");
}
