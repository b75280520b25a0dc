//! Sets of policies, drawn at random: on every proxy of a mesh the translation decides as
//! the policies do, by a plain reading of Istio's rules about what acts where.
//!
//! What was wrong: plugins decide each alone, so two of them on one workload allowed what
//! both allow; no plugin for sidecars runs at a gateway; a policy for a namespace was not
//! at its gateways.

use std::collections::BTreeMap;
use std::fs;

use meshpack_authz_policy::config::Config;
use meshpack_authz_policy::policy::described::Described;
use meshpack_authz_policy::policy::engine::Verdict;
use meshpack_cli::yaml;
use meshpack_sdk::HeaderMap;
use meshpack_sdk::config::Node;
use serde_json::{Value, json};

use crate::common::Draw;

/// Namespaces, the first of which is Istio's root.
const NAMESPACES: [&str; 3] = ["istio-system", "shop", "web"];
const LABELS: [(&str, [&str; 2]); 3] = [
    ("app", ["cart", "pay"]),
    ("tier", ["gold", "tin"]),
    ("version", ["v1", "v2"]),
];
/// Where gateways run in half of the meshes, and what they are labelled.
const GATEWAY: (&str, &str, &str) = ("web", "istio", "edge");

type Labels = BTreeMap<String, String>;

/// A sidecar's pod, or a gateway's.
#[derive(Debug)]
struct Pod {
    namespace: &'static str,
    labels: Labels,
    is_gateway: bool,
}

impl Draw {
    fn policy(&mut self, number: usize) -> Value {
        let namespace = NAMESPACES[self.below(NAMESPACES.len())];
        let mut labels = Labels::new();
        for (key, values) in LABELS {
            if self.one_in(3) {
                labels.insert(key.to_owned(), values[self.below(2)].to_owned());
            }
        }
        if self.one_in(6) {
            labels = Labels::from([(GATEWAY.1.to_owned(), GATEWAY.2.to_owned())]);
        }
        let action = ["ALLOW", "ALLOW", "DENY", "AUDIT"][self.below(4)];
        let rules: Vec<Value> = (0..self.below(3)).map(|_| self.rule()).collect();
        let mut spec = json!({"action": action});
        if !labels.is_empty() || self.one_in(4) {
            spec["selector"] = json!({"matchLabels": labels});
        }
        if !rules.is_empty() {
            spec["rules"] = json!(rules);
        } else if action == "DENY" {
            spec["rules"] = json!([{}]);
        }
        let mut policy = json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": format!("p{number}"), "namespace": namespace},
            "spec": spec,
        });
        if action != "AUDIT" && self.one_in(10) {
            policy["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
        }
        policy
    }

    fn rule(&mut self) -> Value {
        let mut operation = json!({});
        if self.one_in(2) {
            let path = ["/a*", "/b", "*c"][self.below(3)];
            operation["paths"] = json!([path]);
        }
        if self.one_in(2) {
            let method = ["GET", "POST"][self.below(2)];
            operation["methods"] = json!([method]);
        }
        if operation == json!({}) {
            return json!({});
        }
        json!({"to": [{"operation": operation}]})
    }
}

fn pods(with_gateway: bool) -> Vec<Pod> {
    let mut pods = Vec::new();
    for namespace in NAMESPACES {
        for which in 0..27 {
            let mut labels = Labels::new();
            for (at, (key, values)) in LABELS.iter().enumerate() {
                if let Some(value) = values.get(which / 3_usize.pow(at as u32) % 3) {
                    labels.insert((*key).to_owned(), (*value).to_owned());
                }
            }
            pods.push(Pod {
                namespace,
                labels,
                is_gateway: false,
            });
        }
    }
    if with_gateway {
        let label = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        pods.push(Pod {
            namespace: GATEWAY.0,
            labels: [(GATEWAY.1, GATEWAY.2), ("version", "v9")]
                .map(label)
                .into(),
            is_gateway: true,
        });
    }
    pods
}

/// Istio's rule about policies, plugins and EnvoyFilters alike: in the own namespace, or
/// from the root namespace everywhere; all labels of the selector are the pod's.
fn selects(resource: &Value, labels: &Value, pod: &Pod) -> bool {
    let namespace = resource["metadata"]["namespace"].as_str().unwrap();
    let near = namespace == pod.namespace || namespace == NAMESPACES[0];
    let labels = labels.as_object().cloned().unwrap_or_default();
    near && labels
        .iter()
        .all(|(key, value)| pod.labels.get(key).map(String::as_str) == value.as_str())
}

