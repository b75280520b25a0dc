//! What to start, and how.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::{Cluster, EcdsFilter, Listener, literal, merge, workspace_root};
use crate::resolve::Source;
use crate::version::EnvoyVersion;

use super::start::StartError;
use super::{Envoy, start};

/// Where the Envoy comes from.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Environment,
    Version(EnvoyVersion),
    Source(Source),
}

/// An Envoy to be started: a bootstrap, and what goes around it.
///
/// The admin interface is added by itself, on a free port, as is a listener's port.
#[derive(Clone, Debug)]
pub struct EnvoyBuilder {
    pub(crate) bootstrap: Value,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) keep_ports: bool,
    pub(crate) wanted: Wanted,
    pub(crate) concurrency: u32,
    pub(crate) log_level: String,
    pub(crate) component_log_level: Option<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) command_prefix: Vec<String>,
    pub(crate) folder: PathBuf,
    pub(crate) patience: Duration,
    pub(crate) quiet: bool,
}

impl EnvoyBuilder {
    pub(crate) fn new(bootstrap: Value) -> Self {
        Self {
            bootstrap,
            listeners: Vec::new(),
            clusters: Vec::new(),
            keep_ports: false,
            wanted: Wanted::Environment,
            concurrency: 1,
            log_level: "info".to_owned(),
            component_log_level: None,
            args: Vec::new(),
            env: Vec::new(),
            command_prefix: Vec::new(),
            folder: workspace_root(),
            patience: Duration::from_secs(60),
            quiet: false,
        }
    }

    /// Adds a listener.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Adds a cluster.
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// Merges `patch` into the bootstrap: `stats_config`, `node`, `layered_runtime`,
    /// whatever it has. Lists are appended to.
    pub fn merge(mut self, patch: Value) -> Self {
        merge(&mut self.bootstrap, patch);
        self
    }

    /// Changes the bootstrap at will (see [`config::literal`](crate::config::literal)).
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.bootstrap);
        self
    }

    /// Adds regular expressions that cut tags out of stat names
    /// (`stats_config.stats_tags`).
    pub fn stats_tag(self, name: &str, regex: &str) -> Self {
        self.merge(json!({"stats_config": {"stats_tags": [{"tag_name": name, "regex": regex}]}}))
    }

    /// Leaves the ports of a literal bootstrap's listeners as they are written; they
    /// should be [held](crate::Port), and another Envoy does not share them.
    pub fn keep_ports(mut self) -> Self {
        self.keep_ports = true;
        self
    }

    /// How many worker threads; 1 unless set.
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// Another version than the environment's; an `ENVOY_BIN` is taken all the same.
    pub fn version(mut self, version: EnvoyVersion) -> Self {
        self.wanted = Wanted::Version(version);
        self
    }

    /// Exactly this Envoy, whatever the environment says.
    pub fn source(mut self, source: Source) -> Self {
        self.wanted = Wanted::Source(source);
        self
    }

    /// Envoy's `--log-level`; `info` unless set.
    pub fn log_level(mut self, level: impl Into<String>) -> Self {
        self.log_level = level.into();
        self
    }

    /// Envoy's `--component-log-level`, such as `wasm:debug,router:trace`.
    pub fn component_log_level(mut self, levels: impl Into<String>) -> Self {
        self.component_log_level = Some(levels.into());
        self
    }

    /// Adds a command-line argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable for Envoy.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs Envoy under another program, such as `["valgrind", "--tool=callgrind"]`.
    /// Binaries only.
    pub fn command_prefix<S: Into<String>>(mut self, prefix: impl IntoIterator<Item = S>) -> Self {
        self.command_prefix = prefix.into_iter().map(Into::into).collect();
        self
    }

    /// The folder that Envoy runs in, and that relative paths in a literal bootstrap
    /// start from; the workspace root unless set.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// How long Envoy may take to become ready; 60 s unless set.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Prints the log only after a panic: for programs that are not tests.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Starts Envoy and waits until it takes requests.
    pub async fn start(self) -> Result<Envoy, StartError> {
        start::start(self).await
    }

    /// The bootstrap as Envoy will read it; `ecds_file` says where the file of a
    /// swappable filter is.
    pub(crate) fn render(&self, ecds_file: impl Fn(&str) -> PathBuf) -> Value {
        let mut bootstrap = self.bootstrap.clone();
        match self.keep_ports {
            true => literal::own_ports(&mut bootstrap),
            false => literal::free_ports(&mut bootstrap),
        }
        let listeners: Vec<Value> = self
            .listeners
            .iter()
            .map(|listener| listener.clone().into_json(&ecds_file))
            .collect();
        let clusters: Vec<Value> = self.clusters.iter().cloned().map(Value::from).collect();
        let resources = [("listeners", listeners), ("clusters", clusters)];
        for (kind, resources) in resources {
            if !resources.is_empty() {
                merge(
                    &mut bootstrap,
                    json!({"static_resources": {kind: resources}}),
                );
            }
        }
        bootstrap["admin"]["address"] =
            json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
        bootstrap
    }

    pub(crate) fn ecds_filters(&self) -> impl Iterator<Item = &EcdsFilter> {
        self.listeners.iter().flat_map(Listener::ecds_filters)
    }
}
