//! Where translated policies act: on the proxies on which the originals act, or it is
//! said that they do not.

use std::fs;
use std::path::Path;

use meshpack_cli::Filter;
use meshpack_cli::yaml;
use serde_json::{Value, json};

use crate::common::{Ran, documents, translate};

/// A DENY policy; `spec` says whom it selects.
fn deny(namespace: &str, name: &str, mut spec: Value, path: &str) -> Value {
    spec["action"] = json!("DENY");
    spec["rules"] = json!([{"to": [{"operation": {"paths": [path]}}]}]);
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

fn selecting(labels: Value) -> Value {
    json!({"selector": {"matchLabels": labels}})
}

/// Namespace, mode and selector of each plugin.
fn plugins(ran: &Ran) -> Vec<(String, String, Value)> {
    let of = |plugin: &Value| {
        let spec = &plugin["spec"];
        let selector = [&spec["selector"]["matchLabels"], &spec["targetRefs"]];
        (
            plugin["metadata"]["namespace"].as_str().unwrap().to_owned(),
            spec["match"][0]["mode"].as_str().unwrap().to_owned(),
            selector
                .into_iter()
                .find(|one| !one.is_null())
                .cloned()
                .unwrap_or_default(),
        )
    };
    let documents = documents(ran);
    let plugins = documents.iter().filter(|one| one["kind"] == "WasmPlugin");
    plugins.map(of).collect()
}

#[test]
fn a_gateways_policy_gets_a_plugin_that_a_gateway_loads() {
    let targets = json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "web"}]);
    let own = json!({"app": "edge"});
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "edge", "namespace": "shop"},
        "spec": {"selector": own, "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]},
    });
    for (policy, more, selector) in [
        (
            deny(
                "istio-system",
                "a",
                selecting(json!({"istio": "ingressgateway"})),
                "/admin*",
            ),
            None,
            json!({"istio": "ingressgateway"}),
        ),
        (
            deny("shop", "b", json!({"targetRefs": targets}), "/admin*"),
            None,
            targets.clone(),
        ),
        (
            deny("shop", "c", json!({"targetRef": targets[0]}), "/admin*"),
            None,
            targets.clone(),
        ),
        (
            deny("shop", "d", selecting(own.clone()), "/admin*"),
            Some(gateway),
            own.clone(),
        ),
    ] {
        let resources: Vec<Value> = [Some(policy.clone()), more].into_iter().flatten().collect();
        let ran = translate(&resources, &[]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let namespace = policy["metadata"]["namespace"].as_str().unwrap().to_owned();
        assert_eq!(plugins(&ran), [(namespace, "CLIENT".to_owned(), selector)]);
    }
}

#[test]
fn a_namespaces_policy_acts_on_its_gateways_too_or_it_is_said() {
    let policy = deny("istio-system", "everywhere", json!({}), "/private*");
    let unsaid = translate(std::slice::from_ref(&policy), &[]);
    assert_eq!(unsaid.code, 1);
    assert!(
        unsaid.err.contains("--gateway NAMESPACE/KEY=VALUE"),
        "{}",
        unsaid.err
    );

    let none = translate(std::slice::from_ref(&policy), &["--gateway", "none"]);
    assert_eq!(none.code, 0, "{}", none.err);
    let sidecars = ("istio-system".to_owned(), "SERVER".to_owned(), Value::Null);
    assert_eq!(plugins(&none), std::slice::from_ref(&sidecars));

    let option = ["--gateway", "ingress/istio=ingress,app=edge"];
    let said = translate(std::slice::from_ref(&policy), &option);
    assert_eq!(said.code, 0, "{}", said.err);
    let labels = json!({"app": "edge", "istio": "ingress"});
    let gateway = ("ingress".to_owned(), "CLIENT".to_owned(), labels);
    assert_eq!(plugins(&said), [sidecars, gateway]);

    // Another namespace's policy does not reach it.
    let elsewhere = deny("shop", "here", json!({}), "/private*");
    assert_eq!(plugins(&translate(&[elsewhere], &option)).len(), 1);
}

#[test]
fn a_gateway_without_labels_takes_no_policy_from_the_sidecars() {
    let policy = deny("shop", "b", selecting(json!({"app": "b"})), "/b*");
    for spec in [json!({"selector": {}}), json!({})] {
        let gateway = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "all", "namespace": "shop"}, "spec": spec,
        });
        let ran = translate(&[policy.clone(), gateway], &[]);
        let sidecars = ("shop".to_owned(), "SERVER".to_owned(), json!({"app": "b"}));
        assert_eq!(plugins(&ran), [sidecars]);
    }
}

#[test]
fn a_policy_at_a_waypoint_is_not_carried_over() {
    let target = json!({"targetRefs": [{"group": "", "kind": "Service", "name": "orders"}]});
    let ran = translate(&[deny("shop", "w", target, "/admin*")], &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("waypoint"), "{}", ran.err);
}

