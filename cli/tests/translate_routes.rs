//! Where splits and budgets go, and what the routes do without them.
//!
//! What was wrong: plugins stood in the namespace of the route, while its callers and
//! gateways are elsewhere; the default route was the first arm, drained or not; a condition
//! that could not be said was left out, so that a route took more than before; names of one
//! service in two spellings were two services, and one name in two namespaces was one.

use serde_json::{Value, json};

use crate::common::{Ran, documents, translate};

fn of_kind(ran: &Ran, kind: &str) -> Vec<Value> {
    let mut found = documents(ran);
    found.retain(|document| document["kind"] == kind);
    found
}

fn virtual_service(namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    })
}

fn split(host: &str, weights: [i64; 2]) -> Value {
    let arm = |subset: &str, weight: i64| json!({"destination": {"host": host, "subset": subset}, "weight": weight});
    json!([arm("blue", weights[0]), arm("green", weights[1])])
}

/// Module, namespace and selector of each plugin.
fn places(ran: &Ran) -> Vec<(String, String, Value)> {
    let of = |plugin: &Value| {
        let url = plugin["spec"]["url"].as_str().unwrap();
        let module = url.rsplit('/').next().unwrap().split(':').next().unwrap();
        (
            module.to_owned(),
            plugin["metadata"]["namespace"].as_str().unwrap().to_owned(),
            plugin["spec"]["selector"]["matchLabels"].clone(),
        )
    };
    of_kind(ran, "WasmPlugin").iter().map(of).collect()
}

#[test]
fn a_split_is_where_the_calls_are_made() {
    let inner = virtual_service(
        "library",
        "loans",
        json!({"hosts": ["loans"], "http": [{"route": split("loans", [8, 2])}]}),
    );
    let unsaid = translate(std::slice::from_ref(&inner), &[]);
    assert_eq!(unsaid.code, 1);
    assert!(unsaid.err.contains("--callers"), "{}", unsaid.err);
    let canary = |namespace: &str, selector: Value| {
        ("canary_split".to_owned(), namespace.to_owned(), selector)
    };
    let none = translate(std::slice::from_ref(&inner), &["--callers", "none"]);
    assert_eq!(none.code, 0, "{}", none.err);
    assert_eq!(places(&none), [canary("library", Value::Null)]);
    let two = translate(
        std::slice::from_ref(&inner),
        &["--callers", "readers", "--callers", "library"],
    );
    assert_eq!(two.code, 0, "{}", two.err);
    assert_eq!(
        places(&two),
        [
            canary("library", Value::Null),
            canary("readers", Value::Null)
        ]
    );
    // A short name is that of the caller's own namespace.
    let hosts = |at: usize| {
        let plugins = of_kind(&two, "WasmPlugin");
        let hosts = &plugins[at]["spec"]["pluginConfig"]["splits"][0]["match"]["hosts"];
        hosts.as_array().unwrap().contains(&json!("loans"))
    };
    assert!(hosts(0) && !hosts(1));
    // Shown to its own namespace alone, it has no other callers.
    let mut own = inner.clone();
    own["spec"]["exportTo"] = json!(["."]);
    let own = translate(&[own], &[]);
    assert_eq!(own.code, 0, "{}", own.err);
    assert_eq!(places(&own), [canary("library", Value::Null)]);
}

#[test]
fn a_split_at_a_gateway_is_in_the_gateways_namespace() {
    let outer = virtual_service(
        "library",
        "desk",
        json!({"hosts": ["desk.example.org"], "gateways": ["front/door"], "http": [{"route": split("desk", [8, 2])}]}),
    );
    let unknown = translate(std::slice::from_ref(&outer), &[]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("front/door"), "{}", unknown.err);
    let labels = json!({"istio": "door"});
    let at = |namespace: &str| {
        (
            "canary_split".to_owned(),
            namespace.to_owned(),
            labels.clone(),
        )
    };
    let said = translate(
        std::slice::from_ref(&outer),
        &["--gateway", "front/istio=door"],
    );
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(places(&said), [at("front")]);
    // A Gateway selects pods of any namespace, as plugins of the root namespace do.
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "door", "namespace": "front"},
        "spec": {"selector": labels, "servers": []},
    });
    let read = translate(&[outer.clone(), gateway.clone()], &[]);
    assert_eq!(read.code, 0, "{}", read.err);
    assert_eq!(places(&read), [at("istio-system")]);
    let root = ["--root-namespace", "mesh-config"];
    assert_eq!(
        places(&translate(&[outer, gateway], &root)),
        [at("mesh-config")]
    );
}

