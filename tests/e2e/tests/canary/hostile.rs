//! Nothing a client sends or does can trap the filter.

use std::time::Duration;

use meshpack_e2e::canary::{HEADER, by, filter, split};
use meshpack_harness::{Behavior, Cluster, Envoy, Listener, RawClient, Request, Route, Upstream};
use serde_json::{Value, json};

/// A split that looks at everything a client can send.
fn curious() -> Value {
    split(
        "payments",
        [50.0, 50.0],
        json!({
            "stickyBy": [{"header": "x-user-id"}, {"cookie": "session"}, {"claim": "sub"}, "sourceIp"],
            "force": {"header": "x-canary", "cookie": "canary"},
            "rules": [{"match": {"headers": {"x-beta": "1*"}, "paths": ["/a/{*}", "*z"]}, "value": "v2"}],
            "onMissingKey": "cookie",
            "cookie": {"name": "sid"},
            "abort": {"arm": "v2", "baseline": "v1"},
        }),
    )
}

async fn start(v1: &Upstream, v2: &Upstream) -> Envoy {
    let splits: Vec<Value> = (0..20)
        .map(|number| {
            split(
                &format!("other-{number}*"),
                [1.0, 1.0],
                json!({"name": format!("o{number}")}),
            )
        })
        .chain([curious()])
        .collect();
    Envoy::builder()
        .listener(
            Listener::new("in")
                .filter(filter(&splits))
                .merge_manager(json!({
                    "max_request_headers_kb": 96,
                    "common_http_protocol_options": {"max_headers_count": 500},
                }))
                .route(Route::to("v2").when_header(HEADER, "v2"))
                .route(Route::to("v1")),
        )
        .cluster(Cluster::new("v1").endpoint(v1.address()))
        .cluster(Cluster::new("v2").endpoint(v2.address()))
        .start()
        .await
        .unwrap()
}

/// A normal request is served, and no VM was ever reloaded.
async fn is_unharmed(envoy: &Envoy) {
    let answer = envoy
        .client("in")
        .send(by("user-1", "payments"))
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    let counters = envoy.admin().stats_starting_with("wasm.").await.unwrap();
    let reloads: Vec<_> = counters
        .iter()
        .filter(|(name, _)| name.contains("vm_reload"))
        .collect();
    assert!(!reloads.is_empty(), "{counters:?}");
    assert!(reloads.iter().all(|(_, count)| **count == 0), "{reloads:?}");
    let panics = envoy
        .admin()
        .stats_starting_with("wasmcustom.meshpack_panics")
        .await
        .unwrap();
    assert!(panics.is_empty(), "{panics:?}");
    assert!(!envoy.log_contains("Function: proxy_on"), "a trap");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_in_any_header_are_served() {
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    let envoy = start(&v1, &v2).await;
    let client = envoy.client("in");
    for name in [
        "x-user-id",
        "cookie",
        "x-canary",
        "x-beta",
        "x-meshpack-subset",
        "content-type",
        "x-forwarded-proto",
        "authorization",
    ] {
        for byte in (0x20..=0xff).filter(|&byte| byte != 0x7f) {
            for value in [
                vec![byte; 3],
                [b"session=", &[byte; 3][..]].concat(),
                [b"a\"=;", &[byte][..], b"canary="].concat(),
            ] {
                let request = Request::get("/a/b")
                    .authority("payments")
                    .header(name, value);
                let answer = client.send(request).await.unwrap();
                // A scheme that Envoy does not know has no route.
                let odd_scheme = name == "x-forwarded-proto" && answer.status == 404;
                assert!(answer.status == 200 || odd_scheme, "{name} {byte}");
            }
        }
        is_unharmed(&envoy).await;
    }
    // What no HTTP client library sends: Envoy refuses some of it, the filter
    // must survive the rest.
    for byte in 0..=0xff_u8 {
        for line in [
            "x-user-id: a@b",
            "a@b: c",
            "cookie: session=@",
            "host: pay@ments",
        ] {
            let (before, after) = line.split_once('@').unwrap();
            let mut raw = RawClient::connect(envoy.address("in")).await.unwrap();
            let host = if line.starts_with("host") {
                ""
            } else {
                "host: payments\r\n"
            };
            let message = [
                b"GET /@ HTTP/1.1\r\n",
                host.as_bytes(),
                before.as_bytes(),
                &[byte],
                after.as_bytes(),
                b"\r\n\r\n",
            ]
            .concat();
            let _ = raw.send(message).await;
            let _ = raw
                .read_until(b"\r\n\r\n", Duration::from_millis(300))
                .await;
        }
    }
    is_unharmed(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_headers_and_60_kilobytes_are_served() {
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    let envoy = start(&v1, &v2).await;
    let client = envoy.client("in");
    let request = (0..300).fold(by("user-1", "payments"), |request, number| {
        request.header(format!("x-h-{number}"), "value")
    });
    assert_eq!(client.send(request).await.unwrap().status, 200);
    for name in ["x-user-id", "cookie", "x-canary", "x-filler"] {
        let request = Request::get("/")
            .authority("payments")
            .header(name, vec![b'a'; 60_000]);
        assert_eq!(client.send(request).await.unwrap().status, 200, "{name}");
    }
    let pairs: Vec<String> = (0..5000).map(|number| format!("c{number}=v")).collect();
    let request = Request::get("/")
        .authority("payments")
        .header("cookie", pairs.join("; "));
    assert_eq!(client.send(request).await.unwrap().status, 200);
    let long = format!("/a/{}", "x".repeat(60_000));
    let request = Request::get(long).authority("payments");
    assert_eq!(client.send(request).await.unwrap().status, 200);
    is_unharmed(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_may_go_away_at_any_moment() {
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    let envoy = start(&v1, &v2).await;
    let head = "POST / HTTP/1.1\r\nhost: payments\r\ncontent-length: 10\r\n\r\n";
    let slow = Behavior::echo()
        .delay(Duration::from_millis(60))
        .pause_before_body(Duration::from_millis(60));
    v1.set(slow.clone());
    v2.set(slow);
    for abrupt in [false, true] {
        // In the request line, in the headers, after them, in the body, before
        // and within the response.
        for cut in [5, 30, head.len(), head.len() + 5, head.len() + 10] {
            for wait in [0, 5, 90, 150] {
                let mut raw = RawClient::connect(envoy.address("in")).await.unwrap();
                let message = format!("{head}0123456789");
                raw.send(&message[..cut]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(wait)).await;
                if abrupt {
                    raw.abort().unwrap();
                } else {
                    raw.close();
                }
            }
        }
    }
    v1.set(Behavior::echo());
    v2.set(Behavior::echo());
    is_unharmed(&envoy).await;
    for behavior in [
        Behavior::reset(),
        Behavior::echo().body("partial").then_reset(),
    ] {
        v1.set(behavior.clone());
        v2.set(behavior);
        for number in 0..6 {
            let _ = envoy
                .client("in")
                .send(by(&format!("u{number}"), "payments"))
                .await;
        }
    }
    v1.set(Behavior::echo());
    v2.set(Behavior::echo());
    is_unharmed(&envoy).await;
}
