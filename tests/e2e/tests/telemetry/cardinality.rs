//! A label that takes another value with every request.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use meshpack_e2e::soak::{self, Footprint};
use meshpack_e2e::telemetry::{envoy_with_labels, telemetry};
use meshpack_harness::{Envoy, Listener, Request, Route};
use serde_json::json;

/// Series of each metric, `other` included.
const CAP: usize = 1000;
/// Series with a tenant of their own: beside the last series, whose labels are all
/// `other`, two are kept for the operations of the tenants that find no place.
const OWN: usize = CAP - 3;
/// Bytes of a label value.
const LENGTH: usize = 100;

const COUNTER: &str = "tenant_requests_total";
const HISTOGRAM: &str = "tenant_milliseconds";

async fn start() -> Envoy {
    let labels = json!({"tenant": "request.headers['x-tenant']", "operation": "path_template"});
    let config = json!({
        "golden": {"enabled": false},
        "metrics": [
            {"name": COUNTER, "type": "counter", "labels": labels},
            {"name": HISTOGRAM, "type": "histogram", "value": "request.duration", "labels": labels},
        ],
        "pathTemplates": ["/users/{id}"],
        "cardinality": {"maxSeriesPerMetric": CAP, "maxValueLength": LENGTH},
    });
    envoy_with_labels(&["tenant", "operation"])
        .merge(json!({"stats_flush_interval": "0.2s"}))
        .listener(
            Listener::new("in")
                .filter(telemetry(&config))
                .route(Route::direct(200, "ok")),
        )
        .start()
        .await
        .unwrap()
}

/// A header value of request `n`, no two alike, in turn: plain, with the
/// separators of stat names, not UTF-8, 5 KB long, with what Prometheus quotes.
fn value(n: usize) -> Vec<u8> {
    match n % 5 {
        0 => format!("tenant-{n}").into_bytes(),
        1 => format!("{n};.;operation=.=stolen;.;").into_bytes(),
        2 => [b"\xff\xfe".as_slice(), n.to_string().as_bytes(), b"\xc3"].concat(),
        3 => format!("{n}-{}", "a".repeat(5000)).into_bytes(),
        _ => format!("\"{n}\\\"}} 1 {{x=\"").into_bytes(),
    }
}

/// The label that it must give.
fn shown(n: usize) -> String {
    match n % 5 {
        0 => format!("tenant-{n}"),
        1 => format!("{n}_._operation_._stolen_._"),
        2 => format!("__{n}_"),
        3 => {
            let number = format!("{n}-");
            format!("{number}{}", "a".repeat(LENGTH - number.len()))
        }
        _ => format!("\"{n}\\\"}} 1 {{x_\""),
    }
}

fn request(n: usize) -> Vec<u8> {
    let mut bytes = b"GET /users/1 HTTP/1.1\r\nhost: shop\r\nx-tenant: ".to_vec();
    bytes.extend_from_slice(&value(n));
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes
}

