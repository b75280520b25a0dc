//! `meshpack translate`: nothing is lost without a word, what comes out is what
//! the filters take, and the exit codes say which.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Ran, meshpack_in};
use serde_json::Value;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/translate");
    let mut files = Vec::new();
    for system in fs::read_dir(folder).unwrap() {
        let system = system.unwrap().path();
        files.extend(
            fs::read_dir(system)
                .unwrap()
                .map(|file| file.unwrap().path()),
        );
    }
    files.sort();
    files
}

/// Everything that the tests say to the examples.
const OPTIONS: [&str; 12] = [
    "--sticky-by",
    "header:x-user-id",
    "--principal",
    "org=empire:cluster.local/ns/galaxy/sa/tiefighter",
    "--callers",
    "reading-room",
    "--gateway",
    "front/istio=ingressgateway",
    "--trust-domain",
    "cluster.local",
    "--http-port",
    "all",
];

fn translate(file: &str, more: &[&str]) -> Ran {
    let args = [&["translate"], &OPTIONS[..], more, &[file]].concat();
    meshpack_in(Path::new("."), &args)
}

#[test]
fn every_source_system_has_an_example() {
    let systems: Vec<String> = examples()
        .iter()
        .map(|file| {
            file.parent()
                .unwrap()
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    for system in [
        "istio",
        "gateway-api",
        "linkerd",
        "consul",
        "app-mesh",
        "cilium",
    ] {
        assert!(systems.iter().any(|known| known == system), "{system}");
    }
}

#[test]
fn check_takes_what_translate_writes() {
    let folder = tempfile::tempdir().unwrap();
    for example in examples() {
        let example = example.to_string_lossy().into_owned();
        for target in ["wasmplugin", "envoy"] {
            let ran = translate(&example, &["--to", target]);
            assert!(!ran.err.contains("refused by the filter"), "{}", ran.err);
            fs::write(folder.path().join("out.yaml"), &ran.out).unwrap();
            let checked = meshpack_in(folder.path(), &["check", "out.yaml"]);
            assert_eq!(
                checked.code, 0,
                "{example} to {target}: {}{}",
                checked.out, checked.err
            );
            assert!(checked.out.contains("no problems"), "{example} to {target}");
        }
    }
}

/// Copies of a tree with an unknown key in one of its objects.
fn with_unknown_keys(tree: &Value) -> Vec<Value> {
    let mut copies = Vec::new();
    match tree {
        Value::Object(fields) => {
            let mut own = fields.clone();
            own.insert("zzUnknown".to_owned(), Value::from(1));
            copies.push(Value::Object(own));
            for (key, value) in fields {
                for copy in with_unknown_keys(value) {
                    let mut own = fields.clone();
                    own.insert(key.clone(), copy);
                    copies.push(Value::Object(own));
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for copy in with_unknown_keys(item) {
                    let mut own = items.clone();
                    own[index] = copy;
                    copies.push(Value::Array(own));
                }
            }
        }
        _ => {}
    }
    copies
}

#[test]
fn nothing_that_is_not_understood_gets_lost_silently() {
    let folder = tempfile::tempdir().unwrap();
    let mut tried = 0;
    let mut silent = Vec::new();
    // What is below a field that is listed is not listed again.
    let is_understood = |file: &PathBuf| !file.ends_with("losses.yaml");
    for example in examples().into_iter().filter(is_understood) {
        let text = fs::read_to_string(&example).unwrap();
        let documents = meshpack_cli::yaml::parse(&text).unwrap();
        let documents: Vec<Value> = documents
            .iter()
            .map(|document| meshpack_cli::json::value(document.root().node()))
            .collect();
        for copy in with_unknown_keys(&Value::Array(documents)) {
            let file = folder.path().join("in.json");
            fs::write(&file, copy.to_string()).unwrap();
            let file = file.to_string_lossy();
            let words = [&OPTIONS[..], &[&file]].concat();
            let translated = meshpack_cli::translate::from_words(&words).unwrap();
            let told = translated
                .remarks
                .iter()
                .any(|remark| remark.contains("zzUnknown"));
            let kept = translated.yaml().contains("zzUnknown");
            tried += 1;
            if !told && !kept && !is_about_the_resource(&copy) {
                silent.push(format!("{} with {}", example.display(), unknown_at(&copy)));
            }
        }
    }
    assert!(tried > 300, "{tried}");
    assert!(
        silent.is_empty(),
        "{} of {tried} silent:\n{}",
        silent.len(),
        silent[0]
    );
}

/// The path of the unknown key.
fn unknown_at(tree: &Value) -> String {
    let step = |key: String, value: &Value| {
        let below = unknown_at(value);
        (!below.is_empty()).then(|| format!("{key}{below}"))
    };
    let found = match tree {
        Value::Object(fields) if fields.contains_key("zzUnknown") => Some(".zzUnknown".to_owned()),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(key, value)| step(format!(".{key}"), value)),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| step(format!("[{index}]"), item))
        }
        _ => None,
    };
    found.unwrap_or_default()
}

