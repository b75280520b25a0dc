//! The sdk's example filter in a stock Envoy.

use std::time::Duration;

use meshpack_harness::{
    Client, Envoy, EnvoyBuilder, Listener, RawClient, Request, Route, Swap, Upstream, WasmFilter,
    versions, wasm_module,
};
use serde_json::json;

fn tag_tenant(header: &str) -> WasmFilter {
    let module = wasm_module("examples/tag_tenant").unwrap();
    WasmFilter::new("tag_tenant", module).config(&json!({ "header": header }))
}

fn proxy(filter: WasmFilter, upstream: &Upstream) -> EnvoyBuilder {
    Envoy::builder()
        .listener(
            Listener::new("in")
                .filter(filter)
                .merge_manager(json!({
                    "max_request_headers_kb": 96,
                    "common_http_protocol_options": {"max_headers_count": 500},
                }))
                .route(Route::to("app")),
        )
        .cluster(meshpack_harness::Cluster::new("app").endpoint(upstream.address()))
}

async fn tenant_of(client: &Client, tenant: &str) -> Option<String> {
    let answer = client
        .send(Request::get("/").header("x-org", tenant))
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    answer.echo().unwrap().header("x-tenant").map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_filter_tags_refuses_and_counts_on_every_version() {
    let upstream = Upstream::start("app").await.unwrap();
    for version in versions().unwrap() {
        let envoy = proxy(tag_tenant("X-Org"), &upstream)
            .version(version)
            .start()
            .await
            .unwrap();
        let client = envoy.client("in");
        assert_eq!(
            tenant_of(&client, "acme").await.as_deref(),
            Some("acme"),
            "{version}"
        );
        let refused = client.get("/").await.unwrap();
        assert_eq!(
            (refused.status, refused.text()),
            (400, "which tenant?".into()),
            "{version}"
        );
        envoy
            .wait_for_stat(
                "wasmcustom.tag_tenant_requests_total",
                Duration::from_secs(60),
                |n| n == 2,
            )
            .await
            .unwrap();
        assert!(
            envoy.log_contains("tag_tenant 0.1.0 ("),
            "the build stamp is in the log"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protobuf_struct_configures_like_json() {
    let upstream = Upstream::start("app").await.unwrap();
    let filter = tag_tenant("ignored").config_struct(&json!({"header": "x-org"}));
    let envoy = proxy(filter, &upstream).start().await.unwrap();
    assert_eq!(
        tenant_of(&envoy.client("in"), "acme").await.as_deref(),
        Some("acme")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_stops_the_start_and_names_the_path() {
    let upstream = Upstream::start("app").await.unwrap();
    let filter = tag_tenant("x").config(&json!({"header": 7, "colour": "red"}));
    let refused = proxy(filter, &upstream).start().await.err().unwrap();
    for line in [
        "tag_tenant: config: header: is a number, must be a string",
        "tag_tenant: config: colour: unknown key; known keys here: header",
    ] {
        assert!(refused.log().contains(line), "{}", refused.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_over_ecds_leaves_the_old_one_serving() {
    let upstream = Upstream::start("app").await.unwrap();
    let envoy = Envoy::builder()
        .listener(
            Listener::new("in")
                .swappable_filter("tag", tag_tenant("x-org"))
                .route(Route::to("app")),
        )
        .cluster(meshpack_harness::Cluster::new("app").endpoint(upstream.address()))
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    assert_eq!(tenant_of(&client, "one").await.as_deref(), Some("one"));
    let bad = tag_tenant("x").config(&json!({"header": ""}));
    assert_eq!(
        envoy.swap_filter_config("tag", bad).await.unwrap(),
        Swap::Rejected
    );
    assert_eq!(tenant_of(&client, "two").await.as_deref(), Some("two"));
    let other = tag_tenant("x-other");
    assert_eq!(
        envoy.swap_filter_config("tag", other).await.unwrap(),
        Swap::Accepted
    );
    let answer = client
        .send(Request::get("/").header("x-other", "three"))
        .await
        .unwrap();
    assert_eq!(answer.echo().unwrap().header("x-tenant"), Some("three"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_a_client_sends_traps_the_module() {
    let upstream = Upstream::start("app").await.unwrap();
    let envoy = proxy(tag_tenant("x-org"), &upstream).start().await.unwrap();
    let client = envoy.client("in");

    let mut bytes = b"GET / HTTP/1.1\r\nhost: a\r\nx-org: \xff\xfe\x80caf\xc3\xa9\r\n\r\n".to_vec();
    let mut raw = RawClient::connect(envoy.address("in")).await.unwrap();
    raw.send(&bytes).await.unwrap();
    let answer = raw
        .read_until(b"\r\n\r\n", Duration::from_secs(5))
        .await
        .unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    let tenant = upstream
        .last()
        .unwrap()
        .header("x-tenant")
        .unwrap()
        .to_vec();
    assert_eq!(tenant, b"\xff\xfe\x80caf\xc3\xa9");

    let mut many = Request::get("/").header("x-org", "many");
    for index in 0..300 {
        many = many.header(format!("x-extra-{index}"), "v");
    }
    assert_eq!(client.send(many).await.unwrap().status, 200);
    let large = "a".repeat(60 * 1024);
    let large = Request::get("/")
        .header("x-org", "large")
        .header("x-large", large.as_str());
    assert_eq!(client.send(large).await.unwrap().status, 200);

    for cut in [5, 20, bytes.len() - 2, bytes.len()] {
        bytes.truncate(cut.max(1));
        let mut raw = RawClient::connect(envoy.address("in")).await.unwrap();
        raw.send(&bytes).await.unwrap();
        raw.abort().unwrap();
    }
    assert_eq!(tenant_of(&client, "after").await.as_deref(), Some("after"));
    let stats = envoy.admin().stats().await.unwrap();
    let reloads: u64 = stats
        .iter()
        .filter(|(name, _)| name.contains("vm_reload"))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(reloads, 0);
}
