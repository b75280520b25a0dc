//! Upstreams and an Envoy in front of them, as a scenario wants them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use meshpack_harness::config::literal;
use meshpack_harness::envoy::EnvoyBuilder;
use meshpack_harness::{
    Behavior, Certificates, Client, Cluster, Envoy, Identity, Listener, Port, ServerTls,
    StartError, Upstream, WasmFilter,
};
use meshpack_sdk::metrics::label;
use serde_json::{Value, json};

use super::{access, hops};
use crate::verify::suite::Scenario;
use crate::verify::suite::expect::Series;
use crate::verify::suite::setup::{Config, Filter};
use crate::verify::suite::traffic::Traffic;
use crate::verify::suite::upstream::Conduct;

/// The listener for clients without a certificate.
const PLAIN: &str = "plain";
/// The listener for clients with one.
const MUTUAL: &str = "mutual-tls";
/// What Istio gives every cluster; Envoy's own default allows three retries at a time.
const NO_LIMIT: u32 = u32::MAX;
/// The name in the server's certificate.
const SERVER: &str = "localhost";

/// A scenario's Envoy and upstreams, running.
pub(crate) struct Stage {
    pub(crate) envoy: Envoy,
    upstreams: Vec<Upstream>,
    down: BTreeSet<String>,
    listener: String,
    certificates: Option<Certificates>,
    identities: BTreeMap<String, Identity>,
    /// Holds the ports of listeners that the bootstrap's own clusters call.
    _hops: Vec<Port>,
}

/// A scenario that could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// There is no Envoy at all: no scenario can run.
    #[error("{0}")]
    NoEnvoy(String),
    /// This scenario's Envoy did not start, or does not fit the scenario.
    #[error("{0}")]
    Refused(String),
}

impl StageError {
    fn refused(reason: impl ToString) -> Self {
        Self::Refused(reason.to_string())
    }
}

impl From<StartError> for StageError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Resolve(_) | StartError::Run { .. } | StartError::Container(_) => {
                Self::NoEnvoy(error.to_string())
            }
            StartError::NoContainers => Self::NoEnvoy(
                "this meshpack runs no containers: install it with `--features container`".into(),
            ),
            StartError::Exited { ref log, .. } => Self::Refused(refusal(log, &error)),
            other => Self::refused(other),
        }
    }
}

impl Stage {
    /// Starts everything; `pick` says which Envoy.
    pub(crate) async fn set(
        scenario: &Scenario,
        folder: &Path,
        pick: impl Fn(EnvoyBuilder) -> EnvoyBuilder,
    ) -> Result<Self, StageError> {
        let mut upstreams = Vec::new();
        for upstream in &scenario.setup.upstreams {
            let server = Upstream::start_with(&upstream.name, Behavior::echo()).await;
            upstreams.push(server.map_err(StageError::refused)?);
        }
        let (certificates, identities) = identities(scenario)?;
        let mut hops = Vec::new();
        let builder = match &scenario.setup.config {
            Config::Bootstrap { file, .. } => {
                let (builder, ports) = from_bootstrap(file, &upstreams)?;
                hops = ports;
                builder
            }
            Config::Made {
                filters,
                routes,
                manager,
            } => {
                let mut builder = Envoy::builder();
                for (upstream, server) in scenario.setup.upstreams.iter().zip(&upstreams) {
                    builder = builder.cluster(cluster(upstream, server));
                }
                let tls = match &certificates {
                    Some(certificates) => Some(server_tls(certificates)?),
                    None => None,
                };
                for (name, tls) in [(PLAIN, None), (MUTUAL, tls)] {
                    if name == MUTUAL && tls.is_none() {
                        continue;
                    }
                    builder = builder.listener(listener(name, tls, filters, routes, manager));
                }
                builder
            }
        };
        let tags = tags(scenario);
        let builder = builder
            .quiet()
            .folder(folder)
            .concurrency(scenario.setup.workers)
            .edit(|bootstrap| add_tags(bootstrap, &tags));
        let envoy = pick(builder).start().await?;
        let listener = listener_name(&envoy, &scenario.setup.config)?;
        let mut stage = Self {
            envoy,
            upstreams,
            down: BTreeSet::new(),
            listener,
            certificates,
            identities,
            _hops: hops,
        };
        for upstream in &scenario.setup.upstreams {
            let changed = stage.change(&upstream.name, &upstream.conduct).await;
            changed.map_err(StageError::refused)?;
        }
        Ok(stage)
    }

