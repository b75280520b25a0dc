//! What a proxy has loaded, from its own configuration.

use std::collections::{BTreeMap, BTreeSet};

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
    /// What was loaded, with its configuration.
    modules: BTreeMap<String, Value>,
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
            modules: BTreeMap::new(),
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
                let text = &filter["typed_config"]["config"]["configuration"]["value"];
                let config = serde_json::from_str(text.as_str().unwrap_or_default());
                proxy.modules.insert(name, config.unwrap_or_default());
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
        if !self.modules.keys().any(|module| is_plugin(module, &wanted)) {
            return BTreeSet::new();
        }
        let chains = self.chains_with(namespace, name);
        chains.map(|(chain, _)| chain.side).collect()
    }

    /// Whether something else was loaded in the place of a plugin.
    pub fn is_replaced(&self, namespace: &str, name: &str) -> bool {
        let wanted = format!("{namespace}.{name}");
        self.replaced.iter().any(|one| is_plugin(one, &wanted))
    }

    /// Whether a plugin that stands in a chain has this configuration, or something was
    /// loaded in its place. A plugin that is created anew under its former name begins with
    /// what it had, for as long as the former listener drains.
    pub(crate) fn is_configured(&self, namespace: &str, name: &str, config: &Value) -> bool {
        let wanted = format!("{namespace}.{name}");
        self.chains_with(namespace, name).next().is_none()
            || self.is_replaced(namespace, name)
            || self
                .modules
                .iter()
                .any(|(one, has)| is_plugin(one, &wanted) && equal(has, config))
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

/// Whether two values are equal, 5 and 5.0 too.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, value)| b.get(key).is_some_and(|other| equal(value, other));
            a.len() == b.len() && a.iter().all(same)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => one == other,
    }
}
