//! Every request is counted once, however it ended.

use std::collections::BTreeMap;
use std::time::Duration;

use meshpack_e2e::telemetry::{by_label, envoy_with_labels, telemetry};
use meshpack_harness::config::HttpFilter;
use meshpack_harness::{
    Behavior, Client, Cluster, Envoy, Listener, RawClient, Recorded, Request, Route, Samples,
    Script, Upstream, versions,
};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

/// What the upstream does depends on the path alone.
fn app() -> Script {
    Script::new(|request: &Recorded, _| match request.path.as_str() {
        "/reset" => Behavior::reset(),
        "/hang" => Behavior::hang(),
        "/shop.Cart/Get" => Behavior::grpc(&[b"a"], 0),
        "/shop.Cart/List" => Behavior::grpc(&[b"a", b"b", b"c"], 0),
        "/shop.Cart/Missing" => Behavior::grpc(&[], 5),
        "/shop.Cart/Broken" => Behavior::grpc_error(13),
        path => match path.strip_prefix("/status/").and_then(|s| s.parse().ok()) {
            Some(status) => Behavior::status(status),
            None => Behavior::echo(),
        },
    })
}

fn grpc_stats() -> HttpFilter {
    HttpFilter::new(
        "envoy.filters.http.grpc_stats",
        json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
            "emit_filter_state": true,
        }),
    )
}

/// Listener `in` with an access log of Envoy's own beside the filter, clusters
/// for HTTP/1.1 and (gRPC) HTTP/2.
async fn start(
    upstream: &Upstream,
    config: &serde_json::Value,
    version: meshpack_harness::EnvoyVersion,
) -> Envoy {
    envoy_with_labels(&["verb"])
        // Histograms are shown after the next flush.
        .merge(json!({"stats_flush_interval": "0.1s"}))
        .listener(
            Listener::new("in")
                .filter(telemetry(config))
                .filter(grpc_stats())
                .merge_manager(json!({"access_log": [{
                    "name": "envoy.access_loggers.stdout",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
                        "log_format": {"text_format_source": {"inline_string":
                            "ACCESS %RESPONSE_CODE% %RESPONSE_FLAGS% %GRPC_STATUS_NUMBER% %REQ(:METHOD)%\n"}},
                    },
                }]}))
                .merge(json!({"traffic_direction": "OUTBOUND"}))
                .route(Route::direct(403, "no").prefix("/local"))
                .route(Route::to("grpc").prefix("/shop.Cart/"))
                .route(Route::to("app").prefix("/")),
        )
        .cluster(Cluster::new("app").endpoint(upstream.address()))
        .cluster(Cluster::new("grpc").endpoint(upstream.address()).http2())
        .version(version)
        .start()
        .await
        .unwrap()
}

/// `code flags grpc-status method` of every request that Envoy itself logged.
fn envoys_own_log(envoy: &Envoy) -> Vec<Vec<String>> {
    envoy
        .log()
        .lines()
        .filter_map(|line| line.strip_prefix("ACCESS "))
        .map(|line| line.split(' ').map(str::to_owned).collect())
        .collect()
}

fn tally<'a>(values: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for value in values {
        *out.entry(value.clone()).or_default() += 1;
    }
    out
}

