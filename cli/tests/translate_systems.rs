//! What other systems say: Consul's precedence, what their tools print, what is refused and
//! with which advice.

use std::fs;

use meshpack_authz_policy::config::Config;
use meshpack_authz_policy::policy::described::Described;
use meshpack_authz_policy::policy::engine::Verdict;
use meshpack_authz_policy::policy::request::Attribute;
use meshpack_cli::yaml;
use meshpack_sdk::HeaderMap;
use meshpack_sdk::config::Node;
use serde_json::{Value, json};

use crate::common::{Ran, meshpack_in};

fn translate_file(name: &str, text: &str, options: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    let args = [&["translate"], options, &[name]].concat();
    meshpack_in(folder.path(), &args)
}

fn translate(resources: &[Value], options: &[&str]) -> Ran {
    let text: Vec<String> = resources.iter().map(Value::to_string).collect();
    translate_file("in.yaml", &text.join("\n---\n"), options)
}

fn documents(ran: &Ran) -> Vec<Value> {
    let documents = yaml::parse(&ran.out).unwrap();
    documents
        .iter()
        .map(|document| meshpack_cli::json::value(document.root().node()))
        .collect()
}

fn intentions(name: &str, destination: &str, sources: Value) -> Value {
    json!({
        "apiVersion": "consul.hashicorp.com/v1alpha1", "kind": "ServiceIntentions",
        "metadata": {"name": name}, "spec": {"destination": {"name": destination, "namespace": "default"}, "sources": sources},
    })
}

/// Whether a caller reaches a service of the namespace `default`, by the plugins that the
/// service's sidecar loads.
fn reaches(resources: &[Value], caller: &str, service: &str) -> bool {
    let selects = |labels: &Value| labels.is_null() || labels["app"] == service;
    let mut marks = Vec::new();
    for filter in resources.iter().filter(|one| one["kind"] == "EnvoyFilter") {
        if selects(&filter["spec"]["workloadSelector"]["labels"]) {
            let set = &filter["spec"]["configPatches"][0]["patch"]["value"]["typed_config"];
            let namespace = set["metadata"][0]["metadata_namespace"].as_str().unwrap();
            let fields = vec![("selected".to_owned(), Node::String("yes".to_owned()))];
            marks.push((namespace.to_owned(), Node::Object(fields)));
        }
    }
    let mut request = Described::default();
    request
        .header(":method", "GET")
        .header(":path", "/")
        .attribute(
            Attribute::UriSan,
            format!("spiffe://cluster.local/ns/default/sa/{caller}"),
        )
        .metadata(&Node::Object(marks));
    let raw = request.encoded_headers();
    let headers = HeaderMap::decode(&raw).unwrap();
    let plugins = resources.iter().filter(|one| one["kind"] == "WasmPlugin");
    let mut loaded = plugins.filter(|one| selects(&one["spec"]["selector"]["matchLabels"]));
    loaded.all(|plugin| {
        let node = yaml::parse(&plugin["spec"]["pluginConfig"].to_string()).unwrap();
        let policies = Config::from_node(node[0].root().node()).unwrap().compile();
        let request = policies.request(&headers, &request);
        matches!(policies.decide(&request, 0).verdict, Verdict::Allow(_))
    })
}

