//! `meshpack bundle` without a registry.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Ran, meshpack_in};
use serde_json::Value;

const WASM: &[u8] = b"\0asm\x01\0\0\0";

fn bundle(folder: &Path, args: &[&str]) -> Ran {
    meshpack_in(folder, &[&["bundle"], args].concat())
}

#[test]
fn the_same_module_gives_the_same_digest_whenever_it_is_bundled() {
    let digests = || {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("my_filter.wasm"), WASM).unwrap();
        let ran = bundle(folder.path(), &["my_filter.wasm", "--json", "-o", "out"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(folder.path().join("out/my_filter/oci-layout").is_file());
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        report[0]["digest"].as_str().unwrap().to_owned()
    };
    let first = digests();
    // The next second is another time for whatever stamps its files.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(first, digests());
}

#[test]
fn labels_are_set_and_overridden() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("canary_split.wasm"), WASM).unwrap();
    let args = [
        "canary_split",
        "--modules",
        ".",
        "-o",
        "out",
        "--tag",
        "2.0",
        "--label",
        "org.opencontainers.image.source=https://git.test/shop",
        "--label",
        "team=shop",
    ];
    let ran = bundle(folder.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("digest  sha256:"), "{}", ran.out);
    let blobs = fs::read_dir(folder.path().join("out/canary_split/blobs/sha256")).unwrap();
    let manifest = blobs
        .filter_map(|blob| {
            serde_json::from_slice::<Value>(&fs::read(blob.unwrap().path()).unwrap()).ok()
        })
        .find(|json| json.get("layers").is_some())
        .unwrap();
    let annotation = |key: &str| manifest["annotations"][key].as_str().unwrap_or_default();
    assert_eq!(annotation("org.opencontainers.image.version"), "2.0");
    assert_eq!(
        annotation("org.opencontainers.image.licenses"),
        "Apache-2.0"
    );
    assert_eq!(
        annotation("org.opencontainers.image.source"),
        "https://git.test/shop"
    );
    assert_eq!(annotation("team"), "shop");
}

#[test]
fn what_cannot_be_bundled_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text.wasm"), "text").unwrap();
    for (args, says) in [
        (&["text.wasm"][..], "text.wasm is not a WebAssembly module"),
        (&["missing.wasm"], "cannot read missing.wasm"),
        (
            &["--modules", "."],
            "name the folder it is in with --modules",
        ),
        (&["text.wasm", "--tag", "a b"], "is not a tag"),
        (&["text.wasm", "--label", "x"], "is not KEY=VALUE"),
    ] {
        let ran = bundle(folder.path(), args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.out);
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
    }
}

/// All files below a folder, by name.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read_to_string(&path).unwrap());
        }
    }
    found
}

#[test]
fn digests_get_into_the_overlays() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let overlays = folder.path().join("overlays");
    for (path, text) in files(&workspace.join("istio-manifests/overlays")) {
        let own = path
            .strip_prefix(workspace.join("istio-manifests"))
            .unwrap();
        let own = folder.path().join(own);
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(own, text).unwrap();
    }
    for name in [
        "authz_policy",
        "canary_split",
        "retry_budget",
        "telemetry",
        "meshpack",
    ] {
        let module = [WASM, name.as_bytes()].concat();
        fs::write(folder.path().join(format!("{name}.wasm")), module).unwrap();
    }
    let before = files(&overlays);
    let pin = ["--modules", ".", "--pin", "overlays"];
    let ran = bundle(folder.path(), &[&["--json"], &pin[..]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let digests: BTreeMap<&str, &str> = report
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["image"].as_str().unwrap(),
                one["digest"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(digests.len(), 5);
    let after = files(&overlays);
    let mut references = 0;
    for (path, text) in &after {
        for (old, new) in before[path].lines().zip(text.lines()) {
            let Some((start, _)) = new.split_once("@sha256:") else {
                assert_eq!(old, new, "only references change");
                continue;
            };
            references += 1;
            let image = start.rsplit('/').next().unwrap();
            assert_eq!(new, format!("{start}@{}", digests[image]));
            assert!(old.starts_with(start), "{old}");
        }
        assert_eq!(before[path].lines().count(), text.lines().count());
    }
    assert_eq!(references, 16);
    // A second run finds the same and changes nothing.
    let again = bundle(folder.path(), &pin);
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(
        again
            .out
            .contains("pinned  overlays/production/meshpack/kustomization.yaml, 3 times")
    );
    assert_eq!(files(&overlays), after);
    // What names none of the images is a mistake in the path.
    fs::create_dir(folder.path().join("empty")).unwrap();
    let none = bundle(folder.path(), &["--modules", ".", "--pin", "empty"]);
    assert_eq!(none.code, 2);
    assert!(
        none.err
            .contains("no manifest in empty names one of the images"),
        "{}",
        none.err
    );
}
