//! Any request gets a decision, and hardening never lets more through.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_authz_policy::config::Config;
use meshpack_authz_policy::policy::described::Described;
use meshpack_authz_policy::policy::engine::{PolicySet, Verdict};
use meshpack_authz_policy::policy::explain;
use meshpack_authz_policy::policy::request::Attribute;
use meshpack_sdk::HeaderMap;
use meshpack_sdk::config::parse;

const POLICIES: &str = r#"{
  "directRemoteIp": {"filterState": "x"}, "splitHeaders": ["x-list"], "typedClaims": true,
  "pathMatching": "MATCHING",
  "policies": [
    {"metadata": {"name": "a"}, "spec": {"action": "DENY", "rules": [
      {"to": [{"operation": {"paths": ["/a", "/b/*", "*.c", "/{*}/d/{**}"]}}]},
      {"to": [{"operation": {"hosts": ["a.com", "*.b", "c*"], "methods": ["A*"]}}]},
      {"when": [{"key": "request.headers[x-list]", "values": ["a*"], "valuesRegex": ["(a|b)+c?"]}]},
      {"when": [{"key": "request.query[q]", "values": ["*a"]}]},
      {"when": [{"key": "request.cookies[c]", "values": ["a"]}]},
      {"from": [{"source": {"ipBlocks": ["10.0.0.0/8", "::/3"], "notRemoteIpBlocks": ["1.2.3.0/24"]}}]},
      {"from": [{"source": {"namespaces": ["a", "b*"]}}, {"source": {"serviceAccounts": ["n/s"]}}]}
    ]}},
    {"metadata": {"name": "b"}, "spec": {"rules": [
      {"to": [{"operation": {"notPaths": ["/e*"], "notHosts": ["f"]}}]}
    ]}}
  ]
}"#;

fn compile(matching: &str) -> PolicySet {
    let text = POLICIES.replace("MATCHING", matching);
    parse(text.as_bytes(), Config::read)
        .expect("a good configuration")
        .compile()
}

thread_local! {
    static ISTIO: PolicySet = compile("istio");
    static HARDENED: PolicySet = compile("hardened");
}

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|&byte| byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let mut request = Described::default();
    for name in [
        ":path",
        ":authority",
        ":method",
        "x-list",
        "x-list",
        "cookie",
    ] {
        request.header(name, next());
    }
    for attribute in [
        Attribute::UriSan,
        Attribute::DirectRemoteAddress,
        Attribute::SourceAddress,
    ] {
        request.attribute(attribute, next());
    }
    let raw = request.encoded_headers();
    let headers = HeaderMap::decode(&raw).expect("a consistent encoding");
    let decide = |policies: &PolicySet| {
        let request = policies.request(&headers, &request);
        let verdict = policies.decide(&request, 0).verdict;
        let reason = explain::reason(policies, &request, verdict);
        assert!(
            reason.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{reason:?}"
        );
        matches!(verdict, Verdict::Deny(_))
    };
    assert!(
        !ISTIO.with(decide) || HARDENED.with(decide),
        "hardening let a refused request pass"
    );
});
