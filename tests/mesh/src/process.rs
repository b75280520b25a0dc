//! Processes of the mesh. None is ever waited for at the end: the namespace ends them.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use crate::node::HOME;

/// How long something may take to get ready; only a broken start takes so long.
const START: Duration = Duration::from_secs(180);

/// What a command that ran to its end said.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whether it ended with 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Both outputs.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A server of the mesh, with a log of its own.
pub(crate) struct Server {
    name: String,
    child: std::process::Child,
}

impl Server {
    /// Starts `command`; its output goes to the log called `name`.
    pub(crate) fn start(name: &str, mut command: Command) -> Result<Self> {
        let log = File::create(log_path(name))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    /// Waits until `ready` says so, unless the process ends before.
    pub(crate) async fn wait(&mut self, ready: impl AsyncFn() -> bool) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            if ready().await {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}):\n{}", self.name, tail(&self.name, 40));
            }
            if Instant::now() > deadline {
                bail!("{} is not ready:\n{}", self.name, tail(&self.name, 40));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Where the output of a process is.
fn log_path(name: &str) -> String {
    format!("{HOME}/log/{name}.log")
}

/// Everything a process has said so far.
pub(crate) fn log(name: &str) -> String {
    let bytes = std::fs::read(log_path(name)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last lines of a process's output.
pub(crate) fn tail(name: &str, lines: usize) -> String {
    let text = log(name);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
