//! A running Envoy.

mod builder;
#[cfg(feature = "container")]
mod container;
mod ecds;
mod log;
mod process;
mod start;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::admin::{Admin, AdminError};
use crate::client::Client;
use crate::config::{HttpFilter, literal};

use log::LogFile;
use start::RunFolder;

pub use builder::EnvoyBuilder;
pub use ecds::Swap;
pub use process::Process;
pub use start::StartError;

pub(crate) enum Running {
    Binary(Process),
    #[cfg(feature = "container")]
    Container(Box<container::Container>),
}

impl Running {
    /// How it ended, if it has.
    async fn exited(&self) -> io::Result<Option<String>> {
        match self {
            Self::Binary(process) => Ok(process.exited()?.map(|status| status.to_string())),
            #[cfg(feature = "container")]
            Self::Container(container) => container.exited().await,
        }
    }
}

/// A stock Envoy that takes requests, until it is dropped.
///
/// Dropping it kills it, and so does the end of the test process however it comes.
/// The end of its log is printed then, which the test runner shows for tests that
/// fail, by a panic or by an error (see [`EnvoyBuilder::quiet`]).
pub struct Envoy {
    running: Running,
    folder: RunFolder,
    log: LogFile,
    admin: Admin,
    listeners: BTreeMap<String, SocketAddr>,
    swaps: AtomicU64,
    quiet: bool,
}

impl Envoy {
    /// An Envoy to be configured piece by piece.
    pub fn builder() -> EnvoyBuilder {
        EnvoyBuilder::new(json!({}))
    }

    /// An Envoy with a literal bootstrap, YAML or JSON.
    pub fn from_bootstrap(text: &str) -> Result<EnvoyBuilder, literal::LiteralError> {
        literal::parse(text).map(EnvoyBuilder::new)
    }

    /// The address of listener `name`.
    ///
    /// # Panics
    /// If there is no such listener.
    pub fn address(&self, name: &str) -> SocketAddr {
        match self.listeners.get(name) {
            Some(address) => *address,
            None => panic!(
                "no listener `{name}`; there are {:?}",
                self.listeners.keys().collect::<Vec<_>>()
            ),
        }
    }

    /// An HTTP/1.1 client for listener `name`.
    ///
    /// # Panics
    /// If there is no such listener.
    pub fn client(&self, name: &str) -> Client {
        Client::http1(self.address(name))
    }

    /// An HTTP/2 client for listener `name`.
    ///
    /// # Panics
    /// If there is no such listener.
    pub fn client_http2(&self, name: &str) -> Client {
        Client::http2(self.address(name))
    }

    /// The listeners by name.
    pub fn listeners(&self) -> &BTreeMap<String, SocketAddr> {
        &self.listeners
    }

    /// The admin interface: stats, Prometheus, configuration, memory.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The value of counter or gauge `name`; `None` before it exists.
    pub async fn stat(&self, name: &str) -> Result<Option<u64>, AdminError> {
        self.admin.stat(name).await
    }

    /// Waits until `condition` holds for counter or gauge `name` (0 before it exists)
    /// and returns its value.
    pub async fn wait_for_stat(
        &self,
        name: &str,
        limit: Duration,
        condition: impl Fn(u64) -> bool,
    ) -> Result<u64, AdminError> {
        self.admin.wait_for_stat(name, limit, condition).await
    }

    /// The process; under a command prefix the prefix's. `None` if a container engine
    /// does not tell.
    pub fn pid(&self) -> Option<u32> {
        match &self.running {
            Running::Binary(process) => Some(process.pid()),
            #[cfg(feature = "container")]
            Running::Container(container) => container.pid(),
        }
    }

    /// Envoy's temporary folder: configuration, log and discovery files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The log so far, access logs to stdout or stderr included.
    ///
    /// A container's output takes a moment through its engine; so this waits, for a
    /// second at most, until nothing more comes.
    pub fn log(&self) -> String {
        match &self.running {
            Running::Binary(_) => self.log.text(),
            #[cfg(feature = "container")]
            Running::Container(_) => self.log.settled(),
        }
    }

    /// Whether `text` is in the log.
    pub fn log_contains(&self, text: &str) -> bool {
        self.log().contains(text)
    }

    /// Waits until `text` is in the log; false if it is not within `limit`.
    pub async fn wait_for_log(&self, text: &str, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if self.log_contains(text) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether Envoy still runs.
    pub async fn is_running(&self) -> bool {
        matches!(self.running.exited().await, Ok(None))
    }

    /// Replaces the swappable filter `name` and waits until Envoy has taken or refused
    /// the new configuration. Requests in flight keep the old one.
    pub async fn swap_filter_config(
        &self,
        name: &str,
        filter: impl Into<HttpFilter>,
    ) -> Result<Swap, AdminError> {
        let file = self.folder.ecds(name);
        if !file.exists() {
            return Err(AdminError::Other(format!(
                "there is no swappable filter `{name}`; add it to a listener with `swappable_filter`"
            )));
        }
        let before = self.swap_counts(name).await?;
        let version = self.swaps.fetch_add(1, Ordering::SeqCst) + 1;
        ecds::write(&file, name, &filter.into(), version)
            .map_err(|error| AdminError::Other(format!("cannot write filter `{name}`: {error}")))?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let now = self.swap_counts(name).await?;
            if now.0 > before.0 {
                return Ok(Swap::Accepted);
            }
            if now.1 > before.1 {
                return Ok(Swap::Rejected);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(AdminError::Other(format!(
            "Envoy has not looked at the new configuration of `{name}` within 30 s"
        )))
    }

    /// How many configurations of filter `name` were taken and refused so far.
    async fn swap_counts(&self, name: &str) -> Result<(u64, u64), AdminError> {
        let prefix = format!("extension_config_discovery.http_filter.{name}.");
        let stats = self.admin.stats_starting_with(&prefix).await?;
        let sum = |end| {
            let ending = stats.iter().filter(|(name, _)| name.ends_with(end));
            ending.map(|(_, count)| count).sum::<u64>()
        };
        // Not `config_reload`: that counts configurations that are refused later, too.
        Ok((
            sum(".update_success"),
            sum(".config_fail") + sum(".update_rejected"),
        ))
    }

    /// Asks Envoy to end, as an operator would, and waits until it has.
    pub async fn quit(&self, limit: Duration) -> Result<String, AdminError> {
        // The answer may be cut off by what it announces.
        let _ = self.admin.post("/quitquitquit").await;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.running.exited().await {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(AdminError::Other(format!(
            "Envoy still runs {limit:?} after it was asked to quit"
        )))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if !self.quiet || std::thread::panicking() {
            eprintln!(
                "--- the end of Envoy's log ---\n{}",
                log::last_lines(&self.log(), 200)
            );
        }
    }
}
