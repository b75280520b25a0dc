//! Nothing a client sends gives a 5xx or a dead VM.

use std::time::Duration;

use meshpack_e2e::authz::{PAYLOAD_HEADER, config, filter, listener, metadata_header, policy};
use meshpack_harness::{Envoy, RawClient, Request};
use serde_json::{Value, json};

/// Policies that look at everything a client can send, and log and explain it.
fn curious() -> Value {
    let keys = [
        "request.headers[x-any]",
        "request.query[q]",
        "request.cookies[c]",
        "request.auth.claims[a][b]",
        "connection.sni",
        "remote.ip",
    ];
    let conditions: Vec<Value> = keys
        .iter()
        .map(|key| {
            let value = if *key == "remote.ip" {
                "10.0.0.0/8"
            } else {
                "deny*"
            };
            let mut when = json!({"key": key, "values": [value]});
            if *key != "remote.ip" {
                when["valuesRegex"] = json!(["(a|b)*c{2,9}[^d]+"]);
            }
            json!({"when": [when]})
        })
        .collect();
    let everything = json!([{
        "to": [{"operation": {
            "paths": ["/deny*", "*/deny", "/{*}/deny/{**}"], "hosts": ["deny*"], "methods": ["DENY*"]
        }}],
        "from": [{"source": {"notRequestPrincipals": ["i/s"], "notNamespaces": ["x"], "notIpBlocks": ["::1"]}}]
    }]);
    let mut config = config(&[
        policy("each", "DENY", Value::Array(conditions)),
        policy("all", "DENY", everything),
        policy("watch", "AUDIT", json!([{}])),
    ]);
    config["pathMatching"] = json!("hardened");
    config["explain"] = json!("header");
    config["typedClaims"] = json!(true);
    config["splitHeaders"] = json!(["x-any"]);
    config
}

async fn start() -> Envoy {
    Envoy::builder()
        .listener(
            listener("in", vec![filter(&curious()).into()]).merge_manager(json!({
                "max_request_headers_kb": 96,
                "common_http_protocol_options": {"max_headers_count": 500},
            })),
        )
        .start()
        .await
        .unwrap()
}

/// Denials and permissions still come as they should.
async fn is_unharmed(envoy: &Envoy) {
    let client = envoy.client("in");
    assert_eq!(client.get("/").await.unwrap().status, 200);
    let denied = client
        .send(Request::get("/").header("x-any", "deny"))
        .await
        .unwrap();
    assert_eq!(denied.status, 403);
    assert!(!envoy.log_contains("Function: proxy_on"), "a trap");
    let panics = envoy
        .admin()
        .stats_starting_with("wasmcustom.meshpack_panics")
        .await
        .unwrap();
    assert!(panics.is_empty(), "{panics:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_byte_in_any_place_is_answered() {
    let envoy = start().await;
    let client = envoy.client("in");
    for name in ["x-any", "cookie", "x-forwarded-for", "user-agent"] {
        for byte in (0x20..=0xff).filter(|&byte| byte != 0x7f) {
            for value in [
                vec![byte; 3],
                [b"c=", &[byte; 2][..]].concat(),
                [b"deny,\"", &[byte][..]].concat(),
            ] {
                let answer = client
                    .send(Request::get("/a").header(name, value))
                    .await
                    .unwrap();
                assert!(
                    matches!(answer.status, 200 | 403),
                    "{name} {byte}: {}",
                    answer.status
                );
            }
        }
    }
    is_unharmed(&envoy).await;
    // What no HTTP client library sends.
    for byte in 0..=0xff_u8 {
        for (before, after) in [
            ("GET /deny", " HTTP/1.1\r\nhost: a\r\n\r\n"),
            ("GET /?q=deny", "&q=x HTTP/1.1\r\nhost: a\r\n\r\n"),
            ("DENY", " / HTTP/1.1\r\nhost: a\r\n\r\n"),
            ("GET / HTTP/1.1\r\nhost: deny", "\r\n\r\n"),
            ("GET / HTTP/1.1\r\nhost: a\r\nx-any", ": b\r\n\r\n"),
        ] {
            let mut raw = RawClient::connect(envoy.address("in")).await.unwrap();
            let message = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            raw.send(message).await.unwrap();
            let answer = raw
                .read_until(b"\r\n\r\n", Duration::from_millis(250))
                .await
                .unwrap();
            assert!(
                !answer.starts_with(b"HTTP/1.1 5"),
                "{before:?} {byte}: {}",
                String::from_utf8_lossy(&answer)
            );
        }
    }
    is_unharmed(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_requests_and_deep_tokens_are_answered() {
    let envoy = start().await;
    let client = envoy.client("in");
    let many = (0..300).fold(Request::get("/"), |request, number| {
        request.header(format!("x-{number}"), "v")
    });
    let commas = vec![b','; 60_000];
    let as_ = vec![b'a'; 60_000];
    let cookies: Vec<String> = (0..5000).map(|number| format!("k{number}=v")).collect();
    for (what, request) in [
        ("many headers", many),
        ("a long list", Request::get("/").header("x-any", commas)),
        (
            "a long value for an expression",
            Request::get("/").header("x-any", as_),
        ),
        (
            "many cookies",
            Request::get("/").header("cookie", cookies.join("; ")),
        ),
        (
            "a long path",
            Request::get(format!("/{}", "a/".repeat(30_000))),
        ),
        (
            "dots",
            Request::get(format!("/{}", "%252e%252e/".repeat(5000))),
        ),
        (
            "many parameters",
            Request::get(format!("/?{}", "q=a&".repeat(15_000))),
        ),
    ] {
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.status, 200, "{what}");
    }
    // Native JSON readers stop at some depth; so deep a token does not harm.
    let mut deep = json!({"b": "deny"});
    for _ in 0..60 {
        deep = json!({"a": deep, "l": [deep]});
        if deep.to_string().len() > 2000 {
            break;
        }
    }
    let request = Request::get("/").header(PAYLOAD_HEADER, metadata_header(&deep));
    let status = client.send(request).await.unwrap().status;
    assert!(matches!(status, 200 | 403), "{status}");
    is_unharmed(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_may_go_away_at_any_moment() {
    let envoy = start().await;
    let head = "POST /deny HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n0123456789";
    for cut in [1, 5, 20, 40, head.len() - 10, head.len() - 5, head.len()] {
        for abrupt in [true, false] {
            let mut raw = RawClient::connect(envoy.address("in")).await.unwrap();
            raw.send(&head[..cut]).await.unwrap();
            if abrupt {
                raw.abort().unwrap();
            } else {
                raw.close();
            }
        }
    }
    is_unharmed(&envoy).await;
}
