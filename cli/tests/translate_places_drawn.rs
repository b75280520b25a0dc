//! Sets of routes, drawn at random: each proxy that follows a route loads one canary plugin,
//! which splits as the route did, and the route leads each arm where it led; without the
//! plugin requests go to the heaviest arm.

use std::collections::BTreeMap;
use std::fs;

use meshpack_cli::yaml;
use serde_json::{Value, json};

use crate::common::Draw;

const CALLERS: [&str; 3] = ["library", "museum", "garden"];
/// Namespace and label of the gateway.
const GATEWAY: (&str, &str) = ("front", "door");

/// A route, and whose proxies follow it.
struct Route {
    resource: Value,
    namespace: &'static str,
    service: Option<String>,
    host: String,
    in_mesh: bool,
    shown: bool,
    at_gateway: bool,
    weights: BTreeMap<String, i64>,
}

fn route(draw: &mut Draw, number: usize) -> Route {
    let namespace = CALLERS[draw.below(2)];
    let is_service = draw.below(3) > 0;
    let service = is_service.then(|| format!("s{number}"));
    let host = match &service {
        Some(service) if draw.below(2) == 0 => format!("{service}.{namespace}.svc.cluster.local"),
        Some(service) => service.clone(),
        None => format!("h{number}.example.org"),
    };
    let places: [&[&str]; 4] = [&[], &["mesh"], &["front/door"], &["mesh", "front/door"]];
    let place = places[draw.below(4)];
    let shown = draw.below(4) > 0;
    let arms = 2 + draw.below(2);
    let mut weights = BTreeMap::new();
    let mut written = Vec::new();
    for arm in 0..arms {
        let weight = match (arm, draw.below(4)) {
            (0, _) => 1 + draw.below(50) as i64,
            (_, 0) => 0,
            _ => draw.below(90) as i64,
        };
        weights.insert(format!("v{arm}"), weight);
        written.push(json!({"destination": {"host": format!("s{number}"), "subset": format!("v{arm}")}, "weight": weight}));
    }
    let mut spec = json!({"hosts": [host], "http": [{"route": written}]});
    if !place.is_empty() {
        spec["gateways"] = json!(place);
    }
    if !shown {
        spec["exportTo"] = json!(["."]);
    }
    Route {
        resource: json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": format!("r{number}"), "namespace": namespace}, "spec": spec,
        }),
        namespace,
        service,
        host,
        in_mesh: place.is_empty() || place.contains(&"mesh"),
        shown,
        at_gateway: place.contains(&"front/door"),
        weights,
    }
}

impl Route {
    /// The names by which a caller of a namespace reaches the host.
    fn names(&self, caller: &str) -> Vec<String> {
        let Some(service) = &self.service else {
            return vec![self.host.clone()];
        };
        let at = self.namespace;
        let mut names = vec![
            format!("{service}.{at}"),
            format!("{service}.{at}.svc"),
            format!("{service}.{at}.svc.cluster.local"),
        ];
        if caller == at {
            names.push(service.clone());
        }
        names
    }
}

/// The canary plugins that a proxy loads: those for calls of its own namespace whose labels
/// it has.
fn loaded<'r>(resources: &'r [Value], namespace: &str, label: Option<&str>) -> Vec<&'r Value> {
    let plugins = resources.iter().filter(|one| {
        let labels = &one["spec"]["selector"]["matchLabels"];
        let selected = labels.is_null() || labels["istio"].as_str() == label;
        one["kind"] == "WasmPlugin"
            && one["metadata"]["namespace"] == namespace
            && one["spec"]["match"][0]["mode"] == "CLIENT"
            && selected
    });
    plugins.collect()
}

/// The arms of the first split that takes requests to a host.
fn arms(plugin: &Value, host: &str) -> Option<BTreeMap<String, i64>> {
    let splits = plugin["spec"]["pluginConfig"]["splits"].as_array().unwrap();
    let takes = |split: &&Value| {
        let hosts = split["match"]["hosts"].as_array().unwrap();
        hosts.contains(&json!(host))
    };
    let arms = splits.iter().find(takes)?["arms"].as_array().unwrap();
    let arm = |arm: &Value| {
        let value = arm["value"].as_str().unwrap().to_owned();
        (value, arm["weight"].as_i64().unwrap())
    };
    Some(arms.iter().map(arm).collect())
}

/// Where a VirtualService leads a request with a steering header, or without.
fn leads(resources: &[Value], route: &Route, header: Option<&str>) -> String {
    let name = &route.resource["metadata"]["name"];
    let written = resources
        .iter()
        .find(|one| one["kind"] == "VirtualService" && one["metadata"]["name"] == *name);
    let http = written.unwrap()["spec"]["http"].as_array().unwrap();
    let matched = http.iter().find(|one| {
        let wanted = &one["match"][0]["headers"]["x-meshpack-subset"]["exact"];
        wanted.is_null() || wanted.as_str() == header
    });
    let to = matched.unwrap()["route"].as_array().unwrap();
    assert_eq!(to.len(), 1);
    to[0]["destination"]["subset"].as_str().unwrap().to_owned()
}

#[test]
fn a_thousand_sets_of_routes_split_as_before_on_every_proxy() {
    let seed = std::env::var("MESHPACK_SEED").map_or(17, |seed| seed.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.yaml");
    let mut draw = Draw(seed);
    let mut held = 0;
    for set in 0..1000 {
        let count = 1 + draw.below(4);
        let routes: Vec<Route> = (0..count).map(|number| route(&mut draw, number)).collect();
        let texts: Vec<String> = routes
            .iter()
            .map(|route| route.resource.to_string())
            .collect();
        fs::write(&file, texts.join("\n---\n")).unwrap();
        let gateway = format!("{}/istio={}", GATEWAY.0, GATEWAY.1);
        let mut words = vec!["--gateway", &gateway, "--sticky-by", "sourceIp"];
        CALLERS
            .iter()
            .for_each(|caller| words.extend(["--callers", caller]));
        words.push(file.to_str().unwrap());
        let translation = meshpack_cli::translate::from_words(&words).unwrap();
        assert_eq!(translation.remarks, [""; 0], "seed {seed}, set {set}");
        let resources: Vec<Value> = yaml::parse(&translation.yaml())
            .unwrap()
            .iter()
            .map(|document| meshpack_cli::json::value(document.root().node()))
            .collect();
        let sidecars = CALLERS.iter().map(|caller| (*caller, None));
        for (namespace, label) in sidecars.chain([(GATEWAY.0, Some(GATEWAY.1))]) {
            let plugins = loaded(&resources, namespace, label);
            assert!(plugins.len() <= 1, "seed {seed}, set {set}: {namespace}");
            for route in &routes {
                let follows = match label {
                    Some(_) => route.at_gateway,
                    None => route.in_mesh && (route.shown || route.namespace == namespace),
                };
                for name in route.names(namespace) {
                    if follows {
                        let found = plugins.first().and_then(|plugin| arms(plugin, &name));
                        assert_eq!(
                            found.as_ref(),
                            Some(&route.weights),
                            "seed {seed}, set {set}: {name} from {namespace}\n{}",
                            translation.yaml()
                        );
                        held += 1;
                    }
                }
            }
        }
        for route in &routes {
            for arm in route.weights.keys() {
                assert_eq!(leads(&resources, route, Some(arm)), *arm);
            }
            let usual = leads(&resources, route, None);
            let largest = route.weights.values().max();
            assert_eq!(route.weights.get(&usual), largest, "seed {seed}, set {set}");
        }
    }
    assert!(held > 10_000, "{held}");
}
