//! The programs of the control planes, from the cache that `make mesh-tools` fills.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// What a run needs and does not have, in sentences with their remedies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(Vec<String>);

impl Missing {
    pub(crate) fn new(what: String) -> Self {
        Self(vec![what])
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Built from the Go modules in `tools/`.
const BUILT: [&str; 2] = ["kube-apiserver", "kubectl"];

/// Packages of the system: the program, and the package of Debian's that has it.
const INSTALLED: [(&str, &str); 4] = [
    ("etcd", "etcd-server"),
    ("docker-registry", "docker-registry"),
    ("ip", "iproute2"),
    ("setpriv", "util-linux"),
];

/// Files of Istio's that the API reads, beside the programs in the cache.
const FILES: [&str; 1] = ["istio-crds.yaml"];

/// Tells the copy inside the namespaces where the programs are.
const FOLDER: &str = "MESHPACK_MESH_PROGRAMS";

/// Where every program is.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Looks for everything that a mesh needs.
    pub(crate) fn find() -> Result<Self, Missing> {
        let mut missing = Vec::new();
        for (program, package) in INSTALLED {
            if !on_path(program) {
                missing.push(format!("{program} is missing: apt-get install {package}"));
            }
        }
        let folder = cache_folder().unwrap_or_else(|error| {
            missing.push(format!("{error:#}"));
            PathBuf::new()
        });
        for file in BUILT.into_iter().chain(FILES) {
            if !folder.join(file).is_file() {
                missing.push(format!("{file} is not in the cache: run `make mesh-tools`"));
            }
        }
        if missing.is_empty() {
            Ok(Self { folder })
        } else {
            Err(Missing(missing))
        }
    }

    /// What `find` found, for the copy of this program that runs inside.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 1] {
        [(FOLDER, &self.folder)]
    }

    pub(crate) fn from_environment() -> Result<Self> {
        let folder = std::env::var_os(FOLDER).with_context(|| format!("{FOLDER} is not set"))?;
        Ok(Self {
            folder: PathBuf::from(folder),
        })
    }

    /// A program or file in the cache.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A command that runs a program from the cache.
    pub(crate) fn command(&self, name: &str) -> Command {
        Command::new(self.path(name))
    }
}

/// The script that fills the cache knows where it is.
fn cache_folder() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/fill.sh");
    let output = Command::new("bash")
        .arg(script)
        .arg("--where")
        .output()
        .context("bash does not start")?;
    Ok(PathBuf::from(
        String::from_utf8_lossy(&output.stdout).trim(),
    ))
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
