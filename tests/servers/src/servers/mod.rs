//! The servers: what runs, where it listens, and what could not be had.

mod native;
mod process;
mod programs;
mod site;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use process::ServerProcess;
pub use site::Site;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port that the server chose, or that is held for it.
    Tcp(SocketAddr),
    /// A Unix socket in the folder of this run.
    Unix(PathBuf),
}

/// A server with a guarded resource; several may live in one process.
#[derive(Clone, Debug)]
pub struct Server {
    /// What it is and how it finds the resource, such as `Flask routes`.
    pub name: String,
    /// Its version, as it says itself.
    pub version: String,
    /// Where it listens.
    pub address: Address,
    /// Whether it is to get every request on a connection of its own.
    pub one_request: bool,
}

impl Server {
    fn new(name: &str, version: &str, address: Address) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            address,
            one_request: false,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.version)
    }
}

/// All servers that this machine has, until it is dropped.
pub struct Servers {
    /// Those that run.
    pub running: Vec<Server>,
    /// Those that do not, with the reason.
    pub missing: Vec<(String, String)>,
    /// What they serve.
    pub site: Site,
    _processes: Vec<ServerProcess>,
    _folder: tempfile::TempDir,
}

/// A program that has been started.
pub(crate) struct Started {
    pub(crate) servers: Vec<Server>,
    pub(crate) missing: Vec<(String, String)>,
    pub(crate) process: ServerProcess,
}

/// What a start came to: a program that is not installed is no error.
pub(crate) enum Outcome {
    Started(Started),
    Missing(String),
}

/// Where a program finds things, and where it may write.
pub(crate) struct Place<'a> {
    /// What `install.sh` filled.
    pub(crate) cache: &'a Path,
    /// Of this run.
    pub(crate) folder: &'a Path,
    pub(crate) site: &'a Site,
}

impl Servers {
    /// Starts every server that is installed and waits until they take connections.
    ///
    /// # Errors
    /// If one that is installed does not start: that is a fault of this crate.
    pub fn start() -> Result<Self> {
        // Short: the path of a Unix socket has at most 107 bytes.
        let folder = tempfile::Builder::new()
            .prefix("meshpack-servers-")
            .tempdir()?;
        let path = folder.path().to_owned();
        let site = Site::write(&path.join("site"))?;
        let cache = cache()?;
        let place = Place {
            cache: &cache,
            folder: &path,
            site: &site,
        };
        let mut servers = Self {
            running: Vec::new(),
            missing: Vec::new(),
            _processes: Vec::new(),
            site: site.clone(),
            _folder: folder,
        };
        let starting: Vec<_> = programs::launch(&place)?
            .into_iter()
            .map(|(name, launched)| (name, launched.map(programs::Launched::wait)))
            .collect();
        for (name, outcome) in starting {
            match outcome {
                Ok(started) => servers.add(started.with_context(|| format!("starting {name}"))?),
                Err(why) => servers.missing.push((name, why)),
            }
        }
        let application = servers
            .running
            .iter()
            .find(|server| server.name == "Express routes");
        let application = application.map(|server| server.address.clone());
        for (name, start) in native::ALL {
            match start(&place, application.as_ref()).with_context(|| format!("starting {name}"))? {
                Outcome::Started(started) => servers.add(started),
                Outcome::Missing(why) => servers.missing.push(((*name).to_owned(), why)),
            }
        }
        Ok(servers)
    }

    fn add(&mut self, started: Started) {
        self.running.extend(started.servers);
        self.missing.extend(started.missing);
        self._processes.push(started.process);
    }
}

/// What `install.sh` fills: `MESHPACK_SERVERS`, or a folder in the user's cache.
fn cache() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("MESHPACK_SERVERS") {
        return Ok(folder.into());
    }
    let base = match variable("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(variable("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    Ok(base.join("meshpack/servers"))
}

/// The folder with the servers' programs.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}