/// Metadata, status and labels of pods are between people and Kubernetes.
fn is_about_the_resource(documents: &Value) -> bool {
    fn found_below(tree: &Value, inside: bool) -> bool {
        match tree {
            Value::Object(fields) => fields.iter().any(|(key, value)| {
                let about = ["metadata", "status", "labels"].contains(&key.as_str());
                (inside && key == "zzUnknown") || found_below(value, inside || about)
            }),
            Value::Array(items) => items.iter().any(|item| found_below(item, inside)),
            _ => false,
        }
    }
    found_below(documents, false)
}

#[test]
fn losses_are_listed_and_make_the_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: external, namespace: shop}
spec: {action: CUSTOM, provider: {name: opa}, rules: [{}]}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: other}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web]
  http: [{route: [{destination: {host: web}}], timeout: soon}]
";
    fs::write(folder.path().join("in.yaml"), policy).unwrap();
    let ran = meshpack_in(folder.path(), &["translate", "in.yaml"]);
    assert_eq!(ran.code, 1);
    for line in [
        "in.yaml:4:1: AuthorizationPolicy shop/external: spec: CUSTOM asks an external authorizer",
        "in.yaml:6:1: example.org/v1 Widget: is not among the kinds",
        "in.yaml:15:48: VirtualService shop/web: spec.http[0].timeout: \"soon\" is not a duration",
    ] {
        assert!(ran.err.contains(line), "{line} not in {}", ran.err);
        assert!(ran.out.contains(line), "the list stays with what comes out");
    }
    let accepted = meshpack_in(folder.path(), &["translate", "--accept-losses", "in.yaml"]);
    assert_eq!(accepted.code, 0);
    let json = meshpack_in(folder.path(), &["translate", "--json", "in.yaml"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["lost"].as_array().unwrap().len(), 3);
    assert_eq!(json["lost"][0]["path"], "spec");
}

#[test]
fn what_the_filter_would_refuse_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: office, namespace: shop}
spec: {rules: [{from: [{source: {remoteIpBlocks: [10.0.0/8]}}]}]}
";
    fs::write(folder.path().join("in.yaml"), policy).unwrap();
    let ran = meshpack_in(folder.path(), &["translate", "in.yaml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("refused by the filter"), "{}", ran.err);
    assert!(
        ran.err.contains("remoteIpBlocks[0]: \"10.0.0/8\""),
        "{}",
        ran.err
    );
}

#[test]
fn allow_policies_whose_workloads_may_meet_are_one_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let policy = |name: &str, spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{{spec}rules: [{{}}]}}\n---\n"
        )
    };
    let of = |app: &str| format!("selector: {{matchLabels: {{app: {app}}}}}, ");
    let translate = |policies: &[String]| {
        fs::write(folder.path().join("in.yaml"), policies.concat()).unwrap();
        meshpack_in(
            folder.path(),
            &["translate", "--gateway", "none", "in.yaml"],
        )
    };
    let plugins = |ran: &Ran| {
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out.matches("kind: WasmPlugin").count()
    };
    let meet = translate(&[policy("all", ""), policy("web", &of("web"))]);
    assert_eq!(plugins(&meet), 1);
    assert_eq!(meet.out.matches("kind: EnvoyFilter").count(), 1);
    let apart = translate(&[policy("db", &of("db")), policy("web", &of("web"))]);
    assert_eq!(plugins(&apart), 2);
    assert!(!apart.out.contains("EnvoyFilter"), "{}", apart.out);
    let denying = translate(&[policy("all", "action: DENY, "), policy("web", &of("web"))]);
    assert_eq!(plugins(&denying), 2);
}

#[test]
fn unusable_input_makes_the_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for (text, says) in [
        ("", "is empty"),
        ("# nothing\n", "holds no document"),
        ("a: [\n", "in.yaml:2:1: is not valid YAML"),
        (
            "kind: Pod\napiVersion: v1\n",
            "stays in the cluster as it is",
        ),
        ("Kind = service splitter\n", "consul config read"),
        ("- 1\n", "nothing here can be translated"),
    ] {
        fs::write(folder.path().join("in.yaml"), text).unwrap();
        let ran = meshpack_in(folder.path(), &["translate", "in.yaml"]);
        assert_eq!(ran.code, 2, "{text:?}: {}", ran.err);
        assert!(ran.err.contains(says), "{text:?}: {}", ran.err);
        assert!(!ran.err.contains("panicked") && ran.out.is_empty());
    }
    for words in [
        &["translate"][..],
        &["translate", "--to", "traefik", "in.yaml"],
        &["translate", "--sticky-by", "user", "in.yaml"],
        &["translate", "--endpoint", "web", "in.yaml"],
        &["translate", "--principal", "web", "in.yaml"],
    ] {
        assert_eq!(meshpack_in(folder.path(), words).code, 2, "{words:?}");
    }
}
