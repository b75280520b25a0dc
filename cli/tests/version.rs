//! Modules of another version than the command: said where they are used, whichever is
//! the older one.

use std::fs;
use std::path::Path;

use crate::common::meshpack_in;

/// A folder with the modules of `dist/`, `canary_split` being of this version.
fn modules(version: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist");
    for entry in fs::read_dir(dist).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "wasm") {
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let module = folder.path().join("canary_split.wasm");
    let mut wasm = fs::read(&module).unwrap();
    // The last one that a module states counts, as where a tool has added its own.
    let name = b"version";
    wasm.push(0);
    wasm.push(u8::try_from(1 + name.len() + version.len()).unwrap());
    wasm.push(u8::try_from(name.len()).unwrap());
    wasm.extend(name);
    wasm.extend(version.bytes());
    fs::write(module, wasm).unwrap();
    folder
}

const SCENARIOS: &str =
    "plugins: [{name: canary_split, config: {splits: [{name: a, arms: [{value: v1, weight: 1}]}]}}]
upstreams: {v1: {}}
scenarios: [{name: a, send: {}, expect: {status: 200}}]
";

#[test]
fn what_is_there_is_printed_and_what_does_not_fit_is_a_finding() {
    let same = modules(env!("CARGO_PKG_VERSION"));
    let ran = meshpack_in(same.path(), &["version", "--modules", "."]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    for expected in [
        "meshpack 0.",
        "modules in .",
        "telemetry 0.",
        "sha256:",
        "1.36.4, 1.37.0",
    ] {
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    }
    fs::remove_file(same.path().join("telemetry.wasm")).unwrap();
    let missing = meshpack_in(same.path(), &["version", "--modules", "."]);
    assert_eq!(missing.code, 1, "{}", missing.out);
    assert!(
        missing.out.contains("problem: ./telemetry.wasm"),
        "{}",
        missing.out
    );

    let none = tempfile::tempdir().unwrap();
    let ran = meshpack_in(none.path(), &["version", "--modules", "."]);
    assert_eq!(ran.code, 1, "{}", ran.out);
}

#[test]
fn older_and_newer_modules_are_said_where_they_are_used() {
    for (version, remedy) in [
        ("0.0.1", "update the modules"),
        ("77.0.0", "update the command"),
    ] {
        let folder = modules(version);
        fs::write(folder.path().join("s.yaml"), SCENARIOS).unwrap();
        let says = |words: &[&str], code: i32| {
            let ran = meshpack_in(folder.path(), words);
            assert_eq!(ran.code, code, "{words:?}: {}{}", ran.out, ran.err);
            let all = ran.out + &ran.err;
            let line = all
                .lines()
                .find(|line| line.contains(version) && line.contains(remedy));
            assert!(line.is_some(), "{words:?}: {all}");
        };
        says(&["version", "--modules", "."], 1);
        says(&["bundle", "--modules", "."], 0);
        says(&["verify", "--modules", ".", "s.yaml"], 0);
    }
}