/// Every combination of two entries, one for every destination, against Consul's rule: the
/// destination by name before `*`, in it the source by name before `*`.
#[test]
fn intentions_for_every_destination_come_last() {
    let choices = [None, Some("allow"), Some("deny")];
    let mut tried = 0;
    for (own_named, own_any) in pairs(&choices) {
        for (all_named, all_any) in pairs(&choices) {
            let sources = |named: Option<&str>, any: Option<&str>| {
                let of = |name: &str, action: Option<&str>| {
                    action.map(|action| json!({"name": name, "action": action}))
                };
                let sources: Vec<Value> = [of("web", named), of("*", any)]
                    .into_iter()
                    .flatten()
                    .collect();
                Value::from(sources)
            };
            let entries = [
                intentions("api", "api", sources(own_named, own_any)),
                intentions("all", "*", sources(all_named, all_any)),
            ];
            for default in ["allow", "deny"] {
                let ran = translate(&entries, &["--consul-default", default]);
                assert_eq!(ran.code, 0, "{}", ran.err);
                let resources = documents(&ran);
                for (caller, service) in [
                    ("web", "api"),
                    ("guest", "api"),
                    ("web", "db"),
                    ("guest", "db"),
                ] {
                    let named =
                        |named: Option<&'static str>, any: Option<&'static str>| match caller {
                            "web" => named.or(any),
                            _ => any,
                        };
                    let everywhere = named(all_named, all_any);
                    let decided = match service {
                        "api" => named(own_named, own_any).or(everywhere),
                        _ => everywhere,
                    };
                    let allowed = decided.unwrap_or(default) == "allow";
                    assert_eq!(
                        reaches(&resources, caller, service),
                        allowed,
                        "{caller} to {service}, by default {default}: {entries:#?}\n{}",
                        ran.out
                    );
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 81 * 2 * 4);
}

fn pairs<T: Copy>(of: &[T]) -> Vec<(T, T)> {
    of.iter()
        .flat_map(|one| of.iter().map(move |other| (*one, *other)))
        .collect()
}

#[test]
fn hcl_says_what_its_json_says() {
    let hcl = "Kind = \"service-splitter\"\nName = \"desk\"\nSplits = [\n  { Weight = 75, Service = \"desk-a\" },\n  { Weight = 25, Service = \"desk-b\" },\n]\n";
    let json = json!({"Kind": "service-splitter", "Name": "desk", "Splits": [
        {"Weight": 75, "Service": "desk-a"}, {"Weight": 25, "Service": "desk-b"},
    ]});
    let options = ["--callers", "none"];
    let from_json = translate(&[json], &options);
    for name in ["desk.hcl", "desk.conf"] {
        let ran = translate_file(name, hcl, &options);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(documents(&ran), documents(&from_json));
    }
}

#[test]
fn a_resolver_gives_subsets_their_meaning() {
    let splitter = json!({"Kind": "service-splitter", "Name": "desk", "Splits": [
        {"Weight": 75, "ServiceSubset": "a"}, {"Weight": 25, "ServiceSubset": "b"},
    ]});
    let resolver = json!({"Kind": "service-resolver", "Name": "desk", "Subsets": {
        "a": {"Filter": "Service.Meta.release == one"}, "b": {"Filter": "Service.Meta.release == \"two\""},
    }});
    let options = ["--callers", "none"];
    let without = translate(std::slice::from_ref(&splitter), &options);
    assert_eq!(without.code, 1);
    assert!(without.err.contains("service-resolver"), "{}", without.err);
    let with = translate(&[splitter, resolver], &options);
    assert_eq!(with.code, 0, "{}", with.err);
    let documents = documents(&with);
    let rule = documents
        .iter()
        .find(|one| one["kind"] == "DestinationRule");
    let subsets = &rule.unwrap()["spec"]["subsets"];
    assert_eq!(
        subsets[0],
        json!({"name": "a", "labels": {"release": "one"}})
    );
    assert_eq!(
        subsets[1],
        json!({"name": "b", "labels": {"release": "two"}})
    );
}

#[test]
fn lists_and_inputs_of_other_tools_are_read() {
    let routes = json!([
        {"destination": {"host": "desk", "subset": "a"}, "weight": 3},
        {"destination": {"host": "desk", "subset": "b"}, "weight": 1},
    ]);
    let list = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualServiceList",
        "items": [{"metadata": {"name": "desk", "namespace": "library"}, "spec": {"hosts": ["desk"], "http": [{"route": routes}]}}],
    });
    let input = json!({
        "meshName": "m", "virtualRouterName": "desk", "routeName": "desk",
        "spec": {"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [
            {"virtualNode": "desk-a", "weight": 3}, {"virtualNode": "desk-b", "weight": 1},
        ]}}},
    });
    for resource in [list, input] {
        let ran = translate(&[resource], &["--callers", "none"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let config = &documents(&ran)[0]["spec"]["pluginConfig"];
        assert_eq!(config["splits"][0]["arms"][0]["weight"], 3);
    }
}

#[test]
fn what_is_refused_says_what_to_do() {
    let of = |api: &str, kind: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": "x", "namespace": "y"}, "spec": {}});
    for (resource, says) in [
        (of("flagger.app/v1beta1", "Canary"), "delete the Canary"),
        (
            of("argoproj.io/v1alpha1", "Rollout"),
            "take trafficRouting out",
        ),
        (
            of("gateway.envoyproxy.io/v1alpha1", "BackendTrafficPolicy"),
            "EnvoyExtensionPolicy",
        ),
        (
            of("access.smi-spec.io/v1alpha3", "TrafficTarget"),
            "AuthorizationPolicy",
        ),
        (
            of("consul.hashicorp.com/v1alpha1", "ServiceDefaults"),
            "-resolver and -intentions are read",
        ),
        (
            json!({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {}}),
            "aws appmesh describe-route",
        ),
    ] {
        let ran = translate(std::slice::from_ref(&resource), &[]);
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains(says), "{resource}: {}", ran.err);
    }
    let server = json!({
        "apiVersion": "policy.linkerd.io/v1beta3", "kind": "Server", "metadata": {"name": "x", "namespace": "y"},
        "spec": {"port": 80, "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}},
    });
    let ran = translate(std::slice::from_ref(&server), &[]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("in.yaml:1:") && ran.err.contains("a Server for each value"),
        "{}",
        ran.err
    );
    assert!(!ran.out.contains("WasmPlugin"), "{}", ran.out);
    let mut one = server;
    one["spec"]["podSelector"]["matchExpressions"][0]["values"] = json!(["a"]);
    let ran = translate(&[one], &[]);
    assert_eq!(
        documents(&ran)[0]["spec"]["selector"]["matchLabels"],
        json!({"app": "a"}),
        "{}",
        ran.err
    );
}

#[test]
fn what_works_on_beside_the_plugins_is_no_loss() {
    let of = |api: &str, kind: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": "desk", "namespace": "library"}, "spec": {}});
    let policy = json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": "p", "namespace": "library"},
        "spec": {"selector": {"matchLabels": {"app": "desk"}}, "action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/x"]}}]}]},
    });
    let resources = [
        policy,
        of("v1", "Service"),
        of("apps/v1", "Deployment"),
        of("security.istio.io/v1", "RequestAuthentication"),
        of("networking.istio.io/v1", "ServiceEntry"),
    ];
    let ran = translate(&resources, &["--gateway", "none"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("4 as they are"), "{}", ran.err);
    // Routes of connections are Istio's, and the gateways that plugins are for.
    let connections = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "db", "namespace": "library"},
        "spec": {"hosts": ["db"], "tcp": [{"route": [{"destination": {"host": "db"}}]}]},
    });
    let gateways = [
        resources[0].clone(),
        connections,
        of("networking.istio.io/v1", "Gateway"),
        of("gateway.networking.k8s.io/v1", "Gateway"),
    ];
    let ran = translate(&gateways, &["--gateway", "none"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("3 as they are"), "{}", ran.err);
    // What Linkerd does by an annotation, nobody does any more.
    let mut instructed = resources.clone();
    instructed[1]["metadata"]["annotations"] = json!({"retry.linkerd.io/http": "5xx"});
    let ran = translate(&instructed, &["--gateway", "none"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("an HTTPRoute of its own"), "{}", ran.err);
    // An Envoy outside of the mesh has no tokens checked for it.
    assert_eq!(translate(&resources, &["--to", "envoy"]).code, 1);
}

#[test]
fn a_split_of_some_requests_is_one_of_those_alone() {
    let split = json!({
        "apiVersion": "split.smi-spec.io/v1alpha4", "kind": "TrafficSplit", "metadata": {"name": "desk", "namespace": "library"},
        "spec": {"service": "desk", "matches": [{"kind": "HTTPRouteGroup", "name": "staff"}],
            "backends": [{"service": "desk-a", "weight": 0}, {"service": "desk-b", "weight": 1}]},
    });
    let group = json!({
        "apiVersion": "specs.smi-spec.io/v1alpha4", "kind": "HTTPRouteGroup", "metadata": {"name": "staff", "namespace": "library"},
        "spec": {"matches": [{"name": "m", "methods": ["GET"], "headers": [{"x-staff": "1"}]}]},
    });
    let ran = translate(&[split.clone(), group], &["--callers", "none"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let documents = documents(&ran);
    let matched = &documents[0]["spec"]["pluginConfig"]["splits"][0]["match"];
    assert_eq!(matched["headers"], json!({"x-staff": "1"}));
    let service = documents
        .iter()
        .find(|one| one["kind"] == "VirtualService")
        .unwrap();
    let http = service["spec"]["http"].as_array().unwrap();
    assert_eq!(
        http.last().unwrap()["route"][0]["destination"]["host"],
        "desk"
    );
    assert_eq!(translate(&[split], &["--callers", "none"]).code, 1);
}

#[test]
fn grpc_routes_split_as_http_routes_do() {
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"name": "desk", "namespace": "library"},
        "spec": {"parentRefs": [{"name": "door"}], "hostnames": ["desk.example.org"], "rules": [
            {"matches": [{"method": {"service": "desk.v1.Desk", "method": "Lend"}}], "backendRefs": [
                {"name": "desk-a", "port": 80, "weight": 9}, {"name": "desk-b", "port": 80, "weight": 1},
            ]},
        ]},
    });
    let ran = translate(&[route], &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let documents = documents(&ran);
    let matched = &documents[0]["spec"]["pluginConfig"]["splits"][0]["match"];
    assert_eq!(matched["paths"], json!(["/desk.v1.Desk/Lend"]));
    let written = documents
        .iter()
        .find(|one| one["kind"] == "GRPCRoute")
        .unwrap();
    let rules = written["spec"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[1]["matches"][0]["headers"][0]["value"], "desk-b");
    assert_eq!(rules[1]["matches"][0]["method"]["method"], "Lend");
}

#[test]
fn a_hundred_equal_remarks_are_one_line_and_a_page_names_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let policies: Vec<String> = (0..100)
        .map(|number| {
            json!({
                "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
                "metadata": {"name": format!("p{number}"), "namespace": "library"},
                "spec": {"selector": {"matchLabels": {"app": format!("a{number}")}}, "action": "CUSTOM", "provider": {"name": "opa"}, "rules": [{}]},
            })
            .to_string()
        })
        .collect();
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "desk"}});
    let telemetry = json!({
        "apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry",
        "metadata": {"name": "tags", "namespace": "library"}, "spec": {},
    });
    let all = [policies, vec![service.to_string(), telemetry.to_string()]].concat();
    fs::write(folder.path().join("in.yaml"), all.join("\n---\n")).unwrap();
    let ran = meshpack_in(
        folder.path(),
        &["translate", "--report", "page.md", "in.yaml"],
    );
    assert_eq!(ran.code, 1);
    let lines: Vec<&str> = ran.err.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.err);
    assert!(
        lines[0].contains("p1: spec") || lines[0].contains("library/p0"),
        "{}",
        lines[0]
    );
    assert!(lines[0].ends_with("and 97 more)"), "{}", lines[0]);
    assert!(
        lines[1].contains("1 resource into 1, 1 as they are, 100 not carried over"),
        "{}",
        lines[1]
    );
    let page = fs::read_to_string(folder.path().join("page.md")).unwrap();
    assert_eq!(page.matches("external authorizer").count(), 1);
    for number in 0..100 {
        assert!(
            page.contains(&format!("AuthorizationPolicy library/p{number} ")),
            "{number}"
        );
    }
    assert!(
        page.contains("| Telemetry library/tags | WasmPlugin library/telemetry-tags |"),
        "{page}"
    );
    assert!(page.contains("- Service desk\n"), "{page}");
}
