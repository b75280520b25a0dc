//! What a user copies works: the page, the Envoy configuration, the manifests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshpack_cli::{Filter, json, yaml};
use meshpack_e2e::canary::{by, flagd, ids};
use meshpack_e2e::pack::{PARTS, Services, composed, proxy};
use meshpack_e2e::shipped::{configurations, read};
use meshpack_harness::config::literal;
use meshpack_harness::{Behavior, Envoy, Request, Samples, Upstream};
use meshpack_sdk::config::{Node, read_node};
use meshpack_telemetry::config::label_names;
use serde_json::Value;

use crate::telemetry::collector;

/// Every problem that the parts' own parsers have with it.
fn problems(config: &Value) -> Vec<String> {
    let node = Node::from_plugin_configuration(config.to_string().as_bytes()).unwrap();
    let problems = Filter::Meshpack.problems(&node);
    problems.iter().map(ToString::to_string).collect()
}

/// Labels of every part that a configuration has.
fn labels(config: &Value) -> BTreeSet<String> {
    let mut labels = vec!["module".to_owned()];
    let add = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for (part, config) in config.as_object().unwrap() {
        let of_part: Vec<String> = match part.as_str() {
            "authz" => add(&["decision", "authz_policy"]),
            "canary" => add(&["split", "arm", "reason"]),
            "retry" => add(&["budget"]),
            _ => {
                let node = serde_json::from_value(config.clone()).unwrap();
                let config = read_node(&node, |value| meshpack_telemetry::config::read(&value));
                label_names(&config.unwrap())
            }
        };
        labels.extend(of_part);
    }
    labels.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_page_run() {
    let blocks = configurations("filters/pack/README.md");
    assert_eq!(blocks.len(), 2);
    let all: Vec<&str> = PARTS.iter().map(|(key, _)| *key).collect();
    let keys: Vec<&String> = blocks[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, all, "the first example has every part");
    let services = Services::start().await.unwrap();
    for block in &blocks {
        assert_eq!(problems(block), Vec::<String>::new());
        let envoy = proxy(composed(block).unwrap(), &services)
            .start()
            .await
            .unwrap();
        let client = envoy.client("in").authority("payments");
        let answer = client.send(Request::get("/users/7")).await.unwrap();
        assert_eq!(answer.status, 200);
        let denied = client.send(Request::get("/admin")).await.unwrap();
        let expected = if block.get("authz").is_some() {
            404
        } else {
            200
        };
        assert_eq!(denied.status, expected);
    }
}

#[test]
fn the_page_names_every_part_and_links_to_its_page() {
    let page = read("filters/pack/README.md");
    for (key, module) in PARTS {
        let folder = module.replace('_', "-");
        let link = format!("| `{key}` | [`{module}`](../{folder}/README.md)");
        assert!(page.contains(&link), "{link}");
        assert!(!read(&format!("filters/{folder}/README.md")).is_empty());
    }
}

/// Until a sum of a metric is what it should be.
async fn counted(envoy: &Envoy, metric: &str, labels: &[(&str, &str)], expected: f64) -> Samples {
    let limit = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let samples = envoy.admin().prometheus().await.unwrap();
        let sum = samples.sum(metric, labels);
        if sum == expected {
            return samples;
        }
        assert!(
            tokio::time::Instant::now() < limit,
            "{metric}{labels:?} is {sum} instead of {expected}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn shipped() -> Value {
    literal::parse(&read("envoy-configs/meshpack.yaml")).unwrap()
}

/// The pack's configuration in a bootstrap.
fn shipped_config(bootstrap: &Value) -> Value {
    let manager = &bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let filters = manager["typed_config"]["http_filters"].as_array().unwrap();
    let pack = filters.iter().find(|filter| filter["name"] == "meshpack");
    let config = &pack.unwrap()["typed_config"]["config"]["configuration"]["value"];
    serde_json::from_str(config.as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_envoy_configuration_guards_steers_limits_and_measures() {
    const USERS: usize = 200;
    const FAILING: usize = 100;
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    let collector = collector::start().await;
    let envoy = Envoy::from_bootstrap(&read("envoy-configs/meshpack.yaml"))
        .unwrap()
        .edit(|bootstrap| {
            for (name, upstream) in [
                ("payments-v1", &v1),
                ("payments-v2", &v2),
                ("otel-collector", &collector),
            ] {
                let address = [upstream.address()];
                assert!(literal::set_endpoints(bootstrap, name, &address));
            }
        })
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");

    // Steered: as every other proxy would, and traced.
    for id in ids(USERS) {
        let answer = client.send(by(&id, "payments")).await.unwrap();
        let expected = flagd("payments-2026-11", &id, [95, 5]);
        assert_eq!(answer.upstream(), Some(expected), "{id}");
    }
    assert!(v1.last().unwrap().header("traceparent").is_some());
    let forced = by("user-1", "payments").header("x-canary", "always");
    assert_eq!(client.send(forced).await.unwrap().upstream(), Some("v2"));

    // Guarded: also behind what a path can be hidden in.
    for path in ["/admin", "/admin/keys", "//admin", "/x/../admin"] {
        let denied = client.send(Request::get(path).authority("payments")).await;
        assert_eq!(denied.unwrap().status, 404, "{path}");
    }

    // Limited: everything fails, a fifth of the requests is retried.
    v1.set(Behavior::status(503));
    let before = v1.requests();
    let stable = || Request::post("/users/7", "x").authority("payments");
    let outcomes = client
        .load(FAILING, 1, move |_| stable().header("x-canary", "never"))
        .await;
    assert_eq!(outcomes.with_status(503), FAILING);
    let retries = v1.requests() - before - FAILING as u64;
    // A fifth of what came within ten seconds.
    let allowed = (FAILING + USERS) as u64 / 5;
    assert!((18..=allowed + 4).contains(&retries), "{retries}");

    // Measured, each with its own labels and no other's.
    let all = (USERS + 1 + 4 + FAILING) as f64;
    let samples = counted(&envoy, "meshpack_requests_total", &[], all).await;
    let failed = [("response_code", "503"), ("destination_workload", "edge")];
    assert_eq!(
        samples.sum("meshpack_requests_total", &failed),
        FAILING as f64
    );
    let denied = [("decision", "deny"), ("authz_policy", "shop/no-admin")];
    counted(&envoy, "meshpack_authz_requests_total", &denied, 4.0).await;
    let forced = [("split", "payments"), ("arm", "v2"), ("reason", "force")];
    counted(&envoy, "meshpack_canary_requests_total", &forced, 1.0).await;
    let budget = [("budget", "payments")];
    let sent = (USERS + 1 + FAILING) as f64;
    counted(&envoy, "meshpack_retry_requests_total", &budget, sent).await;
    let posts = [("operation", "/users/{id}")];
    let samples = counted(&envoy, "checkout_requests_total", &posts, FAILING as f64).await;
    let series = samples.named("checkout_requests_total").next().unwrap();
    assert_eq!(series.labels.len(), 1, "{:?}", series.labels);

    // Logged: each failure, and a sample of the rest.
    let limit = tokio::time::Instant::now() + Duration::from_secs(60);
    let logged = || {
        let records = collector::records(&collector);
        let codes = records.iter().map(|record| {
            let mut attributes = collector::attributes(&record.attributes);
            attributes.remove("response_code")
        });
        codes.filter(|code| code.as_deref() == Some("503")).count()
    };
    while logged() < FAILING {
        assert!(tokio::time::Instant::now() < limit, "{}", logged());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn the_envoy_configuration_extracts_the_labels_of_its_metrics() {
    let bootstrap = shipped();
    let config = shipped_config(&bootstrap);
    assert_eq!(problems(&config), Vec::<String>::new());
    let tags = bootstrap["stats_config"]["stats_tags"].as_array().unwrap();
    let named: BTreeSet<String> = tags
        .iter()
        .map(|tag| {
            let name = tag["tag_name"].as_str().unwrap().to_owned();
            assert_eq!(tag["regex"], format!(r"({name}=\.=(.*?);\.;)"));
            name
        })
        .collect();
    assert_eq!(named, labels(&config));
}

fn manifests(mesh: &str) -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(mesh);
    let mut files: Vec<PathBuf> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let documents = files.into_iter().map(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        let document = yaml::parse(&text).unwrap()[0].root().node().clone();
        (path, json::value(&document))
    });
    documents.collect()
}

#[test]
fn the_manifests_agree_with_each_other() {
    let manifests = manifests("istio-manifests/meshpack");
    let spec = |name: &str, kind: &str| -> Value {
        let of_name = |(path, _): &&(PathBuf, Value)| path.file_stem().unwrap() == name;
        let (_, document) = manifests.iter().find(of_name).unwrap();
        assert_eq!(document["kind"], kind, "{name}");
        document["spec"].clone()
    };
    let tags = spec("stat-tags", "IstioOperator");
    let tags = &tags["meshConfig"]["defaultConfig"]["extraStatTags"];
    let tags: BTreeSet<String> = serde_json::from_value(tags.clone()).unwrap();
    let mut all = BTreeSet::new();
    for (place, parts, mode) in [
        (
            "gateway",
            &["authz", "canary", "retry", "telemetry"][..],
            "CLIENT",
        ),
        ("inbound", &["authz", "retry", "telemetry"], "SERVER"),
        ("outbound", &["canary", "retry", "telemetry"], "CLIENT"),
    ] {
        let plugin = spec(&format!("wasmplugin-{place}"), "WasmPlugin");
        let extension = spec(&format!("trafficextension-{place}"), "TrafficExtension");
        let config = &plugin["pluginConfig"];
        assert_eq!(problems(config), Vec::<String>::new(), "{place}");
        assert_eq!(&extension["wasm"]["pluginConfig"], config, "{place}: twins");
        for same in ["url", "failStrategy", "imagePullPolicy"] {
            assert_eq!(extension["wasm"][same], plugin[same], "{place}: {same}");
        }
        for same in ["phase", "match", "selector"] {
            assert_eq!(extension[same], plugin[same], "{place}: {same}");
        }
        let keys: Vec<&String> = config.as_object().unwrap().keys().collect();
        assert_eq!(keys, parts, "{place}");
        assert_eq!(plugin["match"][0]["mode"], mode, "{place}");
        // What guards is never skipped.
        let guards = config.get("authz").is_some();
        let strategy = if guards { "FAIL_RELOAD" } else { "FAIL_OPEN" };
        assert_eq!(plugin["failStrategy"], strategy, "{place}");
        let phase = plugin.get("phase").and_then(Value::as_str);
        assert_eq!(phase, guards.then_some("AUTHZ"), "{place}");
        assert_eq!(config["retry"]["stopAmplification"], true, "{place}");
        all.extend(labels(config));

        let Some(split) = config.pointer("/canary/splits/0") else {
            continue;
        };
        let routes = spec("virtualservice", "VirtualService");
        let steering = &routes["http"][0]["match"][0]["headers"];
        assert_eq!(
            steering["x-meshpack-subset"]["exact"],
            split["arms"][1]["value"]
        );
        let attempts = &config["retry"]["budgets"][0]["maxRetries"];
        let subsets = &spec("destinationrule", "DestinationRule")["subsets"];
        for (route, arm) in [(0, 1), (1, 0)] {
            let route = &routes["http"][route];
            let name = &split["arms"][arm]["value"];
            assert_eq!(&route["route"][0]["destination"]["subset"], name);
            assert_eq!(&subsets[arm]["name"], name);
            assert_eq!(&route["retries"]["attempts"], attempts);
            assert_eq!(
                route["headers"]["request"]["remove"][0],
                "x-meshpack-subset"
            );
        }
    }
    assert_eq!(tags, all);
}
