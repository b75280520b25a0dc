//! Serialized dynamic metadata, read where it lies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_authz_policy::config::Config;
use meshpack_authz_policy::policy::described::Described;
use meshpack_authz_policy::policy::engine::PolicySet;
use meshpack_authz_policy::policy::metadata::{MetaValue, fields, filter, items, lookup};
use meshpack_authz_policy::policy::request::{Attribute, Request};
use meshpack_sdk::HeaderMap;
use meshpack_sdk::config::parse;

thread_local! {
    static POLICIES: PolicySet = {
    let text = br#"{"typedClaims": true, "policies": [{"metadata": {"name": "a"}, "spec": {"action": "DENY", "rules": [
      {"when": [{"key": "request.auth.claims[a]", "values": ["a", "1", "true"]}]},
      {"when": [{"key": "request.auth.claims[a][b][c]", "values": ["a*"]}]},
      {"when": [{"key": "experimental.envoy.filters.a[k]", "values": ["[a]", "b"]}]},
      {"from": [{"source": {"requestPrincipals": ["a/*"]}}]}
    ]}}]}"#;
    parse(text, Config::read)
        .expect("a good configuration")
        .compile()
    };
}

/// Visits everything that the values lead to, to some depth.
fn visit(value: MetaValue<'_>, depth: usize) {
    match value {
        MetaValue::Struct(inner) if depth > 0 => {
            for (_, value) in fields(inner).flatten() {
                visit(value, depth - 1);
            }
        }
        MetaValue::List(list) if depth > 0 => {
            items(list)
                .flatten()
                .for_each(|item| visit(item, depth - 1));
        }
        _ => {}
    }
}

fuzz_target!(|bytes: &[u8]| {
    visit(MetaValue::Struct(bytes), 20);
    if let Ok(Some(found)) = filter(bytes, b"envoy.filters.http.jwt_authn") {
        let _ = lookup(found, ["payload", "a", "b"]);
    }
    let mut request = Described::default();
    request.attribute(Attribute::Metadata, bytes);
    let headers = HeaderMap::default();
    let request = Request::new(&headers, &request, false);
    let _ = POLICIES.with(|policies| policies.decide(&request, 0));
});