#[test]
fn an_http_route_is_at_its_parents() {
    let route = |parents: Value| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "desk", "namespace": "library"},
            "spec": {"parentRefs": parents, "hostnames": ["desk.example.org"], "rules": [{"backendRefs": [
                {"name": "desk-old", "port": 80, "weight": 3}, {"name": "desk-new", "port": 80, "weight": 7},
            ]}]},
        })
    };
    let ran = translate(
        &[route(json!([{"name": "door", "namespace": "front"}]))],
        &[],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let label = json!({"gateway.networking.k8s.io/gateway-name": "door"});
    assert_eq!(
        places(&ran),
        [("canary_split".to_owned(), "front".to_owned(), label)]
    );
    let beside = json!([{"name": "desk", "kind": "Service", "group": "core"}]);
    let ran = translate(&[route(beside)], &["--callers", "none"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        places(&ran),
        [("canary_split".to_owned(), "library".to_owned(), Value::Null)]
    );
    let routes = of_kind(&ran, "HTTPRoute");
    assert_eq!(routes[0]["spec"]["parentRefs"][0]["group"], "");
    // The heavier arm is the default.
    let rules = routes[0]["spec"]["rules"].as_array().unwrap();
    assert_eq!(rules[0]["backendRefs"][0]["name"], "desk-new");
    let lonely = translate(&[route(json!([]))], &[]);
    assert_eq!(lonely.code, 1);
    assert!(lonely.err.contains("parentRefs"), "{}", lonely.err);
}

#[test]
fn a_delegate_has_the_hosts_and_the_place_of_what_leads_to_it() {
    let root = virtual_service(
        "front",
        "all",
        json!({"hosts": ["all.example.org"], "gateways": ["door"], "http": [
            {"match": [{"uri": {"prefix": "/desk"}}], "delegate": {"name": "desk", "namespace": "library"}},
        ]}),
    );
    let delegate = virtual_service(
        "library",
        "desk",
        json!({"http": [{"route": split("desk", [8, 2])}]}),
    );
    let options = ["--gateway", "front/istio=door"];
    let ran = translate(&[delegate.clone(), root.clone()], &options);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let plugins = of_kind(&ran, "WasmPlugin");
    assert_eq!(plugins[0]["metadata"]["namespace"], "front");
    let matched = &plugins[0]["spec"]["pluginConfig"]["splits"][0]["match"];
    assert_eq!(
        *matched,
        json!({"hosts": ["all.example.org"], "paths": ["/desk*"]})
    );
    for (resources, says) in [
        (vec![delegate.clone()], "delegates to it"),
        (vec![root.clone()], "library/desk"),
    ] {
        let alone = translate(&resources, &options);
        assert_eq!(alone.code, 1);
        assert!(alone.err.contains(says), "{}", alone.err);
    }
    let envoy = translate(&[delegate, root], &["--to", "envoy"]);
    let routes = routes_of(&envoy);
    assert!(
        routes
            .iter()
            .all(|route| route["match"]["prefix"] == "/desk"),
        "{routes:?}"
    );
    assert!(!envoy.err.contains("delegate"), "{}", envoy.err);
}

/// The routes of the first virtual host of a bootstrap.
fn routes_of(ran: &Ran) -> Vec<Value> {
    let listener = &documents(ran)[0]["static_resources"]["listeners"][0];
    let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
    let hosts = &manager["route_config"]["virtual_hosts"];
    hosts[0]["routes"].as_array().unwrap().clone()
}

/// For all weights: without the plugin requests go to the heaviest arm.
#[test]
fn the_default_is_the_heaviest_arm() {
    for weights in [[0, 100], [100, 0], [30, 70], [70, 30], [50, 50], [1, 2]] {
        let service = virtual_service(
            "library",
            "loans",
            json!({"hosts": ["loans"], "http": [{"route": split("loans", weights)}]}),
        );
        let heaviest = if weights[1] > weights[0] {
            "green"
        } else {
            "blue"
        };
        let ran = translate(std::slice::from_ref(&service), &["--callers", "none"]);
        let http = of_kind(&ran, "VirtualService")[0]["spec"]["http"].clone();
        let http = http.as_array().unwrap();
        let last = http.last().unwrap();
        assert_eq!(last["match"], Value::Null);
        assert_eq!(
            last["route"][0]["destination"]["subset"], heaviest,
            "{weights:?}"
        );
        let arms = &of_kind(&ran, "WasmPlugin")[0]["spec"]["pluginConfig"]["splits"][0]["arms"];
        assert_eq!(arms[0]["value"], heaviest);
        let envoy = translate(std::slice::from_ref(&service), &["--to", "envoy"]);
        let routes = routes_of(&envoy);
        let cluster = routes.last().unwrap()["route"]["cluster"].as_str().unwrap();
        assert_eq!(cluster, format!("loans/{heaviest}"));
    }
}

/// Each of Istio's conditions, alone: as Envoy says it, or the route is left out.
#[test]
fn no_condition_vanishes_on_the_way_to_envoy() {
    for (condition, says) in [
        (
            json!({"uri": {"prefix": "/Shelf"}, "ignoreUriCase": true}),
            Some("case_sensitive: false"),
        ),
        (
            json!({"withoutHeaders": {"x-reader": {"exact": "ann"}}}),
            Some("invert_match: true"),
        ),
        (
            json!({"withoutHeaders": {"x-reader": {}}}),
            Some("present_match: true"),
        ),
        (
            json!({"authority": {"prefix": "loans"}}),
            Some(":authority"),
        ),
        (json!({"scheme": {"exact": "https"}}), Some(":scheme")),
        (json!({"method": {"regex": "GET|HEAD"}}), Some("GET|HEAD")),
        (
            json!({"headers": {"x-reader": {}}}),
            Some("present_match: true"),
        ),
        (
            json!({"queryParams": {"page": {"regex": "\\d+"}}}),
            Some("query_parameters"),
        ),
        (json!({"port": 8080}), None),
        (json!({"sourceLabels": {"app": "desk"}}), None),
        (json!({"sourceNamespace": "readers"}), None),
        (json!({"gateways": ["front/door"]}), None),
    ] {
        let service = virtual_service(
            "library",
            "loans",
            json!({"hosts": ["loans"], "http": [
                {"match": [condition], "route": [{"destination": {"host": "special"}}]},
                {"route": [{"destination": {"host": "usual"}}]},
            ]}),
        );
        let ran = translate(std::slice::from_ref(&service), &["--to", "envoy"]);
        let routes = routes_of(&ran);
        match says {
            Some(text) => {
                assert_eq!(ran.code, 0, "{condition}: {}", ran.err);
                assert_eq!(routes.len(), 2, "{condition}");
                assert!(ran.out.contains(text), "{condition}: {}", ran.out);
            }
            None => {
                assert_eq!(ran.code, 1, "{condition}");
                assert_eq!(routes.len(), 1, "{condition}: {routes:?}");
                assert_eq!(routes[0]["route"]["cluster"], "usual");
            }
        }
        // Istio goes on with the condition as it is.
        let ran = translate(std::slice::from_ref(&service), &["--callers", "none"]);
        let http = of_kind(&ran, "VirtualService")[0]["spec"]["http"].clone();
        assert_eq!(http[0]["match"][0], condition);
    }
}

#[test]
fn a_service_is_one_in_all_spellings_of_its_name() {
    let routed = |host: &str| {
        virtual_service(
            "library",
            "loans",
            json!({"hosts": ["loans"], "http": [{"retries": {"attempts": 2}, "route": [{"destination": {"host": host}}]}]}),
        )
    };
    let rule = |namespace: &str, host: &str, percent: f64| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": format!("r{percent}"), "namespace": namespace},
            "spec": {"host": host, "trafficPolicy": {"retryBudget": {"percent": percent}}},
        })
    };
    let full = "loans.library.svc.cluster.local";
    let percent = |resources: &[Value]| {
        let ran = translate(resources, &["--callers", "none"]);
        let plugins = of_kind(&ran, "WasmPlugin");
        plugins[0]["spec"]["pluginConfig"]["budgets"][0]["budget"]["percent"].as_f64()
    };
    for routed_host in ["loans", full] {
        for host in ["loans", full] {
            let found = percent(&[routed(routed_host), rule("library", host, 7.0)]);
            assert_eq!(found, Some(7.0), "{routed_host} {host}");
        }
        // The most particular host, of the nearest namespace.
        let all = [
            routed(routed_host),
            rule("istio-system", full, 1.0),
            rule("library", "*.library.svc.cluster.local", 2.0),
            rule("library", full, 3.0),
            rule("other", "loans", 4.0),
        ];
        assert_eq!(percent(&all), Some(3.0));
        assert_eq!(percent(&all[..3]), Some(2.0));
        assert_eq!(percent(&all[..2]), Some(1.0));
    }
}

