//! Envoy's admin interface.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::client::{Client, ClientError, Request};
use crate::prometheus::Samples;

/// The admin interface of a running Envoy.
#[derive(Clone)]
pub struct Admin {
    address: SocketAddr,
    client: Client,
}

impl Admin {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let client = Client::http1(address).timeout(Duration::from_secs(60));
        Self {
            address,
            client: client.connection_per_request(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `GET path`, the answer as text.
    pub async fn get(&self, path: &str) -> Result<String, AdminError> {
        self.ask(Request::get(path), path).await
    }

    /// `POST path`, the answer as text.
    pub async fn post(&self, path: &str) -> Result<String, AdminError> {
        self.ask(Request::post(path, ""), path).await
    }

    /// `GET path`, the answer as JSON.
    pub async fn json(&self, path: &str) -> Result<Value, AdminError> {
        let text = self.get(path).await?;
        serde_json::from_str(&text)
            .map_err(|error| AdminError::Other(format!("admin {path}: {error}")))
    }

    /// All counters and gauges.
    pub async fn stats(&self) -> Result<BTreeMap<String, u64>, AdminError> {
        Ok(counters(&self.get("/stats").await?))
    }

    /// The counters and gauges whose names begin with `prefix`.
    pub async fn stats_starting_with(
        &self,
        prefix: &str,
    ) -> Result<BTreeMap<String, u64>, AdminError> {
        let filter = format!("/stats?filter=^{}", in_query(prefix));
        Ok(counters(&self.get(&filter).await?))
    }

    /// The value of counter or gauge `name`; `None` before it exists.
    pub async fn stat(&self, name: &str) -> Result<Option<u64>, AdminError> {
        let filter = format!("/stats?filter=^{}$", in_query(name));
        Ok(counters(&self.get(&filter).await?).get(name).copied())
    }

    /// Waits until `condition` holds for counter or gauge `name` (0 before it exists)
    /// and returns its value.
    pub async fn wait_for_stat(
        &self,
        name: &str,
        limit: Duration,
        condition: impl Fn(u64) -> bool,
    ) -> Result<u64, AdminError> {
        let deadline = Instant::now() + limit;
        loop {
            let value = self.stat(name).await?.unwrap_or(0);
            if condition(value) {
                return Ok(value);
            }
            if Instant::now() >= deadline {
                return Err(AdminError::Other(format!(
                    "{name} is still {value} after {limit:?}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What Prometheus would scrape.
    pub async fn prometheus(&self) -> Result<Samples, AdminError> {
        Ok(Samples::parse(&self.get("/stats/prometheus").await?))
    }

    /// The effective configuration.
    pub async fn config_dump(&self) -> Result<Value, AdminError> {
        self.json("/config_dump").await
    }

    /// The allocator's view of memory, bytes by name (`allocated`, `heap_size`, ...).
    pub async fn memory(&self) -> Result<BTreeMap<String, u64>, AdminError> {
        let memory = self.json("/memory").await?;
        let bytes = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let fields = memory.as_object().into_iter().flatten();
        Ok(fields
            .filter_map(|(name, value)| Some((name.clone(), bytes(value)?)))
            .collect())
    }

    /// The version as Envoy states it, such as `1.40.0`.
    pub async fn version(&self) -> Result<String, AdminError> {
        let info = self.json("/server_info").await?;
        let version = info["version"]
            .as_str()
            .and_then(|text| text.split('/').nth(1));
        version
            .map(str::to_owned)
            .ok_or_else(|| AdminError::Other("admin /server_info names no version".to_owned()))
    }

    pub(crate) async fn is_live(&self) -> bool {
        self.get("/ready")
            .await
            .is_ok_and(|text| text.trim() == "LIVE")
    }

    /// The addresses that listeners took, by name.
    pub(crate) async fn listeners(&self) -> Result<BTreeMap<String, SocketAddr>, AdminError> {
        let all = self.json("/listeners?format=json").await?;
        let listeners = all["listener_statuses"].as_array().into_iter().flatten();
        Ok(listeners
            .filter_map(|listener| {
                let name = listener["name"].as_str()?.to_owned();
                let socket = &listener["local_address"]["socket_address"];
                let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
                let ip: std::net::IpAddr = socket["address"].as_str()?.parse().ok()?;
                // A wildcard address is no address to connect to.
                let ip = if ip.is_unspecified() {
                    [127, 0, 0, 1].into()
                } else {
                    ip
                };
                Some((name, SocketAddr::new(ip, port)))
            })
            .collect())
    }

    async fn ask(&self, request: Request, path: &str) -> Result<String, AdminError> {
        let answer = self.client.send(request).await?;
        match answer.status {
            200 => Ok(answer.text()),
            status => Err(AdminError::Other(format!(
                "admin {path}: {status} {}",
                answer.text().trim()
            ))),
        }
    }
}

/// The lines `name: integer`; histograms and texts have no integer.
fn counters(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (name, value) = line.rsplit_once(": ")?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// `literal` as a regular expression in a query string.
fn in_query(literal: &str) -> String {
    let mut query = String::new();
    for character in literal.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => query.push(character),
            // Escaped for the expression, then for the query.
            other => query.push_str(&format!("%5Cx%7B{:x}%7D", u32::from(other))),
        }
    }
    query
}

/// The admin interface did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No answer.
    #[error("Envoy's admin interface: {0}")]
    Client(#[from] ClientError),
    /// Another answer than expected.
    #[error("{0}")]
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_with_integers_are_read() {
        let text = "a.b: 1\nwasmcustom.m_x=.=a: b;.;: 2\nh: P0(nan,1) P25(nan,2)\nversion: \"x\"";
        let stats = counters(text);
        assert_eq!(stats.len(), 2);
        assert_eq!(stats["wasmcustom.m_x=.=a: b;.;"], 2);
    }
}
