//! The API with Istio's resources, and the registry.

use anyhow::{Context, Result};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::kube::Kubernetes;
use crate::manifest::Manifest;
use crate::mesh::Mesh;
use crate::programs::Programs;
use crate::registry::Registry;
use crate::shop::NAMESPACES;

/// A running API and registry.
pub struct Cluster {
    kubernetes: Kubernetes,
    registry: Registry,
    programs: Programs,
    mesh: OnceCell<Mesh>,
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
            programs: programs.clone(),
            mesh: OnceCell::new(),
        })
    }

    /// The API.
    pub fn kubernetes(&self) -> &Kubernetes {
        &self.kubernetes
    }

    /// The mesh, which is started when it is first asked for.
    pub async fn mesh(&self) -> Result<&Mesh> {
        let start = || Mesh::start(&self.programs, &self.kubernetes);
        self.mesh.get_or_try_init(start).await
    }

    /// Takes away whatever a scenario left that failed, for the next.
    pub(crate) async fn clean(&self) -> Result<()> {
        match self.mesh.get() {
            Some(mesh) => mesh.clean().await,
            None => Ok(()),
        }
    }

    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
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
