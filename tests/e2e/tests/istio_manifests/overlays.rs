//! Bases and overlays.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use meshpack_cli::Filter;
use meshpack_sdk::config::Node;
use serde_json::Value;

use super::kustomize::{build, identity};
use super::problem;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../istio-manifests")
}

const BASES: [&str; 5] = [
    "authz-policy",
    "canary-split",
    "retry-budget",
    "telemetry",
    "meshpack",
];

fn overlays() -> Vec<String> {
    let environments = ["staging", "production"];
    let all = environments
        .iter()
        .flat_map(|environment| BASES.map(|base| format!("overlays/{environment}/{base}")));
    all.collect()
}

/// Every folder with a kustomization.
fn folders(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            folders(&path, found);
        } else if path.ends_with("kustomization.yaml") {
            found.insert(folder.strip_prefix(root()).unwrap().to_owned());
        }
    }
}

/// What is wrong with a resource that is about to be applied.
fn wrong(resource: &Value) -> Option<String> {
    let plugin = match resource["kind"].as_str() {
        Some("WasmPlugin") => &resource["spec"],
        _ => return problem(resource),
    };
    let url = plugin["url"].as_str().unwrap_or_default();
    let Some(filter) = Filter::of_name(url) else {
        return Some(format!("{url} names none of the filters"));
    };
    let config = plugin["pluginConfig"].to_string();
    let problems = match Node::from_plugin_configuration(config.as_bytes()) {
        Ok(config) => filter.problems(&config),
        Err(error) => return Some(error.to_string()),
    };
    match problems.first() {
        Some(first) => Some(first.to_string()),
        None => problem(resource),
    }
}

#[test]
fn every_filter_has_a_base_and_overlays_that_istio_and_the_filters_take() {
    let mut known: BTreeSet<PathBuf> = BASES.iter().map(PathBuf::from).collect();
    known.extend(overlays().iter().map(PathBuf::from));
    let mut found = BTreeSet::new();
    folders(&root(), &mut found);
    assert_eq!(found, known);
    for folder in known {
        let resources = build(&root().join(&folder)).unwrap();
        assert!(!resources.is_empty());
        for resource in resources {
            let wrong = wrong(&resource);
            assert_eq!(wrong, None, "{}: {}", folder.display(), identity(&resource));
        }
    }
}

#[test]
fn overlays_name_images_by_digest_and_change_what_they_say() {
    for overlay in overlays() {
        let base = root().join(overlay.rsplit('/').next().unwrap());
        let (base, built) = (
            build(&base).unwrap(),
            build(&root().join(&overlay)).unwrap(),
        );
        let mut plugins = 0;
        for (old, new) in base.iter().zip(&built) {
            assert_eq!(identity(old), identity(new));
            if new["kind"] != "WasmPlugin" {
                assert_eq!(old, new, "{overlay}");
                continue;
            }
            plugins += 1;
            let (old, new) = (&old["spec"]["url"], &new["spec"]["url"]);
            let (tagged, digested) = (old.as_str().unwrap(), new.as_str().unwrap());
            let (image, digest) = digested.split_once("@sha256:").expect(digested);
            assert!(image.starts_with("oci://"), "{image}");
            let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            assert!(digest.len() == 64 && digest.chars().all(hex), "{digest}");
            assert_eq!(Filter::of_name(image), Filter::of_name(tagged), "{overlay}");
        }
        assert!(plugins > 0, "{overlay}");
    }
    let spec = |overlay: &str, pointer: &str| {
        let built = build(&root().join(overlay)).unwrap();
        built[0].pointer(pointer).unwrap_or(&Value::Null).clone()
    };
    let arms = "/spec/pluginConfig/splits/0/arms/1/weight";
    assert_eq!(spec("overlays/staging/canary-split", arms), 50);
    assert_eq!(spec("overlays/production/canary-split", arms), 5);
    let explain = "/spec/pluginConfig/explain";
    assert_eq!(spec("overlays/staging/authz-policy", explain), "header");
    assert_eq!(
        spec("overlays/production/authz-policy", explain),
        Value::Null
    );
}

#[test]
fn kubectl_builds_the_same() {
    if Command::new("kubectl")
        .arg("version")
        .arg("--client")
        .output()
        .is_err()
    {
        eprintln!("kubectl is not installed: only the checks of our own were made");
        return;
    }
    for overlay in overlays() {
        let folder = root().join(&overlay);
        let ran = Command::new("kubectl")
            .arg("kustomize")
            .arg(&folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{overlay}: {said}");
        let text = String::from_utf8(ran.stdout).unwrap();
        let parse = |part: &str| meshpack_harness::config::literal::parse(part).unwrap();
        let mut theirs: Vec<Value> = text.split("\n---\n").map(parse).collect();
        let mut ours = build(&folder).unwrap();
        ours.sort_by_key(identity);
        theirs.sort_by_key(identity);
        assert_eq!(ours, theirs, "{overlay}");
    }
}

#[test]
fn mistakes_in_an_overlay_are_found() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("overlay-mistakes");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let root = root().canonicalize().unwrap();
    let root = root.display();
    let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    let patch = |target: &str, operation: &str| {
        format!(
            "resources: [{root}/canary-split]\npatches:\n- target: {{kind: WasmPlugin, name: {target}}}\n  patch: |-\n    - {operation}\n"
        )
    };
    for (text, expected) in [
        (
            format!("resources: [{root}/nothing]\n"),
            "nothing is not there",
        ),
        (
            format!("resources: [{root}/canary-split]\nimages: []\n"),
            "images is no part",
        ),
        (
            format!("resources: [{root}/canary-split, {root}/retry-budget]\n"),
            "VirtualService shop/payments is there twice",
        ),
        (
            patch("canary-spilt", "{op: replace, path: /spec/url, value: x}"),
            "is 0 resources",
        ),
        (
            patch("canary.*", "{op: replace, path: /spec/url, value: x}"),
            "not a plain name",
        ),
        (
            patch("canary-split", "{op: replace, path: /spec/uri, value: x}"),
            "not there to be replaced",
        ),
        (
            patch("canary-split", "{op: remove, path: /spec/url, value: x}"),
            "none of those used",
        ),
    ] {
        std::fs::write(folder.join("kustomization.yaml"), format!("{head}{text}")).unwrap();
        let error = build(&folder).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let plugin = |config: &str| {
        let text = format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: x}}\nspec: {{url: 'oci://r/canary_split:1', pluginConfig: {config}}}\n"
        );
        meshpack_harness::config::literal::parse(&text).unwrap()
    };
    assert_eq!(wrong(&plugin("{splits: []}")), None);
    let unknown = wrong(&plugin("{split: []}")).unwrap();
    assert!(unknown.contains("split"), "{unknown}");
}
