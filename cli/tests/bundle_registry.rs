//! `meshpack bundle` with registries: what is pushed is pulled back, is laid out as
//! istio-agent wants it, and runs in a stock Envoy that fetches the module itself.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Ran, meshpack_in};
use crate::registry::{OwnRegistry, Registry};
use meshpack_harness::config::HttpFilter;
use meshpack_harness::{Behavior, Client, Cluster, Envoy, Listener, Request, Route, Upstream};
use serde_json::{Value, json};

const MODULE: &str = "dist/examples/tag_tenant.wasm";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

async fn meshpack(args: Vec<String>) -> Ran {
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        meshpack_in(&workspace(), &args)
    })
    .await
    .unwrap()
}

/// Pushes the example module and returns the report on it.
async fn push(registry: SocketAddr) -> Value {
    let prefix = format!("{registry}/shop");
    let args = [
        "--json", "bundle", MODULE, "--push", &prefix, "--tag", "1.2.3",
    ];
    let ran = meshpack(args.map(str::to_owned).to_vec()).await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    report[0].clone()
}

async fn get(registry: SocketAddr, path: &str) -> meshpack_harness::Response {
    let request = Request::get(format!("/v2/shop/tag_tenant/{path}")).header("accept", MANIFEST);
    let client = Client::http1(registry).authority(registry.to_string());
    let answer = client.send(request).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Takes the module out of an image, as istio-agent does: the image's only layer is a
/// gzipped tar, the file in it is called plugin.wasm.
async fn pull(registry: SocketAddr, reference: &str) -> Vec<u8> {
    let manifest = get(registry, &format!("manifests/{reference}")).await;
    assert_eq!(manifest.header("content-type"), Some(MANIFEST));
    let manifest: Value = manifest.json().unwrap();
    let [layer] = manifest["layers"].as_array().unwrap().as_slice() else {
        panic!("one layer: {manifest}")
    };
    assert_eq!(
        layer["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    let digest = layer["digest"].as_str().unwrap();
    let blob = get(registry, &format!("blobs/{digest}")).await.body;
    assert_eq!(digest, format!("sha256:{}", sha256(&blob)));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&blob[..]));
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(entry.path().unwrap().file_name().unwrap(), "plugin.wasm");
    let mut wasm = Vec::new();
    entry.read_to_end(&mut wasm).unwrap();
    wasm
}

async fn pushed_and_pulled(registry: SocketAddr) {
    let report = push(registry).await;
    let digest = report["digest"].as_str().unwrap();
    assert_eq!(
        report["url"],
        format!("oci://{registry}/shop/tag_tenant@{digest}")
    );
    let module = fs::read(workspace().join(MODULE)).unwrap();
    for reference in ["1.2.3", digest] {
        let manifest = get(registry, &format!("manifests/{reference}")).await;
        assert_eq!(digest, format!("sha256:{}", sha256(&manifest.body)));
        assert_eq!(manifest.header("docker-content-digest"), Some(digest));
        assert_eq!(pull(registry, reference).await, module);
    }
    let manifest: Value = get(registry, "manifests/1.2.3").await.json().unwrap();
    assert_eq!(
        manifest["annotations"]["org.opencontainers.image.version"],
        "1.2.3"
    );
    let config = manifest["config"]["digest"].as_str().unwrap();
    let config: Value = get(registry, &format!("blobs/{config}"))
        .await
        .json()
        .unwrap();
    assert_eq!(
        config["config"]["Labels"]["org.opencontainers.image.title"],
        "tag_tenant"
    );
    // A second push changes nothing.
    assert_eq!(push(registry).await["digest"], digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_pulled_back_from_docker_registry() {
    let registry = Registry::start().await;
    pushed_and_pulled(registry.address()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_pulled_back_from_a_minimal_registry() {
    let registry = OwnRegistry::start(None).await;
    pushed_and_pulled(registry.address()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_and_a_registry_hold_the_same_image() {
    let registry = OwnRegistry::start(None).await;
    let pushed = push(registry.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let args = [
        "--json", "bundle", MODULE, "--output", out, "--tag", "1.2.3",
    ];
    let ran = meshpack(args.map(str::to_owned).to_vec()).await;
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report[0]["digest"], pushed["digest"]);
    let layout = folder.path().join("tag_tenant");
    let index: Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["digest"], pushed["digest"]);
    for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(name, sha256(&fs::read(&path).unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_taken_from_the_environment() {
    // user:secret
    let registry = OwnRegistry::start(Some("dXNlcjpzZWNyZXQ=")).await;
    let prefix = format!("{}/shop", registry.address());
    let run = |password: Option<&'static str>| {
        let prefix = prefix.clone();
        tokio::task::spawn_blocking(move || {
            let home = tempfile::tempdir().unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_meshpack"));
            command
                .args(["bundle", MODULE, "--push", &prefix])
                .current_dir(workspace())
                .env("DOCKER_CONFIG", home.path());
            if let Some(password) = password {
                command
                    .env("MESHPACK_REGISTRY_USERNAME", "user")
                    .env("MESHPACK_REGISTRY_PASSWORD", password);
            }
            command.output().unwrap()
        })
    };
    let anonymous = run(None).await.unwrap();
    assert_eq!(anonymous.status.code(), Some(2));
    let said = String::from_utf8(anonymous.stderr).unwrap();
    assert!(
        said.contains("cannot push") && said.contains("MESHPACK_REGISTRY_USERNAME"),
        "{said}"
    );
    assert_eq!(run(Some("wrong")).await.unwrap().status.code(), Some(2));
    let known = run(Some("secret")).await.unwrap();
    assert_eq!(
        known.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&known.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_not_there_is_named() {
    let args = ["bundle", MODULE, "--push", "127.0.0.1:1/shop"];
    let ran = meshpack(args.map(str::to_owned).to_vec()).await;
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("cannot push 127.0.0.1:1/shop/tag_tenant:"),
        "{}",
        ran.err
    );
}

/// A stock Envoy whose filter fetches its module over HTTP.
fn fetching(files: &Upstream, app: &Upstream, sha256: &str) -> meshpack_harness::EnvoyBuilder {
    let uri = format!("http://{}/plugin.wasm", files.address());
    let filter = HttpFilter::new(
        "tag_tenant",
        json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "tag_tenant",
                "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"remote": {
                        "http_uri": {"uri": uri, "cluster": "files", "timeout": "10s"},
                        "sha256": sha256,
                    }},
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": "{\"header\": \"x-customer\"}",
                },
            },
        }),
    );
    Envoy::builder()
        .listener(Listener::new("in").filter(filter).route(Route::to("app")))
        .cluster(Cluster::new("app").endpoint(app.address()))
        .cluster(Cluster::new("files").endpoint(files.address()))
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_fetches_the_pulled_module_over_http_and_checks_its_sha256() {
    let registry = Registry::start().await;
    let report = push(registry.address()).await;
    let wasm = pull(registry.address(), "1.2.3").await;
    assert_eq!(report["sha256"], sha256(&wasm));
    let files = Upstream::start_with("files", Behavior::status(200).body(wasm.clone()))
        .await
        .unwrap();
    let app = Upstream::start("app").await.unwrap();
    let envoy = fetching(&files, &app, &sha256(&wasm))
        .start()
        .await
        .unwrap();
    let request = || Request::get("/").header("x-customer", "acme");
    let answer = envoy.client("in").send(request()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.echo().unwrap().header("x-tenant"), Some("acme"));
    assert_eq!(files.requests(), 1);

    let other = "0".repeat(64);
    let envoy = fetching(&files, &app, &other)
        .quiet()
        .start()
        .await
        .unwrap();
    let answer = envoy.client("in").send(request()).await.unwrap();
    assert_eq!(
        answer.status, 503,
        "a module with another hash must not run"
    );
}