async fn aborted(envoy: &Envoy, upstream: &Upstream, n: u64) {
    for _ in 0..n {
        let before = upstream.requests();
        let mut client = RawClient::connect(envoy.address("in")).await.unwrap();
        client
            .send("GET /hang HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        assert!(upstream.wait_for_requests(before + 1, LIMIT).await);
        client.abort().unwrap();
    }
}

/// Waits until everything is counted and Envoy's own log written.
async fn wait_for_total(envoy: &Envoy, total: u64) -> Samples {
    for _ in 0..100 {
        let samples = envoy.admin().prometheus().await.unwrap();
        if samples.sum("meshpack_requests_total", &[]) as u64 >= total
            && samples.sum("meshpack_request_bytes_count", &[]) as u64 >= total
            && envoys_own_log(envoy).len() as u64 >= total
        {
            return samples;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{total} requests were not counted in time");
}

async fn mixed_traffic(envoy: &Envoy, upstream: &Upstream) -> u64 {
    let (http1, http2) = (envoy.client("in"), envoy.client_http2("in"));
    let mut sent = 0;
    let mut send = async |client: &Client, n: u64, request: Request| {
        for _ in 0..n {
            let _ = client.send(request.clone()).await;
        }
        sent += n;
    };
    send(&http1, 40, Request::get("/ok")).await;
    send(&http2, 30, Request::post("/ok", "body")).await;
    send(&http1, 11, Request::get("/status/404")).await;
    send(&http2, 7, Request::new("DELETE", "/status/503")).await;
    send(&http1, 5, Request::get("/local")).await;
    send(&http2, 4, Request::get("/reset")).await;
    send(&http1, 3, Request::get("/reset")).await;
    for (path, n) in [
        ("/shop.Cart/Get", 6),
        ("/shop.Cart/List", 3),
        ("/shop.Cart/Missing", 2),
        ("/shop.Cart/Broken", 2),
    ] {
        for _ in 0..n {
            http2.grpc(path, &[b"one", b"two"]).await.unwrap();
        }
        sent += n;
    }
    aborted(envoy, upstream, 3).await;
    sent + 3
}

#[tokio::test(flavor = "multi_thread")]
async fn mixed_traffic_is_counted_as_envoys_own_log_has_it() {
    let upstream = Upstream::start_with("app", app()).await.unwrap();
    let config = json!({
        "metrics": [{"name": "verbs_total", "type": "counter", "labels": {"verb": "request.method"}}],
    });
    let envoy = start(&upstream, &config, meshpack_harness::DEFAULT_VERSION).await;
    let total = mixed_traffic(&envoy, &upstream).await;
    let samples = wait_for_total(&envoy, total).await;
    let log = envoys_own_log(&envoy);
    assert_eq!(log.len() as u64, total);

    // Each label agrees with Envoy's own log over all requests.
    let column = |i: usize| tally(log.iter().map(|row| &row[i]));
    assert_eq!(
        by_label(&samples, "meshpack_requests_total", "response_code"),
        column(0)
    );
    assert_eq!(
        by_label(&samples, "meshpack_requests_total", "response_flags"),
        column(1)
    );
    assert_eq!(by_label(&samples, "verbs_total", "verb"), column(3));
    let grpc: BTreeMap<String, u64> =
        by_label(&samples, "meshpack_requests_total", "grpc_response_status")
            .into_iter()
            .filter(|(status, _)| !status.is_empty())
            .collect();
    let expected = [("0", 9), ("13", 2), ("5", 2)].map(|(s, n)| (s.to_owned(), n));
    assert_eq!(grpc, BTreeMap::from(expected));
    assert_eq!(
        by_label(&samples, "meshpack_requests_total", "request_protocol"),
        BTreeMap::from([("grpc".to_owned(), 13), ("http".to_owned(), total - 13)])
    );
    assert_eq!(
        by_label(&samples, "meshpack_requests_total", "reporter").len(),
        1
    );

    // Every histogram has every request, and messages are counted both ways.
    for metric in [
        "meshpack_request_duration_milliseconds_count",
        "meshpack_request_bytes_count",
        "meshpack_response_bytes_count",
    ] {
        assert_eq!(samples.sum(metric, &[]) as u64, total, "{metric}");
    }
    assert_eq!(
        samples.sum("meshpack_request_messages_total", &[]) as u64,
        13 * 2
    );
    assert_eq!(
        samples.sum("meshpack_response_messages_total", &[]) as u64,
        6 + 3 * 3
    );
    assert_eq!(
        samples.sum("meshpack_telemetry_expression_errors_total", &[]),
        0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_counts_aborts_resets_and_answers() {
    let upstream = Upstream::start_with("app", app()).await.unwrap();
    for version in versions().unwrap() {
        let envoy = start(&upstream, &json!({}), version).await;
        let client = envoy.client("in");
        for path in ["/ok", "/status/500", "/reset", "/local"] {
            let _ = client.get(path).await;
        }
        envoy
            .client_http2("in")
            .grpc("/shop.Cart/Missing", &[b"a"])
            .await
            .unwrap();
        aborted(&envoy, &upstream, 1).await;
        let samples = wait_for_total(&envoy, 6).await;
        let log = envoys_own_log(&envoy);
        let codes = tally(log.iter().map(|row| &row[0]));
        let flags = tally(log.iter().map(|row| &row[1]));
        assert_eq!(
            by_label(&samples, "meshpack_requests_total", "response_code"),
            codes,
            "{version}"
        );
        assert_eq!(
            by_label(&samples, "meshpack_requests_total", "response_flags"),
            flags,
            "{version}"
        );
        assert_eq!(
            samples.sum("meshpack_requests_total", &[("grpc_response_status", "5")]),
            1.0,
            "{version}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gauge_shows_what_is_in_flight_and_a_histogram_its_values() {
    let upstream = Upstream::start_with("app", app()).await.unwrap();
    let config = json!({
        "golden": {"enabled": false},
        "metrics": [
            {"name": "in_flight", "type": "gauge", "labels": {"verb": "request.method"}},
            {"name": "answer_code", "type": "histogram", "value": "response.code", "when": "has(response.code)"},
            {"name": "bytes_total", "type": "counter", "value": "response.size", "when": "request.method == 'POST'"},
        ],
    });
    let envoy = start(&upstream, &config, meshpack_harness::DEFAULT_VERSION).await;
    let mut clients = Vec::new();
    for n in 1..=3 {
        let mut client = RawClient::connect(envoy.address("in")).await.unwrap();
        client
            .send("GET /hang HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        assert!(upstream.wait_for_requests(n, LIMIT).await);
        clients.push(client);
    }
    let in_flight = async || {
        let samples = envoy.admin().prometheus().await.unwrap();
        samples.sum("in_flight", &[("verb", "GET")])
    };
    assert_eq!(in_flight().await, 3.0);
    for client in clients {
        client.abort().unwrap();
    }
    for _ in 0..100 {
        if in_flight().await == 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(in_flight().await, 0.0);

    let answer = envoy
        .client("in")
        .send(Request::post("/ok", "hello"))
        .await
        .unwrap();
    envoy.client("in").get("/status/404").await.unwrap();
    for _ in 0..100 {
        let samples = envoy.admin().prometheus().await.unwrap();
        if samples.sum("answer_code_count", &[]) >= 2.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let samples = envoy.admin().prometheus().await.unwrap();
    assert_eq!(samples.sum("answer_code_count", &[]), 2.0);
    // Envoy keeps histograms in bins of two digits, so a sum is within 2 %.
    let sum = samples.sum("answer_code_sum", &[]);
    assert!((sum - 604.0).abs() < 12.0, "{sum}");
    assert_eq!(samples.sum("bytes_total", &[]) as usize, answer.body.len());
    assert_eq!(samples.sum("meshpack_requests_total", &[]), 0.0);
}
