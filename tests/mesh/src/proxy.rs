//! What a proxy has loaded, from its own configuration.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::pod::Pod;

const ADMIN: u16 = 15000;

/// What Istio puts before a plugin's namespace and name.
const PREFIX: &str = "extensions.istio.io/";

/// The side of a proxy on which a filter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// What reaches the workload.
    Inbound,
    /// What leaves it, and everything that passes a gateway.
    Outbound,
}

/// A filter chain's HTTP filters, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The listener's name.
    pub listener: String,
    /// The listener's side.
    pub side: Side,
    /// The filters' names.
    pub filters: Vec<String>,
}

/// The configuration that a proxy works with.
#[derive(Clone, Debug)]
pub struct Proxy {
    chains: Vec<Chain>,
    modules: BTreeSet<String>,
    /// The names of plugins in whose place something else was loaded.
    pub replaced: BTreeSet<String>,
    ports: BTreeSet<u64>,
    warming: bool,
    refused: Vec<String>,
}

impl Proxy {
    /// Asks the proxy of a pod.
    pub async fn of(pod: &Pod) -> Result<Self> {
        let dump = async |resource: &str| {
            let path = format!("/config_dump?resource={resource}");
            let answer = pod.ask(ADMIN, &path).await?;
            // A proxy without a plugin has no such dump.
            if answer.status == 404 && answer.text().contains("not found in config dump") {
                return Ok(Vec::new());
            }
            ensure!(answer.status == 200, "{path}: {}", answer.text());
            let dump: Value = answer.json()?;
            Ok(dump["configs"].as_array().cloned().unwrap_or_default())
        };
        let listeners = dump("dynamic_listeners").await.context("listeners")?;
        let extensions = dump("ecds_filters").await.context("extensions")?;
        let mut proxy = Self {
            chains: Vec::new(),
            modules: BTreeSet::new(),
            replaced: BTreeSet::new(),
            ports: BTreeSet::new(),
            warming: false,
            refused: Vec::new(),
        };
        for listener in &listeners {
            let refused = &listener["error_state"]["details"];
            proxy.refused.extend(refused.as_str().map(str::to_owned));
            proxy.warming |= listener.get("warming_state").is_some();
            let state = listener
                .get("warming_state")
                .or_else(|| listener.get("active_state"));
            if let Some(state) = state {
                proxy.read_listener(&state["listener"]);
            }
        }
        for extension in &extensions {
            let filter = &extension["ecds_filter"];
            let name = filter["name"].as_str().unwrap_or_default().to_owned();
            if filter["typed_config"]
                .to_string()
                .contains("filters.http.wasm.v3")
            {
                proxy.modules.insert(name);
            } else {
                proxy.replaced.insert(name);
            }
        }
        Ok(proxy)
    }

    fn read_listener(&mut self, listener: &Value) {
        let port = &listener["address"]["socket_address"]["port_value"];
        self.ports.extend(port.as_u64());
        let side = match listener["traffic_direction"].as_str() {
            Some("INBOUND") => Side::Inbound,
            _ => Side::Outbound,
        };
        let name = listener["name"].as_str().unwrap_or_default();
        let mut found = Vec::new();
        managers(listener, &mut found);
        self.chains.extend(found.into_iter().map(|filters| Chain {
            listener: name.to_owned(),
            side,
            filters,
        }));
    }

    /// Whether it listens on a port.
    pub(crate) fn listens_on(&self, port: u64) -> bool {
        self.ports.contains(&port)
    }

    /// Why it refused listeners.
    pub(crate) fn refused(&self) -> &[String] {
        &self.refused
    }

    /// Whether a listener still waits for something.
    pub(crate) fn is_warming(&self) -> bool {
        self.warming
    }

    /// The chains in which a plugin of this namespace and name stands.
    pub fn chains_with<'a>(
        &'a self,
        namespace: &str,
        name: &str,
    ) -> impl Iterator<Item = (&'a Chain, usize)> {
        let wanted = format!("{namespace}.{name}");
        self.chains.iter().filter_map(move |chain| {
            let at = |filter: &String| is_plugin(filter, &wanted);
            Some((chain, chain.filters.iter().position(at)?))
        })
    }

    /// The sides on which a plugin runs: it stands in the chain, and its module is there.
    pub fn runs(&self, namespace: &str, name: &str) -> BTreeSet<Side> {
        let wanted = format!("{namespace}.{name}");
        if !self.modules.iter().any(|module| is_plugin(module, &wanted)) {
            return BTreeSet::new();
        }
        let chains = self.chains_with(namespace, name);
        chains.map(|(chain, _)| chain.side).collect()
    }

    /// Whether connections are open to what was replaced: they are served as before.
    pub(crate) async fn is_draining(pod: &Pod) -> Result<bool> {
        let stats = pod.ask(ADMIN, "/stats?filter=_draining$").await?.text();
        let counts: Vec<&str> = stats
            .lines()
            .filter_map(|line| line.strip_prefix("listener_manager.")?.split(": ").last())
            .collect();
        ensure!(counts.len() == 2, "{stats}");
        Ok(counts.iter().any(|count| *count != "0"))
    }

    /// The configuration of every plugin, as it was given.
    pub async fn plugins(pod: &Pod) -> Result<String> {
        Ok(pod
            .ask(ADMIN, "/config_dump?resource=ecds_filters")
            .await?
            .text())
    }
}

/// Whether a filter is a WasmPlugin or TrafficExtension called `NAMESPACE.NAME`.
fn is_plugin(filter: &str, wanted: &str) -> bool {
    let Some(rest) = filter.strip_prefix(PREFIX) else {
        return false;
    };
    let last = rest.rsplit('/').next().unwrap_or_default();
    last.split('~').next() == Some(wanted)
}

/// The HTTP filters' names of every connection manager below `value`.
fn managers(value: &Value, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Array(filters)) = fields.get("http_filters") {
                let name = |filter: &Value| filter["name"].as_str().map(str::to_owned);
                found.push(filters.iter().filter_map(name).collect());
            }
            fields.values().for_each(|value| managers(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| managers(value, found)),
        _ => {}
    }
}