/// What Istio decides: DENY first, then any ALLOW if there is one.
fn natively(policies: &[Value], pod: &Pod, method: &str, path: &str) -> bool {
    let acting: Vec<&Value> = policies
        .iter()
        .filter(|policy| selects(policy, &policy["spec"]["selector"]["matchLabels"], pod))
        .filter(|policy| policy["metadata"]["annotations"].is_null())
        .collect();
    let of = |action: &'static str| {
        acting
            .iter()
            .filter(move |policy| policy["spec"]["action"] == action)
    };
    let matches = |policy: &Value| {
        let rules = policy["spec"]["rules"].as_array().cloned();
        rules.unwrap_or_default().iter().any(|rule| {
            let operation = &rule["to"][0]["operation"];
            let one_of = |key: &str, actual: &str| {
                operation[key].as_array().is_none_or(|texts| {
                    texts
                        .iter()
                        .any(|text| is_like(text.as_str().unwrap(), actual))
                })
            };
            one_of("paths", path) && one_of("methods", method)
        })
    };
    if of("DENY").any(|policy| matches(policy)) {
        return false;
    }
    of("ALLOW").count() == 0 || of("ALLOW").any(|policy| matches(policy))
}

fn is_like(pattern: &str, text: &str) -> bool {
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(prefix), _) => text.starts_with(prefix),
        (_, Some(suffix)) => text.ends_with(suffix),
        _ => pattern == text,
    }
}

/// What comes of the plugins that a pod loads: all of them must let a request through.
fn translated(resources: &[Value], pod: &Pod, method: &str, path: &str) -> bool {
    let (mode, context) = match pod.is_gateway {
        true => ("CLIENT", "GATEWAY"),
        false => ("SERVER", "SIDECAR_INBOUND"),
    };
    let mut marks = Vec::new();
    for filter in resources.iter().filter(|one| one["kind"] == "EnvoyFilter") {
        let patch = &filter["spec"]["configPatches"][0];
        let labels = &filter["spec"]["workloadSelector"]["labels"];
        if patch["match"]["context"] == context && selects(filter, labels, pod) {
            let set = &patch["patch"]["value"]["typed_config"]["metadata"][0];
            let value = set["value"]["selected"].as_str().unwrap().to_owned();
            let fields = vec![("selected".to_owned(), Node::String(value))];
            let namespace = set["metadata_namespace"].as_str().unwrap().to_owned();
            marks.push((namespace, Node::Object(fields)));
        }
    }
    let mut request = Described::default();
    request
        .header(":method", method)
        .header(":path", path)
        .header(":authority", "cart")
        .metadata(&Node::Object(marks));
    let raw = request.encoded_headers();
    let headers = HeaderMap::decode(&raw).unwrap();
    let plugins = resources.iter().filter(|one| one["kind"] == "WasmPlugin");
    let mut loaded = plugins.filter(|plugin| {
        let labels = &plugin["spec"]["selector"]["matchLabels"];
        plugin["spec"]["match"][0]["mode"] == mode && selects(plugin, labels, pod)
    });
    loaded.all(|plugin| {
        let config = plugin["spec"]["pluginConfig"].to_string();
        let node = yaml::parse(&config).unwrap();
        let policies = Config::from_node(node[0].root().node()).unwrap().compile();
        let request = policies.request(&headers, &request);
        matches!(policies.decide(&request, 0).verdict, Verdict::Allow(_))
    })
}

#[test]
fn a_thousand_sets_of_policies_decide_as_before_on_every_proxy() {
    let seed = std::env::var("MESHPACK_SEED").map_or(16, |seed| seed.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.yaml");
    let mut draw = Draw(seed);
    let (mut marked, mut denied, mut allowed) = (0, 0, 0);
    for set in 0..1000 {
        let count = 1 + draw.below(5);
        let policies: Vec<Value> = (0..count).map(|number| draw.policy(number)).collect();
        let texts: Vec<String> = policies.iter().map(Value::to_string).collect();
        fs::write(&file, texts.join("\n---\n")).unwrap();
        let with_gateway = draw.one_in(2);
        let gateway = match with_gateway {
            true => format!("{}/{}={}", GATEWAY.0, GATEWAY.1, GATEWAY.2),
            false => "none".to_owned(),
        };
        let words = [
            "--gateway",
            &gateway,
            "--http-port",
            "all",
            file.to_str().unwrap(),
        ];
        let translation = meshpack_cli::translate::from_words(&words).unwrap();
        assert_eq!(translation.remarks, [""; 0], "seed {seed}, set {set}");
        let resources: Vec<Value> = yaml::parse(&translation.yaml())
            .unwrap()
            .iter()
            .map(|document| meshpack_cli::json::value(document.root().node()))
            .collect();
        marked += usize::from(translation.yaml().contains("set_metadata"));
        // All pods of a set would take minutes: a few, and the gateway.
        let all = pods(with_gateway);
        let few = (0..12).map(|_| draw.below(all.len()));
        for at in few.chain([all.len() - 1]).collect::<Vec<_>>() {
            let pod = &all[at];
            for (method, path) in [("GET", "/a"), ("POST", "/b"), ("GET", "/xc"), ("PUT", "/z")] {
                let before = natively(&policies, pod, method, path);
                let after = translated(&resources, pod, method, path);
                assert_eq!(
                    after,
                    before,
                    "seed {seed}, set {set}: {method} {path} at {pod:?}\n{}\n{}",
                    texts.join("\n"),
                    translation.yaml()
                );
                denied += usize::from(!before);
                allowed += usize::from(before);
            }
        }
    }
    assert!(
        marked > 200 && denied > 5000 && allowed > 5000,
        "{marked} {denied} {allowed}"
    );
}
