//! Envoy as a container, through `testcontainers`.
//!
//! It shares the host's network, so that it reaches upstreams on 127.0.0.1 and tests
//! reach it there, and sees the files that its configuration names under the same
//! paths. So the engine must run on the machine that the test runs on.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::Value;
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::InspectContainerOptions;
use testcontainers::core::logs::LogFrame;
use testcontainers::core::{AccessMode, Mount};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::runtime::{Builder, Runtime};

use super::builder::EnvoyBuilder;
use super::start::{RunFolder, StartError, arguments};
use crate::config::dist_folder;
use crate::version::EnvoyVersion;

const IMAGE: &str = "envoyproxy/envoy";
const BINARY: &str = "/usr/local/bin/envoy";

/// A running container, removed on drop, or by its reaper should this process die.
pub(crate) struct Container {
    // Dropped before the reaper, which then finds nothing to do.
    container: ContainerAsync<GenericImage>,
    log: PathBuf,
    pid: Option<u32>,
    _reaper: Option<Reaper>,
}

impl Container {
    /// Envoy's process as this machine sees it; `None` if the engine does not tell.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// How it ended, if it has.
    pub(crate) async fn exited(&self) -> io::Result<Option<String>> {
        if self
            .container
            .is_running()
            .await
            .map_err(io::Error::other)?
        {
            return Ok(None);
        }
        // What the log consumer has not brought yet must not be missing from errors.
        let mut log = self
            .container
            .stdout_to_vec()
            .await
            .map_err(io::Error::other)?;
        log.extend(
            self.container
                .stderr_to_vec()
                .await
                .map_err(io::Error::other)?,
        );
        fs::write(&self.log, log)?;
        let code = self.container.exit_code().await.map_err(io::Error::other)?;
        Ok(Some(code.map_or("killed".to_owned(), |code| {
            format!("exit status: {code}")
        })))
    }
}

pub(crate) async fn start(
    version: EnvoyVersion,
    builder: &EnvoyBuilder,
    folder: &RunFolder,
    bootstrap: &Value,
) -> Result<Container, StartError> {
    if !builder.command_prefix.is_empty() {
        return Err(StartError::Container(
            "a command prefix needs the binary backend".to_owned(),
        ));
    }
    let log = folder.log();
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(StartError::Files)?;
    let file = Mutex::new(file);
    let name = container_name(folder);
    let user = fs::metadata(folder.path()).map_err(StartError::Files)?;
    let mut request = GenericImage::new(IMAGE, &format!("v{version}"))
        .with_entrypoint(BINARY)
        .with_cmd(arguments(builder, folder))
        .with_container_name(&name)
        .with_network("host")
        // Whoever runs the test must be able to read and remove what Envoy writes.
        .with_user(format!("{}:{}", user.uid(), user.gid()))
        .with_working_dir(builder.folder.to_string_lossy())
        .with_startup_timeout(builder.patience)
        .with_mount(bind(folder.path(), AccessMode::ReadWrite))
        .with_log_consumer(move |frame: &LogFrame| {
            let mut file = file.lock().unwrap_or_else(|e| e.into_inner());
            // A log that cannot be written is no reason to disturb the test.
            let _ = file.write_all(frame.bytes());
        });
    for (name, value) in &builder.env {
        request = request.with_env_var(name, value);
    }
    for path in mounted(builder, folder, bootstrap) {
        request = request.with_mount(bind(&path, AccessMode::ReadOnly));
    }
    let reaper = Reaper::start(&name);
    let started = engine()?.spawn(async move {
        let container = request.start().await?;
        Ok((container, process(&name).await))
    });
    let failed = |error: &dyn std::error::Error| StartError::Container(error.to_string());
    let (container, pid) = started
        .await
        .map_err(|error| failed(&error))?
        .map_err(|error: testcontainers::TestcontainersError| failed(&error))?;
    Ok(Container {
        container,
        log,
        pid,
        _reaper: reaper,
    })
}

/// Where logs are read and containers started, apart from the test's own runtime: a
/// test that waits for a line of the log without yielding would keep it from coming.
fn engine() -> Result<&'static Runtime, StartError> {
    // Made inside: one that another test's made superfluous could not be dropped in
    // a test's own runtime.
    static ENGINE: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("container-engine")
            .enable_all()
            .build()
    });
    engine
        .as_ref()
        .map_err(|error| StartError::Files(io::Error::other(error.to_string())))
}

async fn process(container: &str) -> Option<u32> {
    let docker = Docker::connect_with_defaults().ok()?;
    let inspected = docker
        .inspect_container(container, None::<InspectContainerOptions>)
        .await
        .ok()?;
    let pid = inspected.state?.pid?;
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}

fn container_name(folder: &RunFolder) -> String {
    let name = folder.path().file_name().unwrap_or_default();
    format!("meshpack-{}-{}", std::process::id(), name.to_string_lossy())
}

fn bind(path: &Path, mode: AccessMode) -> Mount {
    let path = path.to_string_lossy().into_owned();
    Mount::bind_mount(path.clone(), path).with_access_mode(mode)
}

/// The built modules and every other file that the configuration names.
fn mounted(builder: &EnvoyBuilder, folder: &RunFolder, bootstrap: &Value) -> BTreeSet<PathBuf> {
    let mut named = BTreeSet::new();
    file_names(bootstrap, &builder.folder, &mut named);
    for filter in builder.ecds_filters() {
        file_names(filter.first.typed_config(), &builder.folder, &mut named);
    }
    let dist = dist_folder();
    named.retain(|path| !path.starts_with(folder.path()) && !path.starts_with(&dist));
    if dist.is_dir() {
        named.insert(dist);
    }
    named
}

fn file_names(config: &Value, folder: &Path, found: &mut BTreeSet<PathBuf>) {
    match config {
        Value::String(text) if text.contains('/') => {
            let path = normal(&folder.join(text));
            if path.is_file() {
                found.insert(path);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| file_names(item, folder, found)),
        Value::Object(fields) => {
            fields
                .values()
                .for_each(|value| file_names(value, folder, found));
        }
        _ => {}
    }
}

/// `a/./b/../c` as `a/c`: the engine wants a plain path.
fn normal(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// A shell that waits for this process to end, however it ends, and removes the
/// container then: what the kernel's parent-death signal is to a binary.
struct Reaper(Child);

impl Reaper {
    /// `None` without a shell; then only an orderly end or a panic cleans up.
    fn start(container: &str) -> Option<Self> {
        // `read` ends when the pipe is closed, which the kernel does for the dead.
        let script = "read -r _; docker rm --force --volumes \"$1\"";
        Command::new("sh")
            .args(["-c", script, "sh", container])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C goes to the test's group and must not end the reaper first.
            .process_group(0)
            .spawn()
            .ok()
            .map(Self)
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // Both fail only if it is already gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
