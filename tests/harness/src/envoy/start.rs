//! Starting Envoy and waiting until it takes requests.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tempfile::TempDir;

use crate::admin::Admin;
use crate::resolve::{ResolveError, Source};

use super::builder::{EnvoyBuilder, Wanted};
use super::log::{LogFile, telling_part};
use super::process::Process;
use super::{Envoy, Running, ecds};

const POLL: Duration = Duration::from_millis(20);

/// The files of one running Envoy, gone when it is.
pub(crate) struct RunFolder(TempDir);

impl RunFolder {
    fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("envoy-").tempdir()?;
        fs::create_dir(folder.path().join("ecds"))?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn bootstrap(&self) -> PathBuf {
        self.path().join("bootstrap.json")
    }

    pub(crate) fn admin_address(&self) -> PathBuf {
        self.path().join("admin")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path().join("envoy.log")
    }

    pub(crate) fn ecds(&self, name: &str) -> PathBuf {
        self.path().join("ecds").join(format!("{name}.json"))
    }
}

pub(crate) async fn start(builder: EnvoyBuilder) -> Result<Envoy, StartError> {
    let source = resolve(builder.wanted.clone()).await?;
    let folder = RunFolder::new().map_err(StartError::Files)?;
    let bootstrap = builder.render(|name| folder.ecds(name));
    fs::write(folder.bootstrap(), bootstrap.to_string()).map_err(StartError::Files)?;
    for filter in builder.ecds_filters() {
        ecds::write(&folder.ecds(&filter.name), &filter.name, &filter.first, 0)
            .map_err(StartError::Files)?;
    }
    let log = LogFile::new(folder.log());
    let running = match &source {
        Source::Binary(path) => binary(path, &builder, &folder, &log)?,
        Source::Container(version) => container(*version, &builder, &folder, &bootstrap).await?,
    };
    let ready = tokio::time::timeout(builder.patience, ready(&folder, &running, &log)).await;
    let (admin, listeners) = match ready {
        Ok(result) => result?,
        Err(_) => {
            return Err(StartError::NotReady {
                after: builder.patience,
                log: log.text(),
            });
        }
    };
    let swaps = AtomicU64::new(0);
    let quiet = builder.quiet;
    Ok(Envoy {
        running,
        folder,
        log,
        admin,
        listeners,
        swaps,
        quiet,
    })
}

async fn resolve(wanted: Wanted) -> Result<Source, StartError> {
    let resolve = move || match wanted {
        Wanted::Environment => Source::from_env(),
        Wanted::Version(version) => Source::for_version(version),
        Wanted::Source(source) => Ok(source),
    };
    let resolved = tokio::task::spawn_blocking(resolve).await;
    Ok(resolved.map_err(|error| StartError::Files(io::Error::other(error)))??)
}

/// The arguments that every Envoy gets, as binary and in a container.
pub(crate) fn arguments(builder: &EnvoyBuilder, folder: &RunFolder) -> Vec<String> {
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let mut arguments = vec![
        "-c".to_owned(),
        path(folder.bootstrap()),
        "--admin-address-path".to_owned(),
        path(folder.admin_address()),
        "--concurrency".to_owned(),
        builder.concurrency.to_string(),
        "--log-level".to_owned(),
        builder.log_level.clone(),
        // Hot restart claims a shared-memory name, on which parallel tests would collide.
        "--disable-hot-restart".to_owned(),
        // File discovery asks for a node; a bootstrap that has one of its own wins.
        "--service-node".to_owned(),
        "test".to_owned(),
        "--service-cluster".to_owned(),
        "test".to_owned(),
        "--file-flush-interval-msec".to_owned(),
        "50".to_owned(),
    ];
    if let Some(levels) = &builder.component_log_level {
        arguments.extend(["--component-log-level".to_owned(), levels.clone()]);
    }
    arguments.extend(builder.args.iter().cloned());
    arguments
}

fn binary(
    path: &Path,
    builder: &EnvoyBuilder,
    folder: &RunFolder,
    log: &LogFile,
) -> Result<Running, StartError> {
    let mut words = builder.command_prefix.iter();
    let mut command = match words.next() {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(words).arg(path);
            command
        }
        None => Command::new(path),
    };
    command
        .args(arguments(builder, folder))
        .envs(builder.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&builder.folder);
    let file = File::create(log.path()).map_err(StartError::Files)?;
    let program = command.get_program().to_string_lossy().into_owned();
    Process::start(command, file)
        .map(Running::Binary)
        .map_err(|source| StartError::Run { program, source })
}

#[cfg(feature = "container")]
async fn container(
    version: crate::EnvoyVersion,
    builder: &EnvoyBuilder,
    folder: &RunFolder,
    bootstrap: &serde_json::Value,
) -> Result<Running, StartError> {
    super::container::start(version, builder, folder, bootstrap)
        .await
        .map(|container| Running::Container(Box::new(container)))
}

#[cfg(not(feature = "container"))]
async fn container(
    _: crate::EnvoyVersion,
    _: &EnvoyBuilder,
    _: &RunFolder,
    _: &serde_json::Value,
) -> Result<Running, StartError> {
    Err(StartError::NoContainers)
}

/// The admin interface and the listeners, once requests are taken; the caller sets
/// the time limit.
async fn ready(
    folder: &RunFolder,
    running: &Running,
    log: &LogFile,
) -> Result<(Admin, BTreeMap<String, SocketAddr>), StartError> {
    let mut admin = None;
    loop {
        if let Some(status) = running.exited().await.map_err(StartError::Files)? {
            return Err(StartError::Exited {
                status,
                log: log.text(),
            });
        }
        if admin.is_none() {
            let written = fs::read_to_string(folder.admin_address()).unwrap_or_default();
            admin = written.trim().parse().ok().map(Admin::new);
        }
        if let Some(admin) = &admin
            && admin.is_live().await
            && let Ok(listeners) = admin.listeners().await
        {
            return Ok((admin.clone(), listeners));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Envoy does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no Envoy.
    #[error("{0}")]
    Resolve(#[from] ResolveError),
    /// The temporary folder failed.
    #[error("cannot write Envoy's files ({0}); free space in the temporary folder")]
    Files(#[source] io::Error),
    /// The program is not there or does not run here.
    #[error("cannot run {program} ({source}); check the path and that it is made for this machine")]
    Run {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// Containers were asked for and not compiled in.
    #[error(
        "ENVOY_BACKEND=container: build the tests with the feature `container` of meshpack-harness"
    )]
    NoContainers,
    /// The container engine failed.
    #[error(
        "cannot start the Envoy container ({0}); check that a Docker engine runs and can get the image, or make it with envoy-image.sh"
    )]
    Container(String),
    /// Envoy ended by itself, as it does when it refuses its configuration.
    #[error("Envoy ended ({status}) before it was ready:\n{}", telling_part(log))]
    Exited {
        /// Its exit status.
        status: String,
        /// Its whole log.
        log: String,
    },
    /// Envoy runs and never gets ready.
    #[error("Envoy was not ready after {after:?}:\n{}", telling_part(log))]
    NotReady {
        /// How long it was waited for.
        after: Duration,
        /// Its whole log.
        log: String,
    },
}

impl StartError {
    /// Envoy's whole log; empty if it never ran.
    pub fn log(&self) -> &str {
        match self {
            Self::Exited { log, .. } | Self::NotReady { log, .. } => log,
            _ => "",
        }
    }
}