#[test]
fn no_plugin_replaces_another() {
    let long = "a".repeat(63);
    let policies: Vec<Value> = [
        json!({"app": "b"}),
        json!({"tier": "b"}),
        json!({"app": "B.c"}),
        json!({"app": "b-c"}),
        json!({"app": "b", "version": "c"}),
        json!({"app": "c", "version": "b"}),
        json!({"app": long, "v": long}),
        json!({"app": long, "v": long, "w": "x"}),
    ]
    .into_iter()
    .enumerate()
    .map(|(at, labels)| deny("shop", &format!("p{at}"), selecting(labels), "/x*"))
    .collect();
    let ran = translate(&policies, &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let documents = documents(&ran);
    let mut names: Vec<String> = documents
        .iter()
        .map(|plugin| plugin["metadata"]["name"].to_string())
        .collect();
    assert_eq!(names.len(), policies.len());
    names.sort();
    names.dedup();
    assert_eq!(names.len(), policies.len(), "{names:?}");
}

#[test]
fn what_publishes_the_peers_address_comes_with_a_policy_that_needs_it() {
    let by_address = |namespace: &str, spec: Value| {
        let mut policy = deny(namespace, "ip", spec, "/");
        policy["spec"]["rules"] = json!([{"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]}]);
        policy
    };
    let sides = |policies: &[Value]| -> Vec<(String, String)> {
        let ran = translate(policies, &["--gateway", "none"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let filters = documents(&ran);
        let filters = filters.iter().filter(|one| one["kind"] == "EnvoyFilter");
        let side = |filter: &Value| {
            let patch = &filter["spec"]["configPatches"][0];
            let typed = &patch["patch"]["value"]["typed_config"];
            assert!(
                typed.to_string().contains("meshpack.peer_address"),
                "{filter}"
            );
            let text = |node: &Value| node.as_str().unwrap().to_owned();
            (
                text(&filter["metadata"]["namespace"]),
                text(&patch["match"]["context"]),
            )
        };
        filters.map(side).collect()
    };
    let here = |namespace: &str, side: &str| (namespace.to_owned(), side.to_owned());
    let orders = by_address("shop", selecting(json!({"app": "orders"})));
    let edge = by_address("shop", selecting(json!({"istio": "ingressgateway"})));
    let root = by_address("istio-system", json!({}));
    assert_eq!(
        sides(&[deny("shop", "x", selecting(json!({"app": "a"})), "/")]),
        []
    );
    assert_eq!(
        sides(std::slice::from_ref(&orders)),
        [here("shop", "SIDECAR_INBOUND")]
    );
    assert_eq!(
        sides(std::slice::from_ref(&edge)),
        [here("shop", "GATEWAY")]
    );
    // Twice on one proxy would be once too often.
    assert_eq!(
        sides(&[orders, root]),
        [here("istio-system", "SIDECAR_INBOUND")]
    );
}

/// The policies of each inbound listener of a bootstrap.
fn listeners(ran: &Ran) -> Vec<(String, Vec<String>)> {
    let documents = documents(ran);
    let listeners = documents[0]["static_resources"]["listeners"]
        .as_array()
        .unwrap();
    let of = |listener: &Value| {
        let filters = &listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
        let filters = filters.as_array().unwrap();
        let authz = filters
            .iter()
            .find(|filter| filter["name"] == "authz_policy")
            .unwrap();
        let text = authz["typed_config"]["config"]["configuration"]["value"]
            .as_str()
            .unwrap();
        let config: Value = serde_json::from_str(text).unwrap();
        let policies = config["policies"].as_array().unwrap();
        let name = |policy: &Value| policy["metadata"]["name"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = policies.iter().map(name).collect();
        names.sort();
        (listener["name"].as_str().unwrap().to_owned(), names)
    };
    listeners.iter().map(of).collect()
}

#[test]
fn a_listener_has_every_policy_that_acts_on_its_workload() {
    let policies = [
        deny("shop", "b", selecting(json!({"app": "b"})), "/b*"),
        deny("shop", "ns", json!({}), "/admin*"),
        deny("istio-system", "root", json!({}), "/private*"),
        deny(
            "shop",
            "b-v1",
            selecting(json!({"version": "v1", "app": "b"})),
            "/w*",
        ),
        deny(
            "other",
            "b-elsewhere",
            selecting(json!({"app": "b"})),
            "/o*",
        ),
    ];
    let ran = translate(&policies, &["--to", "envoy"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let listeners = listeners(&ran);
    let policies: Vec<String> = listeners.iter().map(|(_, names)| names.join(" ")).collect();
    assert_eq!(
        policies,
        [
            "b ns root",
            "ns root",
            "root",
            "b b-v1 ns root",
            "b-elsewhere root"
        ]
    );
    let mut names: Vec<&String> = listeners.iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), listeners.len(), "{listeners:?}");
}

#[test]
fn a_listener_that_may_lack_a_policy_is_said_to() {
    let policies = [
        deny("shop", "b", selecting(json!({"app": "b"})), "/b*"),
        deny("shop", "gold", selecting(json!({"tier": "gold"})), "/g*"),
    ];
    let ran = translate(&policies, &["--to", "envoy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("shop (tier=gold)"), "{}", ran.err);
    // Nothing can be both.
    let apart = [
        deny("shop", "b", selecting(json!({"app": "b"})), "/b*"),
        deny("shop", "c", selecting(json!({"app": "c"})), "/c*"),
    ];
    assert_eq!(translate(&apart, &["--to", "envoy"]).code, 0);
}

#[test]
fn a_policy_about_ports_is_lost_to_a_listener_with_another_port() {
    let mut policy = deny("shop", "b", selecting(json!({"app": "b"})), "/b*");
    for (field, value) in [("ports", json!(["8080"])), ("notPorts", json!(["9090"]))] {
        policy["spec"]["rules"] = json!([{"to": [{"operation": {field: value}}]}]);
        // A filter sees requests alone, and nobody says that the port has requests.
        let unsaid = translate(std::slice::from_ref(&policy), &[]);
        assert_eq!(unsaid.code, 1);
        assert!(unsaid.err.contains("--http-port"), "{}", unsaid.err);
        let port = value[0].as_str().unwrap();
        let said = translate(std::slice::from_ref(&policy), &["--http-port", port]);
        assert_eq!(said.code, 0, "{}", said.err);
        let ran = translate(std::slice::from_ref(&policy), &["--to", "envoy"]);
        assert_eq!(ran.code, 1, "{field}");
        assert!(
            ran.err.contains("port that a workload listens on"),
            "{}",
            ran.err
        );
    }
}

/// The failure policy stands in the filters' table of the command; manifests,
/// configurations and translations say the same.
#[test]
fn a_trap_means_the_same_wherever_it_is_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seen = 0;
    for folder in ["istio-manifests", "envoy-configs"] {
        let mut files = Vec::new();
        collect(&root.join(folder), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for document in yaml::parse(&text).unwrap_or_default() {
                let value = meshpack_cli::json::value(document.root().node());
                seen += held(&value, &file.display().to_string());
            }
        }
    }
    assert!(seen >= 12, "only {seen} found");
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            files.push(path);
        }
    }
}

/// How many failure policies stand below, each held against the table.
fn held(value: &Value, file: &str) -> usize {
    let mut count = 0;
    if let Some(map) = value.as_object() {
        let module = |node: &Value| node.as_str().and_then(Filter::of_name);
        let filter = module(&map.get("url").cloned().unwrap_or_default())
            .or_else(|| module(&value["vm_config"]["code"]["local"]["filename"]))
            .or_else(|| module(&value["wasm"]["url"]));
        let policy = map
            .get("failStrategy")
            .or_else(|| map.get("failure_policy"));
        let inner = &value["wasm"]["failStrategy"];
        let policy = policy.or((!inner.is_null()).then_some(inner));
        if let (Some(filter), Some(policy)) = (filter, policy) {
            // Without its guard the pack only helps.
            let guards = filter != Filter::Meshpack || value.to_string().contains("policies");
            let filter = if guards { filter } else { Filter::Telemetry };
            assert_eq!(policy, filter.failure_policy().name(), "{file}");
            count += 1;
        }
        let skip_inner = count > 0;
        let children = map
            .iter()
            .filter(|(key, _)| !(skip_inner && *key == "wasm"));
        count += children.map(|(_, child)| held(child, file)).sum::<usize>();
    }
    if let Some(items) = value.as_array() {
        count += items.iter().map(|child| held(child, file)).sum::<usize>();
    }
    count
}

/// Which trust domain a policy means is the mesh's business.
#[test]
fn a_principal_of_the_mesh_needs_its_trust_domain() {
    let of = |principal: &str, field: &str| {
        let mut policy = deny("shop", "p", selecting(json!({"app": "b"})), "/b*");
        policy["spec"]["rules"] = match field {
            "principals" => json!([{"from": [{"source": {field: [principal]}}]}]),
            key => json!([{"when": [{"key": key, "notValues": [principal]}]}]),
        };
        policy
    };
    for field in ["principals", "source.principal"] {
        let local = of("cluster.local/ns/web/sa/bad", field);
        for target in ["wasmplugin", "envoy"] {
            let unsaid = translate(std::slice::from_ref(&local), &["--to", target]);
            assert_eq!(unsaid.code, 1, "{field} to {target}");
            assert!(unsaid.err.contains("--trust-domain"), "{}", unsaid.err);
            let words = ["--to", target, "--trust-domain", "mesh.example"];
            let said = translate(std::slice::from_ref(&local), &words);
            assert_eq!(said.code, 0, "{}", said.err);
            let domain = said.out.lines().find(|line| line.contains("trustDomain"));
            assert!(domain.unwrap().contains("mesh.example"), "{field}");
        }
        // Another one is meant as it is written.
        let named = of("mesh.example/ns/web/sa/bad", field);
        assert_eq!(translate(std::slice::from_ref(&named), &[]).code, 0);
    }
}
