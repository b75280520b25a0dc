//! The programs of the control planes, from the cache that `make mesh-tools` fills.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use meshpack_harness::Source;

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

/// Packages of the system: the program, and the package of Debian's that has it.
const INSTALLED: [(&str, &str); 6] = [
    ("etcd", "etcd-server"),
    ("docker-registry", "docker-registry"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("setpriv", "util-linux"),
    ("nsenter", "util-linux"),
];

/// Tells the copy inside the namespaces where the programs are.
const PROGRAMS: &str = "MESHPACK_MESH_PROGRAMS";

/// The name of the stock Envoy among the programs.
pub(crate) const ENVOY: &str = "envoy";

/// Where every program and file of the control planes is.
#[derive(Clone, Debug)]
pub struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// Looks for everything that a mesh needs.
    pub(crate) fn find() -> Result<Self, Missing> {
        let mut missing = Vec::new();
        for (program, package) in INSTALLED {
            if !on_path(program) {
                missing.push(format!("{program} is missing: apt-get install {package}"));
            }
        }
        let mut paths = cached().unwrap_or_else(|error| {
            missing.push(format!("{error:#}"));
            BTreeMap::new()
        });
        for (name, path) in &paths {
            if !path.is_file() {
                missing.push(format!("{name} is not in the cache: run `make mesh-tools`"));
            }
        }
        match Source::from_env() {
            Ok(Source::Binary(path)) => {
                paths.insert(ENVOY.to_owned(), path);
            }
            Ok(Source::Container(_)) => {
                missing.push("a mesh needs Envoy as a binary: unset ENVOY_BACKEND".to_owned());
            }
            Err(error) => missing.push(format!("Envoy: {error}")),
        }
        if missing.is_empty() {
            Ok(Self(paths))
        } else {
            Err(Missing(missing))
        }
    }

    /// What `find` found, for the copy of this program that runs inside.
    pub(crate) fn environment(&self) -> [(&'static str, String); 1] {
        let paths = serde_json::json!(self.0).to_string();
        [(PROGRAMS, paths)]
    }

    pub(crate) fn from_environment() -> Result<Self> {
        let paths = std::env::var(PROGRAMS).with_context(|| format!("{PROGRAMS} is not set"))?;
        Ok(Self(serde_json::from_str(&paths)?))
    }

    /// A program or file.
    pub(crate) fn path<'a>(&'a self, name: &'a str) -> &'a Path {
        self.0.get(name).map_or(Path::new(name), PathBuf::as_path)
    }

    /// A command that runs a program.
    pub(crate) fn command(&self, name: &str) -> Command {
        Command::new(self.path(name))
    }
}

/// The script that fills the cache knows what there is to have, and where.
fn cached() -> Result<BTreeMap<String, PathBuf>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/fill.sh");
    let output = Command::new("bash")
        .arg(script)
        .arg("--list")
        .output()
        .context("bash does not start")?;
    let text = String::from_utf8(output.stdout)?;
    let entries = text.lines().filter_map(|line| line.split_once(' '));
    Ok(entries
        .map(|(name, path)| (name.to_owned(), PathBuf::from(path)))
        .collect())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
