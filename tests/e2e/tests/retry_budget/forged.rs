//! What a client writes into `x-envoy-attempt-count`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use meshpack_e2e::retry::{Stats, filter};
use meshpack_harness::{
    Certificates, Client, Envoy, EnvoyBuilder, Listener, Request, Route, versions,
};
use serde_json::{Value, json};

/// A fifth may be retries; the floor is what counts with so few requests.
fn config(floor: u32, more: Value) -> Value {
    let mut server = json!({
        "maxRetryPercent": 20,
        "interval": "60s",
        "minRetryRate": {"count": floor, "interval": "60s"},
    });
    meshpack_e2e::canary::replace(&mut server, more);
    json!({ "server": server })
}

fn server(config: &Value) -> Listener {
    Listener::new("in")
        .filter(filter(config).unwrap())
        .route(Route::direct(200, "ok"))
}

fn builder(listener: Listener) -> EnvoyBuilder {
    Envoy::builder().concurrency(1).listener(listener)
}

async fn refused(client: &Client, attempt: &str, times: usize) -> usize {
    let mut refused = 0;
    for _ in 0..times {
        let request = Request::get("/").header("x-envoy-attempt-count", attempt);
        let answer = client.send(request).await.unwrap();
        assert!([200, 503].contains(&answer.status));
        refused += usize::from(answer.status == 503);
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_from_outside_use_up_nothing_on_every_version() {
    for version in versions().unwrap() {
        let certificates = Certificates::new().unwrap();
        let own = certificates.issue(&["localhost"]).unwrap();
        let caller = certificates
            .issue(&["spiffe://mesh/ns/shop/sa/caller"])
            .unwrap();
        let other = certificates
            .issue(&["spiffe://mesh/ns/shop/sa/other"])
            .unwrap();
        let config = config(10, json!({}));
        let open = server(&config);
        let mut closed = server(&config);
        closed = closed.tls(certificates.mutual_tls(&own));
        let envoy = builder(open).version(version).start().await.unwrap();
        // Envoy does not take the header away from clients.
        assert_eq!(refused(&envoy.client("in"), "5", 100).await, 0, "{version}");
        let warning = "x-envoy-attempt-count of a peer without a certificate";
        assert!(envoy.log_contains(warning), "{version}");
        assert_eq!(envoy.log().matches(warning).count(), 1, "{version}");
        drop(envoy);

        let envoy = builder(closed).version(version).start().await.unwrap();
        let with = |identity| {
            let tls = certificates.client_tls(Some(identity)).unwrap();
            envoy.client("in").tls(tls, "localhost")
        };
        // One caller gets four fifths of the ten, and the next one still the rest.
        assert_eq!(refused(&with(&caller), "5", 30).await, 22, "{version}");
        assert_eq!(refused(&with(&other), "2", 1).await, 0, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_leaves_retries_to_the_others() {
    let config = config(10, json!({"trustAttemptCount": "always"}));
    let envoy = builder(server(&config)).start().await.unwrap();
    let from = |last| {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        envoy.client("in").from_ip(address)
    };
    assert_eq!(refused(&from(2), "5", 20).await, 12);
    assert_eq!(refused(&from(3), "2", 1).await, 0);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let stats = Stats::read(&envoy, "server").await.unwrap();
    assert_eq!((stats.retries, stats.denied), (9, 12));
}

/// The judge is a route of the same Envoy that takes numbers above 1.
#[tokio::test(flavor = "multi_thread")]
async fn odd_numbers_are_read_as_envoy_reads_them_on_every_version() {
    let config = config(
        0,
        json!({"trustAttemptCount": "always", "maxRetryPercent": 0}),
    );
    let above_one = json!({
        "match": {"prefix": "/", "headers": [{
            "name": "x-envoy-attempt-count",
            "range_match": {"start": 2, "end": i64::MAX},
        }]},
        "direct_response": {"status": 418},
    });
    let all = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200}});
    let judge = Listener::new("judge").virtual_host(json!({
        "name": "all", "domains": ["*"], "routes": [above_one, all],
    }));
    for version in versions().unwrap() {
        let envoy = builder(server(&config))
            .listener(judge.clone())
            .version(version)
            .start()
            .await
            .unwrap();
        for values in [
            &["1"][..],
            &["2"],
            &[" 2"],
            &["2 "],
            &["\t2"],
            &["+2"],
            &["-2"],
            &["02"],
            &["0x2"],
            &["2.0"],
            &["2,2"],
            &["2", "2"],
            &["1", "2"],
            &[""],
            &["x"],
            &["4294967295"],
            &["4294967296"],
            &["4294967298"],
            &["9223372036854775806"],
            &["9223372036854775808"],
            &["18446744073709551618"],
        ] {
            let request = || {
                values.iter().fold(Request::get("/"), |request, value| {
                    request.header("x-envoy-attempt-count", *value)
                })
            };
            let judged = envoy.client("judge").send(request()).await.unwrap().status;
            let ours = envoy.client("in").send(request()).await.unwrap().status;
            assert_eq!(ours == 503, judged == 418, "{version}: {values:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_never_comes_is_said_once() {
    let envoy = builder(server(&config(10, json!({}))))
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    for _ in 0..100 {
        client.get("/").await.unwrap();
    }
    let warning = "none of the first 20 requests had x-envoy-attempt-count";
    assert_eq!(envoy.log().matches(warning).count(), 1);
}
