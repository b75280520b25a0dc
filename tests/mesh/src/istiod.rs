//! istiod, with a certificate authority of its own, as it runs in production.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use meshpack_harness::{Client, Samples};
use serde_json::{Value, json};

use crate::kube::CONFIG;
use crate::node::{HOME, NODE};
use crate::process::Server;
use crate::programs::Programs;

/// The name that its certificate has and that agents look up.
pub(crate) const NAME: &str = "istiod.istio-system.svc";

/// Where agents find it.
pub(crate) const DISCOVERY: &str = "istiod.istio-system.svc:15012";

/// Its plain port, for what only the node may ask.
const HTTP: u16 = 8080;

/// Where Prometheus scrapes it.
const MONITORING: u16 = 15014;

/// What stock Envoy lacks: filters that exist in Istio's own build only.
const FOR_STOCK_ENVOY: [(&str, &str); 3] = [
    ("PILOT_ENABLE_ALPN_FILTER", "false"),
    ("PILOT_DISABLE_MX_ALPN", "true"),
    ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
];

/// A running istiod.
pub(crate) struct Istiod {
    _server: Server,
    client: Client,
}

impl Istiod {
    pub(crate) async fn start(programs: &Programs) -> Result<Self> {
        let folder = format!("{HOME}/istiod");
        fs::create_dir_all(&folder)?;
        fs::write(format!("{folder}/mesh.yaml"), mesh_config().to_string())?;
        let mut server = Server::start("istiod", command(programs, &folder))?;
        let client = Client::http1(([127, 0, 0, 1], HTTP).into());
        server
            .wait(async || client.get("/ready").await.is_ok_and(|a| a.status == 200))
            .await?;
        Ok(Self {
            _server: server,
            client,
        })
    }

    /// One scrape of its metrics.
    pub(crate) async fn metrics(&self) -> Result<Samples> {
        let client = Client::http1(([127, 0, 0, 1], MONITORING).into());
        Ok(Samples::parse(&client.get("/metrics").await?.text()))
    }

    /// The resources that it knows, as Kubernetes has them.
    pub(crate) async fn resources(&self) -> Result<Vec<Value>> {
        let answer = self.client.get("/debug/configz").await?;
        answer.json().context("istiod /debug/configz")
    }
}

fn command(programs: &Programs, folder: &str) -> Command {
    let mut command = programs.command("pilot-discovery");
    command
        .current_dir(folder)
        .arg("discovery")
        .args(["--kubeconfig", CONFIG])
        .args(["--meshConfig", "mesh.yaml"])
        .args(["--grpcAddr", "127.0.0.1:15010"])
        .args(["--secureGRPCAddr", &format!("{NODE}:15012")])
        .args(["--httpAddr", &format!("127.0.0.1:{HTTP}")])
        .args(["--httpsAddr", "127.0.0.1:15017"])
        .args(["--monitoringAddr", &format!("127.0.0.1:{MONITORING}")])
        .args(["--ctrlz_port", "0"])
        .env("POD_NAMESPACE", "istio-system")
        .env("POD_NAME", "istiod")
        .env("REVISION", "default")
        .env("CLUSTER_ID", "Kubernetes")
        .env("HOME", folder)
        .envs(FOR_STOCK_ENVOY);
    command
}

fn mesh_config() -> Value {
    json!({
        "trustDomain": "cluster.local",
        "rootNamespace": "istio-system",
        // `istio.stats`, the default, exists in Istio's own build of Envoy only.
        "defaultProviders": {},
        "defaultConfig": {"discoveryAddress": DISCOVERY},
    })
}
