//! The mesh: istiod, the pods, and resources that are applied and then in force.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::agent::{self, Agent, Credentials};
use crate::collector::Collector;
use crate::istiod::Istiod;
use crate::kube::Kubernetes;
use crate::manifest::Manifest;
use crate::pod::{Caller, Pod};
use crate::programs::Programs;
use crate::shop::{self, PODS, SERVICES};

/// A running mesh.
pub struct Mesh {
    pub(crate) kubernetes: Kubernetes,
    pub(crate) istiod: Istiod,
    pods: Vec<Pod>,
    collector: Collector,
    pub(crate) marks: AtomicU64,
}

impl Mesh {
    /// From an API that knows Istio's resources to pods whose proxies are ready.
    pub(crate) async fn start(programs: &Programs, kubernetes: &Kubernetes) -> Result<Self> {
        agent::prepare(programs)?;
        crate::network::make_bridge()?;
        let starting = Istiod::start(programs);
        let (istiod, ()) = tokio::try_join!(starting, create(kubernetes))?;
        let root = root_certificate(kubernetes).await?;
        let tags = stat_tags()?;
        let mut pods = Vec::new();
        for spec in PODS {
            pods.push(Pod::start(spec).await?);
        }
        for pod in pods.iter_mut().filter(|pod| pod.has_proxy()) {
            let token = token(kubernetes, pod).await?;
            let root = root.clone();
            let agent = Agent::start(pod.spec(), &Credentials { token, root }, &tags)?;
            pod.set_agent(agent);
        }
        for pod in &mut pods {
            pod.ready().await?;
        }
        let beside = pods.iter().find(|pod| pod.name() == "otel-collector");
        let beside = beside.context("no pod for the collector")?;
        let collector = Collector::start(programs, beside).await?;
        Ok(Self {
            kubernetes: kubernetes.clone(),
            istiod,
            pods,
            collector,
            marks: AtomicU64::new(0),
        })
    }

    /// Every pod with a proxy.
    pub fn proxies(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| pod.has_proxy())
    }

    /// What the collector has printed: each record with its fields.
    pub fn collected(&self) -> String {
        self.collector.printed()
    }

    /// A pod by its name.
    pub fn pod(&self, name: &str) -> Result<&Pod> {
        let found = self.pods.iter().find(|pod| pod.name() == name);
        found.with_context(|| format!("no pod {name}"))
    }

    /// An application in `pod` that calls a service (`NAME.NAMESPACE`), by that name.
    pub fn caller(&self, pod: &str, service: &str) -> Result<Caller> {
        let named = |one: &&shop::Service| format!("{}.{}", one.name, one.namespace) == service;
        let found = SERVICES.iter().find(named);
        let found = found.with_context(|| format!("no service {service}"))?;
        let address = SocketAddr::from((found.ip, found.port));
        Ok(self.pod(pod)?.caller(address, service))
    }

    /// An application in `pod` that calls an address, by any name.
    pub fn caller_of(&self, pod: &str, address: SocketAddr, authority: &str) -> Result<Caller> {
        Ok(self.pod(pod)?.caller(address, authority))
    }

    /// Somebody outside the mesh who calls the gateway by the name of a site.
    pub fn visitor(&self, site: &str) -> Result<Caller> {
        let gateway = self.pods.iter().find(|pod| pod.is_gateway());
        let gateway = gateway.context("no gateway")?;
        let address = SocketAddr::from((gateway.ip(), crate::pod::APP_PORT));
        self.caller_of("otel-collector", address, site)
    }
}

async fn create(kubernetes: &Kubernetes) -> Result<()> {
    let list = |items: Vec<Value>| json!({"apiVersion": "v1", "kind": "List", "items": items});
    kubernetes
        .apply(&list(shop::resources()).to_string())
        .await?;
    let statuses = list(PODS.iter().map(|pod| pod.status()).collect());
    let arguments = [
        "apply",
        "--server-side",
        "--subresource=status",
        "--field-manager=kubelet",
        "-f",
        "-",
    ];
    let output = kubernetes
        .run("kubectl", &arguments, &statuses.to_string())
        .await?;
    crate::kube::done("the pods' status", &output)
}

/// The certificate of istiod's authority, which it writes into every namespace.
async fn root_certificate(kubernetes: &Kubernetes) -> Result<String> {
    let wait = [
        "wait",
        "-n",
        "shop",
        "--for=create",
        "configmap/istio-ca-root-cert",
        "--timeout=180s",
    ];
    kubernetes.get(&wait).await?;
    let read = [
        "get",
        "-n",
        "shop",
        "configmap",
        "istio-ca-root-cert",
        "-ojsonpath={.data.root-cert\\.pem}",
    ];
    kubernetes.get(&read).await
}

async fn token(kubernetes: &Kubernetes, pod: &Pod) -> Result<String> {
    let spec = pod.spec();
    let create = [
        "create",
        "token",
        spec.account,
        "-n",
        spec.namespace,
        "--audience",
        "istio-ca",
        "--bound-object-kind",
        "Pod",
        "--bound-object-name",
        spec.name,
    ];
    Ok(kubernetes.get(&create).await?.trim().to_owned())
}

/// The labels of the metrics, from the manifest that tells the installer.
fn stat_tags() -> Result<Vec<String>> {
    let mut tags: Vec<String> = Vec::new();
    for file in ["meshpack", "telemetry"] {
        let file = format!("istio-manifests/{file}/stat-tags.yaml");
        let operator = Manifest::read(&file)?.remove(0).document;
        let list = &operator["spec"]["meshConfig"]["defaultConfig"]["extraStatTags"];
        let list = list.as_array().context("no extraStatTags")?;
        tags.extend(
            list.iter()
                .filter_map(|tag| tag.as_str().map(str::to_owned)),
        );
    }
    tags.sort();
    tags.dedup();
    Ok(tags)
}

impl Mesh {
    pub(crate) fn next_mark(&self) -> u64 {
        self.marks.fetch_add(1, Ordering::Relaxed)
    }
}
