//! What a user copies works: the page, the Envoy configuration, the manifests.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use meshpack_authz_policy::config::Config;
use meshpack_e2e::authz::{filter, listener};
use meshpack_e2e::shipped::{configurations, read};
use meshpack_harness::config::literal;
use meshpack_harness::{Certificates, Client, Envoy, Request, Upstream};
use ring::hmac;
use serde_json::{Value, json};

fn parse(config: &Value) -> Config {
    meshpack_sdk::config::parse(config.to_string().as_bytes(), Config::read)
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_page_runs() {
    let config = configurations("filters/authz-policy/README.md").swap_remove(0);
    let envoy = Envoy::builder()
        .listener(listener("in", vec![filter(&config).into()]))
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    let ask = |path: &'static str, version: &'static str| {
        let request = Request::get(path).header("x-api-version", version);
        let client = client.clone();
        async move { client.send(request).await.unwrap() }
    };
    assert_eq!(ask("/items/7", "v2.1").await.status, 200);
    assert_eq!(ask("/items/7", "v4").await.status, 403);
    assert_eq!(ask("/items/7?debug=", "v2").await.status, 403);
    let hidden = ask("//admin%2f", "v2").await;
    assert_eq!((hidden.status, hidden.text().as_str()), (404, "not found"));
    assert_eq!(hidden.header("x-reason"), Some("hidden"));
    assert!(
        hidden
            .header("x-authz-policy")
            .unwrap()
            .contains("default/deny-admin rule[0]")
    );
}

/// A token signed with the example's key.
fn token(payload: &Value) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let header = json!({"alg": "HS256", "kid": "example"}).to_string();
    let signed = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(payload.to_string().as_bytes())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"meshpack-example-key-not-a-secret");
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", encode(signature.as_ref()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_envoy_configuration_knows_callers_and_users() {
    let upstream = Upstream::start("app").await.unwrap();
    let certificates = Certificates::new().unwrap();
    let server = certificates.issue(&["localhost"]).unwrap();
    let shown = |path: &Path| path.display().to_string();
    let text = read("envoy-configs/authz-policy.yaml")
        .replace(
            "trusted_ca: {filename: cert.pem}",
            &format!(
                "trusted_ca: {{filename: {}}}",
                shown(&certificates.authority())
            ),
        )
        .replace(
            "{filename: cert.pem}",
            &format!("{{filename: {}}}", shown(&server.certificate)),
        )
        .replace(
            "{filename: key.pem}",
            &format!("{{filename: {}}}", shown(&server.key)),
        );
    let envoy = Envoy::from_bootstrap(&text)
        .unwrap()
        .edit(|bootstrap| {
            assert!(literal::set_endpoints(
                bootstrap,
                "app",
                &[upstream.address()]
            ))
        })
        .start()
        .await
        .unwrap();

    let as_caller = |id: &str| {
        let identity = certificates.issue(&[id]).unwrap();
        let tls = certificates.client_tls(Some(&identity)).unwrap();
        Client::http1(envoy.address("mtls")).tls(tls, "localhost")
    };
    let cart = as_caller("spiffe://cluster.local/ns/shop/sa/cart");
    let other = as_caller("spiffe://cluster.local/ns/shop/sa/other");
    assert_eq!(cart.get("/orders/7").await.unwrap().status, 200);
    assert_eq!(cart.get("/orders/7/items").await.unwrap().status, 403);
    assert_eq!(other.get("/orders/7").await.unwrap().status, 403);

    let user = envoy.client("jwt");
    let ask = |path: &'static str, payload: Option<Value>| {
        let user = user.clone();
        async move {
            let mut request = Request::get(path);
            if let Some(payload) = payload {
                request = request.header("authorization", format!("Bearer {}", token(&payload)));
            }
            user.send(request).await.unwrap()
        }
    };
    let alice = json!({"iss": "https://issuer.example.com", "sub": "alice", "groups": ["admins"], "exp": 4_102_444_800_u64});
    let bob = json!({"iss": "https://issuer.example.com", "sub": "bob", "groups": ["users"], "exp": 4_102_444_800_u64});
    assert_eq!(ask("/admin", Some(alice)).await.status, 200);
    assert_eq!(ask("/admin", Some(bob.clone())).await.status, 404);
    assert_eq!(ask("/orders", Some(bob)).await.status, 200);
    assert_eq!(ask("/health", None).await.status, 200);
    let anonymous = ask("/orders", None).await;
    assert_eq!(anonymous.status, 401);
    assert_eq!(anonymous.header("www-authenticate"), Some("Bearer"));
    assert!(
        anonymous
            .header("x-authz-policy")
            .unwrap()
            .contains("shop/users rule[0]")
    );

    // Labels reach Prometheus.
    let labels = [("decision", "deny"), ("authz_policy", "shop/users")];
    let counted = async {
        loop {
            let samples = envoy.admin().prometheus().await.unwrap();
            if samples.sum("meshpack_authz_requests_total", &labels) == 1.0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, counted)
        .await
        .expect("counted with its labels");
}

fn manifest(name: &str, kind: &str) -> Value {
    let path = format!("istio-manifests/authz-policy/{name}.yaml");
    let document = literal::parse(&read(&path)).unwrap();
    assert_eq!(document["kind"], kind);
    document
}

#[test]
fn the_manifests_agree_with_each_other_and_with_the_parser() {
    let plugin = manifest("wasm-plugin", "WasmPlugin");
    let extension = manifest("traffic-extension", "TrafficExtension");
    let config = &plugin["spec"]["pluginConfig"];
    assert_eq!(&extension["spec"]["wasm"]["pluginConfig"], config, "twins");
    let config = parse(config);
    assert_eq!(config.policies.len(), 3);
    for spec in [&plugin["spec"], &extension["spec"]] {
        // Tokens are validated before this phase.
        assert_eq!(spec["phase"], "AUTHZ");
        assert_eq!(spec["match"][0]["mode"], "SERVER");
    }
    assert_eq!(plugin["spec"]["failStrategy"], "FAIL_RELOAD");
    assert_eq!(extension["spec"]["wasm"]["failStrategy"], "FAIL_RELOAD");

    let publisher = manifest("envoy-filter", "EnvoyFilter");
    let filter = &publisher["spec"]["configPatches"][0]["patch"]["value"];
    let published = &filter["typed_config"]["on_request_headers"][0]["object_key"];
    assert_eq!(published.as_str(), config.direct_remote_ip.as_deref());
    assert_eq!(
        publisher["spec"]["workloadSelector"]["labels"],
        plugin["spec"]["selector"]["matchLabels"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifests_filter_runs_in_envoy() {
    let publisher = manifest("envoy-filter", "EnvoyFilter");
    let filter_of_manifest = &publisher["spec"]["configPatches"][0]["patch"]["value"];
    let config = &manifest("wasm-plugin", "WasmPlugin")["spec"]["pluginConfig"];
    let publish = meshpack_harness::HttpFilter::new(
        filter_of_manifest["name"].as_str().unwrap(),
        filter_of_manifest["typed_config"].clone(),
    );
    let envoy = Envoy::builder()
        .listener(
            meshpack_harness::Listener::new("in")
                .filter(publish)
                .filter(filter(config))
                .route(meshpack_harness::Route::direct(200, "")),
        )
        .start()
        .await
        .unwrap();
    // The peer is 127.0.0.1, outside of the mesh's 10.0.0.0/8.
    assert_eq!(
        envoy.client("in").get("/orders/1").await.unwrap().status,
        403
    );
    assert!(envoy.log_contains("direct source address 127.0.0.1 is none of 10.0.0.0/8"));
}
