//! The modules in `dist/`: they import what the sdk calls and nothing else, and do not
//! say on whose machine they were built.

use std::path::{Path, PathBuf};

use walrus::Module;

/// What the standard library brings: its message and its end when memory runs out.
const STANDARD: [&str; 5] = [
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proc_exit",
    "random_get",
];

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_owned()
}

/// Every module that ships, and the sdk's example.
fn modules() -> Vec<(String, Vec<u8>)> {
    let dist = workspace().join("dist");
    let folder = std::fs::read_dir(&dist);
    let folder =
        folder.unwrap_or_else(|error| panic!("{}: {error}; run `make build`", dist.display()));
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.push(dist.join("examples/empty.wasm"));
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "wasm")
    });
    assert!(paths.len() >= 6, "run `make build`: {paths:?}");
    let read = |path: PathBuf| (path.display().to_string(), std::fs::read(&path).unwrap());
    paths.into_iter().map(read).collect()
}

#[test]
fn modules_import_what_the_sdk_calls() {
    let abi = std::fs::read_to_string(workspace().join("sdk/src/host/abi.rs")).unwrap();
    for (name, bytes) in modules() {
        let module = Module::from_buffer(&bytes).unwrap();
        for import in module.imports.iter() {
            let known = match import.module.as_str() {
                "env" => abi.contains(&format!("fn {}(", import.name)),
                _ => STANDARD.contains(&import.name.as_str()),
            };
            assert!(known, "{name} imports {}.{}", import.module, import.name);
        }
    }
}

#[test]
fn modules_say_their_version() {
    for (name, bytes) in modules() {
        let module = Module::from_buffer(&bytes).unwrap();
        let version = module
            .customs
            .iter()
            .find(|(_, section)| section.name() == "version");
        let (_, version) = version.unwrap_or_else(|| panic!("{name} says no version"));
        let version = version.data(&walrus::IdsToIndices::default());
        assert_eq!(&*version, env!("CARGO_PKG_VERSION").as_bytes(), "{name}");
    }
}

#[test]
fn modules_hold_no_path_of_this_machine() {
    let mut folders = vec![workspace()];
    folders.extend(std::env::var_os("HOME").map(PathBuf::from));
    folders.extend(std::env::var_os("CARGO_HOME").map(PathBuf::from));
    for (name, bytes) in modules() {
        for folder in &folders {
            let path = format!("{}/", folder.display());
            let found = bytes
                .windows(path.len())
                .any(|part| part == path.as_bytes());
            assert!(!found, "{name} holds {path}");
        }
    }
}
