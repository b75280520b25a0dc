//! Labels: right where Istio's are, whole whatever clients send, and bounded.

use std::collections::BTreeSet;

use meshpack_e2e::telemetry::{envoy_with_labels, shop_node, telemetry};
use meshpack_harness::{
    Certificates, Cluster, DEFAULT_VERSION, Envoy, EnvoyVersion, Listener, Request, Route, Sample,
    Upstream, versions,
};
use serde_json::json;

/// The only series of a metric.
async fn only(envoy: &Envoy, metric: &str) -> Sample {
    let samples = envoy.admin().prometheus().await.unwrap();
    let found: Vec<&Sample> = samples.named(metric).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

fn assert_labels(sample: &Sample, expected: &[(&str, &str)]) {
    for (label, value) in expected {
        assert_eq!(sample.label(label), *value, "{label}");
    }
    assert_eq!(sample.labels.len(), expected.len(), "{:?}", sample.labels);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sidecar_reports_istios_labels_on_every_version() {
    for version in versions().unwrap() {
        a_client_sidecar_reports_istios_labels(version).await;
    }
}

async fn a_client_sidecar_reports_istios_labels(version: EnvoyVersion) {
    let upstream = Upstream::start("reviews").await.unwrap();
    let endpoint = json!({"metadata": {"filter_metadata": {"istio": {
        "workload": "reviews-v3;reviews-ns;reviews;v3;west",
    }}}});
    let envoy = envoy_with_labels(&[])
        .version(version)
        .merge(shop_node())
        .listener(
            Listener::new("out")
                .filter(telemetry(&json!({})))
                .merge(json!({"traffic_direction": "OUTBOUND"}))
                .route(Route::to("reviews")),
        )
        .cluster(
            Cluster::new("reviews")
                .endpoint_with(upstream.address(), endpoint)
                .merge(
                    json!({"metadata": {"filter_metadata": {"istio": {"services": [{
                        "host": "reviews.reviews-ns.svc.cluster.local",
                        "name": "reviews",
                        "namespace": "reviews-ns",
                    }]}}}}),
                ),
        )
        .start()
        .await
        .unwrap();
    envoy.client("out").get("/").await.unwrap();
    let sample = only(&envoy, "meshpack_requests_total").await;
    assert_labels(
        &sample,
        &[
            ("reporter", "source"),
            ("source_workload", "shop-v1"),
            ("source_canonical_service", "shop"),
            ("source_canonical_revision", "v1"),
            ("source_workload_namespace", "shop-ns"),
            ("source_principal", "unknown"),
            ("source_app", "shop"),
            ("source_version", "v1"),
            ("source_cluster", "east"),
            ("destination_workload", "reviews-v3"),
            ("destination_workload_namespace", "reviews-ns"),
            ("destination_principal", "unknown"),
            ("destination_app", "unknown"),
            ("destination_version", "unknown"),
            (
                "destination_service",
                "reviews.reviews-ns.svc.cluster.local",
            ),
            ("destination_canonical_service", "reviews"),
            ("destination_canonical_revision", "v3"),
            ("destination_service_name", "reviews"),
            ("destination_service_namespace", "reviews-ns"),
            ("destination_cluster", "west"),
            ("request_protocol", "http"),
            ("response_code", "200"),
            ("grpc_response_status", ""),
            ("response_flags", "-"),
            ("connection_security_policy", "unknown"),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_sidecar_reports_principals_and_mutual_tls_on_every_version() {
    for version in versions().unwrap() {
        a_server_sidecar_reports_principals_and_mutual_tls(version).await;
    }
}

async fn a_server_sidecar_reports_principals_and_mutual_tls(version: EnvoyVersion) {
    let upstream = Upstream::start("shop").await.unwrap();
    let certificates = Certificates::new().unwrap();
    let server = certificates
        .issue(&["spiffe://td/ns/shop-ns/sa/shop", "localhost"])
        .unwrap();
    let client = certificates
        .issue(&["spiffe://td/ns/web-ns/sa/web"])
        .unwrap();
    let envoy = envoy_with_labels(&[])
        .version(version)
        .merge(shop_node())
        .listener(
            Listener::new("in")
                .filter(telemetry(&json!({})))
                .tls(certificates.mutual_tls(&server))
                .merge(json!({"traffic_direction": "INBOUND"}))
                .route(Route::to("app")),
        )
        .cluster(Cluster::new("app").endpoint(upstream.address()))
        .start()
        .await
        .unwrap();
    let tls = certificates.client_tls(Some(&client)).unwrap();
    let client = envoy.client("in").tls(tls, "localhost");
    for _ in 0..3 {
        client
            .send(Request::get("/").authority("whatever"))
            .await
            .unwrap();
    }
    let sample = only(&envoy, "meshpack_requests_total").await;
    assert_eq!(sample.value, 3.0);
    for (label, value) in [
        ("reporter", "destination"),
        ("source_principal", "spiffe://td/ns/web-ns/sa/web"),
        ("destination_principal", "spiffe://td/ns/shop-ns/sa/shop"),
        ("connection_security_policy", "mutual_tls"),
        ("source_workload", "unknown"),
        ("source_canonical_revision", "latest"),
        ("destination_workload", "shop-v1"),
        ("destination_service", "shop-v1"),
    ] {
        assert_eq!(sample.label(label), value, "{label}");
    }
}

async fn start_tenants(
    version: EnvoyVersion,
    config: serde_json::Value,
    workers: u32,
) -> (Envoy, Upstream) {
    let upstream = Upstream::start("app").await.unwrap();
    let envoy = envoy_with_labels(&["tenant", "operation"])
        .version(version)
        .listener(
            Listener::new("in")
                .filter(telemetry(&config))
                .route(Route::to("app")),
        )
        .cluster(Cluster::new("app").endpoint(upstream.address()))
        .concurrency(workers)
        .start()
        .await
        .unwrap();
    (envoy, upstream)
}

fn tenants(max_series: u64) -> serde_json::Value {
    json!({
        "golden": {"enabled": false},
        "metrics": [{
            "name": "tenant_requests_total", "type": "counter",
            "labels": {"tenant": "request.headers['x-tenant']", "operation": "path_template"},
        }],
        "pathTemplates": ["/users/{id}"],
        "cardinality": {"maxSeriesPerMetric": max_series, "maxValueLength": 20},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_values_break_no_label_on_any_version() {
    for version in versions().unwrap() {
        hostile_values_break_no_label(version).await;
    }
}

async fn hostile_values_break_no_label(version: EnvoyVersion) {
    let (envoy, _upstream) = start_tenants(version, tenants(1000), 1).await;
    let client = envoy.client("in");
    let long = "a".repeat(5000);
    let values: [(&[u8], &str); 13] = [
        (b"a;.;operation=.=x;.;", "a_._operation_._x_._"),
        (b"tail;.", "tail_"),
        (b"example.com.", "example.com"),
        (b"..", "_"),
        (b".a..b", ".a..b"),
        (b"..;.;", ".._._"),
        (b"\xff\xfebytes", "__bytes"),
        (long.as_bytes(), &long[..20]),
        ("é€".as_bytes(), "é€"),
        (b"quote\"back\\slash", "quote\"back\\slash"),
        (b"a.b,c d", "a.b,c d"),
        (b"", "unknown"),
        (b"_rq_200", "_rq_200"),
    ];
    for (value, _) in values {
        let request = Request::get("/users/7").header("x-tenant", value);
        assert_eq!(client.send(request).await.unwrap().status, 200);
    }
    client.get("/other").await.unwrap();
    let samples = envoy.admin().prometheus().await.unwrap();
    let found: BTreeSet<(String, String)> = samples
        .named("tenant_requests_total")
        .map(|s| {
            assert_eq!(s.labels.len(), 2, "{:?}", s.labels);
            (
                s.label("tenant").to_owned(),
                s.label("operation").to_owned(),
            )
        })
        .collect();
    let mut expected: BTreeSet<(String, String)> = values
        .iter()
        .map(|(_, shown)| ((*shown).to_owned(), "/users/{id}".to_owned()))
        .collect();
    expected.insert(("unknown".into(), "unmatched".into()));
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_series_cap_holds_over_all_workers() {
    let (envoy, _upstream) = start_tenants(DEFAULT_VERSION, tenants(50), 4).await;
    let client = envoy.client("in").connection_per_request();
    client
        .load(2000, 32, |i| {
            Request::get("/users/1").header("x-tenant", format!("t{}", i % 400))
        })
        .await;
    let samples = envoy.admin().prometheus().await.unwrap();
    let series = samples.named("tenant_requests_total").count();
    assert!((47..=53).contains(&series), "{series} series");
    assert_eq!(samples.sum("tenant_requests_total", &[]), 2000.0);
}