#[test]
fn one_short_name_in_two_namespaces_is_two_clusters() {
    let routed = |namespace: &str| {
        virtual_service(
            namespace,
            "desk",
            json!({"hosts": [format!("{namespace}.example.org")], "http": [{"route": [{"destination": {"host": "desk"}}]}]}),
        )
    };
    let ran = translate(&[routed("library"), routed("museum")], &["--to", "envoy"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let documents = documents(&ran);
    let clusters = documents[0]["static_resources"]["clusters"]
        .as_array()
        .unwrap();
    let names: Vec<&str> = clusters
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "desk.library.svc.cluster.local",
            "desk.museum.svc.cluster.local"
        ]
    );
}

#[test]
fn a_destination_rule_holds_without_routes() {
    let rule = |host: &str, policy: Value| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": "desk", "namespace": "library"},
            "spec": {"host": host, "trafficPolicy": policy},
        })
    };
    let ejecting = json!({"outlierDetection": {"consecutive5xxErrors": 4}});
    let envoy = translate(&[rule("desk", ejecting.clone())], &["--to", "envoy"]);
    assert_eq!(envoy.code, 0, "{}", envoy.err);
    assert!(envoy.out.contains("consecutive_5xx: 4"), "{}", envoy.out);
    let unnamed = translate(
        &[rule("*.library.svc.cluster.local", ejecting)],
        &["--to", "envoy"],
    );
    assert_eq!(unnamed.code, 1, "{}", unnamed.out);
    // Istio refuses an empty policy.
    let budget = translate(
        &[rule("desk", json!({"retryBudget": {"percent": 4}}))],
        &["--callers", "none"],
    );
    assert_eq!(budget.code, 0, "{}", budget.err);
    let rules = of_kind(&budget, "DestinationRule");
    assert_eq!(rules[0]["spec"], json!({"host": "desk"}));
    assert!(of_kind(&budget, "VirtualService").is_empty());
    let config = &of_kind(&budget, "WasmPlugin")[0]["spec"]["pluginConfig"];
    assert_eq!(config["budgets"][0]["budget"]["percent"], 4);
}

