//! A real OpenTelemetry collector: it takes OTLP over HTTP and prints what it took.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::network;
use crate::node::HOME;
use crate::pod::Pod;
use crate::process::{Server, log};
use crate::programs::Programs;

/// The port of OTLP over HTTP.
pub(crate) const PORT: u16 = 4318;

const NAME: &str = "collector";

/// A running collector.
pub(crate) struct Collector(Server);

impl Collector {
    /// Starts it in the network of a pod.
    pub(crate) async fn start(programs: &Programs, pod: &Pod) -> Result<Self> {
        let file = format!("{HOME}/collector.yaml");
        std::fs::write(&file, config().to_string())?;
        let mut command = network::command_in(pod.name(), Path::new(programs.path(NAME)));
        command.args(["--config", &file]);
        let mut collector = Self(Server::start(NAME, command)?);
        // Its answer to what is no export tells that it is there.
        let asks = async || pod.ask(PORT, "/").await.is_ok();
        collector.0.wait(asks).await?;
        Ok(collector)
    }

    /// What it has printed: each record with its fields.
    pub(crate) fn printed(&self) -> String {
        log(NAME)
    }
}

fn config() -> serde_json::Value {
    json!({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": format!("0.0.0.0:{PORT}")}}}},
        "exporters": {"debug": {"verbosity": "detailed"}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["debug"]}},
        },
    })
}
