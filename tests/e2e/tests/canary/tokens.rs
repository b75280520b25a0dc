//! Claims of tokens that the real `jwt_authn` has verified, under the names that Envoy
//! Gateway gives their payloads: its providers'.

use meshpack_e2e::canary::{HEADER, arm, filter, flagd, split};
use meshpack_harness::{
    Client, Envoy, EnvoyVersion, HttpFilter, Listener, Request, Route, WasmFilter, versions,
    wasm_module,
};
use serde_json::{Value, json};

/// Tokens signed with HS256 and the key below, of the issuer `test`: subjects user-1 and
/// user-2, and `x` with the number 12345 as `uid`.
pub(super) const USER_1: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJ0ZXN0Iiwic3ViIjoidXNlci0xIn0.E5AatnSOJTuhgRHoc7plSXAHXoB2lEA8rmkwOuakNB4";
pub(super) const USER_2: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJ0ZXN0Iiwic3ViIjoidXNlci0yIn0.1HLsTuBMKOmtdgf3a4Jun9k7ymNm5h73AScYkDV-NWA";
pub(super) const UID_12345: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJ0ZXN0Iiwic3ViIjoieCIsInVpZCI6MTIzNDV9.4QwifSPaqvSvY7uU_qzwjexkWqU9MsCH3bhjOZGXBUA";
const KEY: &str = r#"{"keys":[{"kty":"oct","kid":"k","alg":"HS256","k":"bWVzaHBhY2stdGVzdC1rZXktb2YtMzItYnl0ZXMtb2s"}]}"#;

/// jwt_authn with a provider for each of `(name, header, key)`: tokens come in a header
/// of their own (`authorization: Bearer` for an empty one), the payload goes under the key.
pub(super) fn jwt_authn(providers: &[(&str, &str, &str)]) -> HttpFilter {
    let mut by_name = json!({});
    let mut wanted = Vec::new();
    for (name, header, key) in providers {
        by_name[*name] = json!({
            "issuer": "test",
            "local_jwks": {"inline_string": KEY},
            "payload_in_metadata": key,
        });
        if !header.is_empty() {
            by_name[*name]["from_headers"] = json!([{"name": header}]);
        }
        wanted.push(json!({"requires_any": {"requirements": [
            {"provider_name": name}, {"allow_missing": {}},
        ]}}));
    }
    let requires = match &wanted[..] {
        [one] => one.clone(),
        _ => json!({"requires_all": {"requirements": wanted}}),
    };
    HttpFilter::new(
        "envoy.filters.http.jwt_authn",
        json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": by_name,
            "rules": [{"match": {"prefix": "/"}, "requires": requires}],
        }),
    )
}

fn sticky_by_claim(keys: Option<Value>) -> WasmFilter {
    let more = |claim| json!({"stickyBy": [{"claim": claim}], "onMissingKey": "default"});
    let splits = [
        split("sub", [0.0, 1.0], more("sub")),
        split("half", [50.0, 50.0], more("sub")),
        split("uid", [0.0, 1.0], more("uid")),
    ];
    let Some(keys) = keys else {
        return filter(&splits);
    };
    let module = wasm_module("canary_split").expect("make build builds the module");
    WasmFilter::new("canary_split", module)
        .config(&json!({"header": HEADER, "jwtPayloadKeys": keys, "splits": splits}))
}

async fn start(version: EnvoyVersion) -> Envoy {
    let mut builder = Envoy::builder().version(version);
    for (name, keys) in [
        ("any", None),
        ("okta", Some(json!(["okta"]))),
        ("payload", Some(json!(["payload"]))),
    ] {
        let providers = [("okta", "x-okta", "okta"), ("google", "x-google", "google")];
        let mut listener = Listener::new(name)
            .filter(jwt_authn(&providers))
            .filter(sticky_by_claim(keys));
        for value in ["v1", "v2"] {
            listener = listener.route(Route::direct(200, value).when_header(HEADER, value));
        }
        builder = builder.listener(listener.route(Route::direct(200, "default")));
    }
    builder.start().await.unwrap()
}

async fn of_tokens(client: &Client, host: &str, tokens: &[(&str, &str)]) -> String {
    let request = tokens.iter().fold(
        Request::get("/").authority(host),
        |request, (name, token)| request.header(*name, *token),
    );
    arm(client, request).await
}

/// A split of weights 0 and 1 says whether there was an id (`v2`) or none (`v1`, the
/// default), one of two halves whose id it was.
#[tokio::test(flavor = "multi_thread")]
async fn claims_are_read_under_the_names_of_providers_and_never_by_chance() {
    for version in versions().unwrap() {
        let envoy = start(version).await;
        let (any, okta) = (envoy.client("any"), envoy.client("okta"));
        let half = [50, 50];
        for (token, id) in [(USER_1, "user-1"), (USER_2, "user-2")] {
            for name in ["x-okta", "x-google"] {
                let found = of_tokens(&any, "half", &[(name, token)]).await;
                assert_eq!(found, flagd("salt", id, half), "{version:?} {name} {id}");
            }
            let same = [("x-okta", token), ("x-google", token)];
            let found = of_tokens(&any, "half", &same).await;
            assert_eq!(found, flagd("salt", id, half), "{version:?} both {id}");
        }
        assert!(!envoy.log_contains("requests carry several tokens"));

        for (first, second) in [(USER_1, USER_2), (USER_2, USER_1)] {
            let both = [("x-okta", first), ("x-google", second)];
            let found = of_tokens(&any, "sub", &both).await;
            assert_eq!(found, "v1", "{version:?}: they differ, so there is no id");
            // The one that is named counts, whatever the other says.
            let id = if first == USER_1 { "user-1" } else { "user-2" };
            let found = of_tokens(&okta, "half", &both).await;
            assert_eq!(found, flagd("salt", id, half), "{version:?} named {id}");
        }
        assert!(envoy.log_contains("requests carry several tokens"));

        // One token alone has the claim.
        let both = [("x-okta", USER_1), ("x-google", UID_12345)];
        assert_eq!(of_tokens(&any, "uid", &both).await, "v2", "{version:?}");
        assert_eq!(of_tokens(&okta, "uid", &both).await, "v1", "{version:?}");
        // Nobody writes the key that this one names.
        let other = envoy.client("payload");
        let found = of_tokens(&other, "sub", &[("x-okta", USER_1)]).await;
        assert_eq!(found, "v1", "{version:?}");
        assert_eq!(of_tokens(&any, "sub", &[]).await, "v1", "{version:?}");
    }
}