#[test]
fn a_newer_and_more_particular_route_still_decides() {
    let route = |name: &str, created: &str, matched: Value, backends: Value| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": name, "namespace": "library", "creationTimestamp": created, "uid": "1"},
            "spec": {"parentRefs": [{"name": "door"}], "hostnames": ["desk.example.org"],
                "rules": [{"matches": [matched], "backendRefs": backends}]},
        })
    };
    let path = json!({"type": "PathPrefix", "value": "/desk"});
    let old = route(
        "old",
        "2025-01-01T00:00:00Z",
        json!({"path": path}),
        json!([{"name": "desk-a", "port": 80, "weight": 6}, {"name": "desk-b", "port": 80, "weight": 4}]),
    );
    let new = route(
        "new",
        "2025-06-01T00:00:00Z",
        json!({"path": path, "headers": [{"name": "x-staff", "value": "1"}]}),
        json!([{"name": "desk-staff", "port": 80}]),
    );
    let ran = translate(&[new, old], &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let routes = of_kind(&ran, "HTTPRoute");
    let staff = routes
        .iter()
        .find(|route| route["metadata"]["name"] == "new")
        .unwrap();
    assert_eq!(
        staff["metadata"],
        json!({"name": "new", "namespace": "library"})
    );
    let matches = staff["spec"]["rules"][0]["matches"].as_array().unwrap();
    let names = |one: &Value| -> Vec<String> {
        let headers = one["headers"].as_array().unwrap();
        headers
            .iter()
            .map(|header| header["name"].to_string())
            .collect()
    };
    assert_eq!(matches.len(), 2);
    assert_eq!(names(&matches[1]), ["\"x-staff\"", "\"x-meshpack-subset\""]);
    assert_eq!(matches[1]["headers"][1]["value"], "desk-b");
}

#[test]
fn what_the_api_server_adds_is_left_out_and_what_people_add_stays() {
    let mut service = virtual_service(
        "library",
        "loans",
        json!({"hosts": ["loans"], "http": [{"route": split("loans", [8, 2]), "mirror": {"host": "shade"}, "mirrorPercent": 5}]}),
    );
    service["metadata"]["labels"] = json!({"team": "lending"});
    service["metadata"]["annotations"] = json!({
        "example.org/owner": "ann",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    });
    for (key, value) in [
        ("uid", json!("1")),
        ("resourceVersion", json!("2")),
        ("generation", json!(3)),
        ("creationTimestamp", json!("2025-01-01T00:00:00Z")),
        ("managedFields", json!([{"manager": "kubectl"}])),
    ] {
        service["metadata"][key] = value;
    }
    let ran = translate(std::slice::from_ref(&service), &["--callers", "none"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let written = &of_kind(&ran, "VirtualService")[0];
    assert_eq!(
        written["metadata"],
        json!({"name": "loans", "namespace": "library", "labels": {"team": "lending"},
            "annotations": {"example.org/owner": "ann"}})
    );
    for route in written["spec"]["http"].as_array().unwrap() {
        assert_eq!(route["mirrorPercent"], 5);
    }
    // A controller would write it again.
    service["metadata"]["ownerReferences"] = json!([{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "loans", "uid": "1", "controller": true}]);
    let owned = translate(&[service], &["--callers", "none"]);
    assert_eq!(owned.code, 1);
    assert!(owned.err.contains("the Canary loans"), "{}", owned.err);
}