    pub(crate) fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// Makes an upstream behave otherwise.
    pub(crate) async fn change(&mut self, name: &str, to: &Conduct) -> std::io::Result<()> {
        let Some(upstream) = self.upstreams.iter().find(|u| u.name() == name) else {
            return Ok(());
        };
        match to.script() {
            Some(script) => {
                upstream.set(script);
                if self.down.remove(name) {
                    upstream.restart().await?;
                }
            }
            None => {
                upstream.stop().await;
                self.down.insert(name.to_owned());
            }
        }
        Ok(())
    }

    /// A client as the traffic wants it.
    pub(crate) fn client(&self, traffic: &Traffic) -> Result<Client, StageError> {
        let identity = traffic.principal.as_ref();
        let identity = identity.and_then(|principal| self.identities.get(principal));
        let listener = match identity {
            Some(_) => MUTUAL,
            None => self.listener.as_str(),
        };
        let mut client = if traffic.http2 {
            self.envoy.client_http2(listener)
        } else {
            self.envoy.client(listener)
        };
        if let (Some(identity), Some(certificates)) = (identity, &self.certificates) {
            let tls = certificates
                .client_tls(Some(identity))
                .map_err(StageError::refused)?;
            client = client.tls(tls, SERVER);
        }
        if let Some(from) = traffic.from {
            client = client.from_ip(from);
        }
        Ok(client.timeout(traffic.timeout))
    }
}

fn identities(
    scenario: &Scenario,
) -> Result<(Option<Certificates>, BTreeMap<String, Identity>), StageError> {
    let principals: BTreeSet<&String> = scenario
        .steps
        .iter()
        .filter_map(|step| step.traffic.as_ref()?.principal.as_ref())
        .collect();
    if principals.is_empty() {
        return Ok((None, BTreeMap::new()));
    }
    let certificates = Certificates::new().map_err(StageError::refused)?;
    let mut identities = BTreeMap::new();
    for principal in principals {
        let identity = certificates.issue(&[principal]);
        identities.insert(principal.clone(), identity.map_err(StageError::refused)?);
    }
    Ok((Some(certificates), identities))
}

fn server_tls(certificates: &Certificates) -> Result<ServerTls, StageError> {
    let server = certificates.issue(&[SERVER]).map_err(StageError::refused)?;
    Ok(certificates.mutual_tls(&server))
}

fn cluster(upstream: &crate::verify::suite::upstream::Upstream, server: &Upstream) -> Cluster {
    let patch = upstream.cluster.clone().unwrap_or_else(|| json!({}));
    let mut cluster = Cluster::new(&upstream.name).endpoint(server.address());
    if upstream.http2 {
        cluster = cluster.http2();
    }
    if patch.get("circuit_breakers").is_none() {
        cluster = cluster.merge(json!({"circuit_breakers": {"thresholds": [{
            "max_connections": NO_LIMIT,
            "max_pending_requests": NO_LIMIT,
            "max_requests": NO_LIMIT,
            "max_retries": NO_LIMIT,
        }]}}));
    }
    cluster.merge(patch)
}

fn listener(
    name: &str,
    tls: Option<ServerTls>,
    filters: &[Filter],
    routes: &[Value],
    manager: &Option<Value>,
) -> Listener {
    let mut listener = Listener::new(name).merge_manager(json!({
        "access_log": [access::logger()],
    }));
    for filter in filters {
        listener = match filter {
            Filter::Envoy(filter) => listener.filter(filter.clone()),
            Filter::Plugin(plugin) => {
                let mut wasm = WasmFilter::new(&plugin.name, &plugin.module)
                    .failure_policy(plugin.failure_policy);
                if let Some(config) = &plugin.config {
                    wasm = wasm.config_text(config);
                }
                listener.filter(wasm)
            }
        };
    }
    for route in routes {
        listener = listener.route(route.clone());
    }
    if let Some(patch) = manager {
        listener = listener.merge_manager(patch.clone());
    }
    match tls {
        Some(tls) => listener.tls(tls),
        None => listener,
    }
}