/// These requests, each with a value of its own.
async fn load(envoy: &Envoy, numbers: Range<usize>, connections: usize) {
    let count = numbers.len();
    let statuses = soak::load(envoy.address("in"), numbers, connections, request);
    assert_eq!(statuses.await.unwrap(), BTreeMap::from([(200, count)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_without_end_make_exactly_the_capped_series_in_flat_memory() {
    let requests = soak::requests(30_000).max(15_000);
    let envoy = start().await;
    // In one connection, so that it is known which values come first.
    load(&envoy, 0..CAP, 1).await;
    // What Envoy and the module allocate once is there after some thousands.
    load(&envoy, CAP..10_000, 8).await;
    let before = Footprint::of(&envoy).await.unwrap();
    load(&envoy, 10_000..requests, 8).await;
    let after = Footprint::of(&envoy).await.unwrap();
    eprintln!("{requests} values: {before:?} at 10000, {after:?} at the end");
    assert_eq!(before.stats, after.stats, "no stat more");
    // A stat of each value would be more than 500 bytes of each.
    let allowed = (4 << 20) + (requests as u64 - 10_000) * 5;
    let grown = after.memory.saturating_sub(before.memory);
    assert!(grown < allowed, "{grown} bytes more, {allowed} allowed");

    // Histograms are shown after the next flush.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let samples = envoy.admin().prometheus().await.unwrap();
    let mut expected: BTreeSet<String> = (0..OWN).map(shown).collect();
    expected.insert("other".to_owned());
    for metric in [COUNTER, &format!("{HISTOGRAM}_count")] {
        let series: Vec<_> = samples.named(metric).collect();
        assert_eq!(series.len(), OWN + 1, "{metric}");
        let mut found = BTreeSet::new();
        for sample in &series {
            let (tenant, operation) = (sample.label("tenant"), sample.label("operation"));
            assert_eq!(sample.labels.len(), 2, "{sample:?}");
            assert_eq!(operation, "/users/{id}", "a closed label stays");
            if tenant == "other" {
                assert_eq!(sample.value as usize, requests - OWN, "{metric}");
            } else {
                assert_eq!(sample.value, 1.0, "{sample:?}");
            }
            found.insert(tenant.to_owned());
        }
        assert_eq!(found, expected, "{metric}");
    }
    // A label that was not taken out would stand in a metric's name.
    let text = envoy.admin().get("/stats/prometheus").await.unwrap();
    let of_samples = text.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(of_samples.count(), samples.len(), "every line is a sample");
    let suffixes = ["", "_bucket", "_sum", "_count"];
    for sample in samples.iter().filter(|s| s.name.contains("tenant")) {
        let ours = sample.name == COUNTER
            || suffixes
                .iter()
                .any(|end| sample.name == format!("{HISTOGRAM}{end}"));
        assert!(ours, "{}", sample.name);
    }
    let overflowed =
        "wasmcustom.meshpack_telemetry_overflow_totaloverflowed_metric=.=tenant_requests_total;.;";
    let beyond = (requests - OWN) as u64;
    envoy
        .wait_for_stat(overflowed, std::time::Duration::from_secs(60), |n| {
            n == beyond
        })
        .await
        .unwrap();
}

/// The golden metrics with a label that clients choose, filled by one of them.
#[tokio::test(flavor = "multi_thread")]
async fn who_fills_the_cap_hides_no_error_of_others_on_every_version() {
    let config = json!({
        "metrics": [{
            "name": "tenant_requests_total",
            "type": "counter",
            "labels": {"tenant": "request.headers['x-tenant']", "outcome": "response.code"},
        }],
        "tagOverrides": {"golden": {"labels": {"tenant": "request.headers['x-tenant']"}}},
        "cardinality": {"maxSeriesPerMetric": 50},
    });
    for version in meshpack_harness::versions().unwrap() {
        let envoy = envoy_with_labels(&["tenant", "outcome"])
            .version(version)
            .listener(
                Listener::new("in")
                    .filter(telemetry(&config))
                    .route(Route::direct(500, "no").prefix("/broken"))
                    .route(Route::direct(200, "ok")),
            )
            .start()
            .await
            .unwrap();
        let client = envoy.client("in");
        for n in 0..60 {
            let request = Request::get("/").header("x-tenant", format!("junk-{n}"));
            client.send(request).await.unwrap();
        }
        for _ in 0..30 {
            let request = Request::get("/broken").header("x-tenant", "acme");
            client.send(request).await.unwrap();
        }
        let samples = envoy.admin().prometheus().await.unwrap();
        for (metric, label) in [
            ("tenant_requests_total", "outcome"),
            ("meshpack_requests_total", "response_code"),
        ] {
            let errors = samples.sum(metric, &[(label, "500")]);
            assert_eq!(errors, 30.0, "{version}: {metric}");
            let all = samples.sum(metric, &[]);
            assert_eq!(all, 90.0, "{version}: {metric}");
            let series = samples.named(metric).count();
            assert!(series <= 50, "{version}: {metric} has {series}");
        }
    }
}
