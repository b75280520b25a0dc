//! The API with Istio's resources, and the registry.

use anyhow::{Context, Result};
use serde_json::json;

use crate::kube::Kubernetes;
use crate::manifest::Manifest;
use crate::programs::Programs;
use crate::registry::Registry;

/// The namespaces that the manifests name.
const NAMESPACES: [&str; 3] = ["istio-system", "shop", "default"];

/// A running API and registry.
pub struct Cluster {
    kubernetes: Kubernetes,
    registry: Registry,
}

impl Cluster {
    /// Starts everything, from nothing to an API that takes Istio's resources.
    pub async fn start(programs: &Programs) -> Result<Self> {
        let root = Manifest::root();
        let (kubernetes, registry) =
            tokio::try_join!(Kubernetes::start(programs), Registry::start())?;
        tokio::try_join!(registry.push(&root), define(programs, &kubernetes))?;
        Ok(Self {
            kubernetes,
            registry,
        })
    }

    /// The API.
    pub fn kubernetes(&self) -> &Kubernetes {
        &self.kubernetes
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

async fn define(programs: &Programs, kubernetes: &Kubernetes) -> Result<()> {
    let crds = programs.path("istio-crds.yaml");
    let file = crds.to_string_lossy();
    kubernetes
        .get(&["apply", "--server-side", "-f", &file])
        .await?;
    let crd = [
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=180s",
    ];
    kubernetes.get(&crd).await.context("Istio's resources")?;
    for name in NAMESPACES {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name},
        });
        kubernetes.apply(&namespace.to_string()).await?;
    }
    Ok(())
}