fn from_bootstrap(
    file: &Path,
    upstreams: &[Upstream],
) -> Result<(EnvoyBuilder, Vec<Port>), StageError> {
    let refused = |reason: String| StageError::Refused(format!("{}: {reason}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
    let builder = Envoy::from_bootstrap(&text).map_err(|error| refused(error.to_string()))?;
    let mut missing = Vec::new();
    let mut hops = Ok(Vec::new());
    let builder = builder.edit(|bootstrap| {
        hops = hops::join(bootstrap);
        for upstream in upstreams {
            if !literal::set_endpoints(bootstrap, upstream.name(), &[upstream.address()]) {
                missing.push(upstream.name());
            }
        }
        access::add_to(bootstrap);
    });
    let hops = hops.map_err(|error| refused(error.to_string()))?;
    // Those of a chain know each other by their ports.
    let builder = if hops.is_empty() {
        builder
    } else {
        builder.keep_ports()
    };
    if missing.is_empty() {
        Ok((builder, hops))
    } else {
        Err(refused(format!(
            "there is no cluster for upstream {}; call each upstream as the cluster it stands for",
            missing.join(", ")
        )))
    }
}

fn listener_name(envoy: &Envoy, config: &Config) -> Result<String, StageError> {
    let Config::Bootstrap { listener, .. } = config else {
        return Ok(PLAIN.to_owned());
    };
    let names: Vec<&String> = envoy.listeners().keys().collect();
    let found = match listener {
        Some(name) => names.iter().find(|known| **known == name),
        None => names.first(),
    };
    found.map(|name| (*name).clone()).ok_or_else(|| {
        StageError::refused(format!(
            "the bootstrap has no listener {:?}; it has {names:?}",
            listener.as_deref().unwrap_or_default()
        ))
    })
}

/// The labels that expectations speak of, so that Prometheus names are free of them.
fn tags(scenario: &Scenario) -> BTreeSet<&str> {
    let metrics = scenario.steps.iter().flat_map(|step| &step.expect.metrics);
    metrics
        .flat_map(|metric| match &metric.series {
            Series::Labelled { labels, .. } => labels.as_slice(),
            Series::Stat(_) => &[],
        })
        .map(|(label, _)| label.as_str())
        .collect()
}

/// Adds the tags that a bootstrap does not have; Envoy refuses one twice.
fn add_tags(bootstrap: &mut Value, labels: &BTreeSet<&str>) {
    if labels.is_empty() {
        return;
    }
    let tags = &mut bootstrap["stats_config"]["stats_tags"];
    if !tags.is_array() {
        *tags = Value::Array(Vec::new());
    }
    let Value::Array(tags) = tags else { return };
    for label in labels {
        if !tags.iter().any(|tag| tag["tag_name"] == *label) {
            let regex = label::extractor(label);
            tags.push(json!({"tag_name": label, "regex": regex}));
        }
    }
}

/// Why Envoy did not start: what its plugins complained about, else what it did.
fn refusal(log: &str, error: &StartError) -> String {
    let mut complaints: Vec<&str> = Vec::new();
    for line in log.lines() {
        let Some((_, words)) = line.split_once("] wasm log") else {
            continue;
        };
        let from_plugin = line.contains("][error][wasm]") || line.contains("][critical][wasm]");
        let words = words.split_once(": ").map_or(words, |(_, words)| words);
        // Envoy configures a plugin once per thread.
        if from_plugin && !complaints.contains(&words) {
            complaints.push(words);
        }
    }
    if complaints.is_empty() {
        error.to_string()
    } else {
        format!(
            "Envoy does not start with this configuration:\n{}",
            complaints.join("\n")
        )
    }
}
