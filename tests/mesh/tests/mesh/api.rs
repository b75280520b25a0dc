//! What the API says to the manifests, with Istio's own definitions of its resources: their
//! schemas and their rules, every field known.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use meshpack_mesh::{Cluster, Manifest};
use serde_json::{Value, json};

pub(crate) async fn every_manifest_is_taken(cluster: &Cluster) -> Result<()> {
    let manifests = Manifest::all()?;
    ensure!(manifests.len() > 15, "{} manifests", manifests.len());
    for manifest in manifests {
        let output = cluster.kubernetes().try_document(&manifest.text()).await?;
        ensure!(output.success, "{}: {}", manifest.file, output.text());
    }
    Ok(())
}

/// Every folder below `folder` with a kustomization.
fn kustomizations(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            kustomizations(&path, found)?;
        } else if path.ends_with("kustomization.yaml") {
            found.push(folder.to_owned());
        }
    }
    Ok(())
}

pub(crate) async fn every_kustomization_is_taken(cluster: &Cluster) -> Result<()> {
    let mut folders = Vec::new();
    kustomizations(&Manifest::root().join("istio-manifests"), &mut folders)?;
    ensure!(folders.len() >= 15, "{folders:?}");
    for folder in folders {
        let path = folder.to_string_lossy();
        let arguments = [
            "apply",
            "--dry-run=server",
            "--validate=strict",
            "-k",
            &path,
        ];
        let output = cluster.kubernetes().kubectl(&arguments).await?;
        ensure!(output.success, "{path}: {}", output.text());
    }
    Ok(())
}

type Mistake = fn(&mut Value);

/// The judge is awake: each of these is refused, and the message names the field.
pub(crate) async fn mistakes_are_refused(cluster: &Cluster) -> Result<()> {
    let mistakes: [(&str, Mistake); 6] = [
        ("mode", |plugin| {
            plugin["spec"]["match"][0]["mode"] = "CALLER".into()
        }),
        ("phase", |plugin| plugin["spec"]["phase"] = "FIRST".into()),
        ("failStrategy", |plugin| {
            plugin["spec"]["failStrategy"] = "FAIL_SOFT".into()
        }),
        ("selectors", |plugin| {
            plugin["spec"]["selectors"] = json!({})
        }),
        ("url", |plugin| {
            plugin["spec"]["url"] = "registry://example".into()
        }),
        ("sha256", |plugin| plugin["spec"]["sha256"] = "1234".into()),
    ];
    let right = Manifest::read("istio-manifests/authz-policy/wasm-plugin.yaml")?.remove(0);
    for (field, mistake) in mistakes {
        let wrong = right.changed(mistake);
        let output = cluster.kubernetes().try_document(&wrong.text()).await?;
        ensure!(!output.success, "a wrong {field} is taken");
        ensure!(output.text().contains(field), "{field}: {}", output.text());
    }
    Ok(())
}

/// `docs/first-canary.md`: push, pin, apply. What the API then holds is in the registry.
pub(crate) async fn a_pinned_overlay_names_images_that_are_there(cluster: &Cluster) -> Result<()> {
    let copied = Command::new("cp")
        .arg("-r")
        .arg(Manifest::root().join("istio-manifests"))
        .arg("/run/mesh/istio-manifests")
        .status()?;
    ensure!(copied.success());
    let overlays = Path::new("/run/mesh/istio-manifests/overlays");
    let before = "oci://registry.example.com/meshpack/canary_split@sha256:000000";
    let path = overlays.join("production/canary-split/kustomization.yaml");
    ensure!(
        std::fs::read_to_string(&path)?.contains(before),
        "the overlay is pinned already"
    );
    cluster
        .registry()
        .push_and_pin(&Manifest::root(), overlays)
        .await?;
    let kubernetes = cluster.kubernetes();
    for filter in ["authz-policy", "canary-split", "retry-budget", "telemetry"] {
        let folder = overlays.join("production").join(filter);
        kubernetes
            .get(&["apply", "-k", &folder.to_string_lossy()])
            .await?;
    }
    let urls = kubernetes
        .get(&[
            "get",
            "wasmplugins",
            "-A",
            "-ojsonpath={.items[*].spec.url}",
        ])
        .await?;
    let urls: Vec<&str> = urls.split_whitespace().collect();
    ensure!(urls.len() == 5, "{urls:?}");
    for url in urls {
        let image = url.trim_start_matches("oci://registry.example.com/");
        ensure!(
            cluster.registry().has(image).await?,
            "{url} is not in the registry"
        );
    }
    let zeros = format!("meshpack/canary_split@sha256:{}", "0".repeat(64));
    ensure!(
        !cluster.registry().has(&zeros).await?,
        "the registry has everything"
    );
    kubernetes
        .get(&[
            "delete",
            "wasmplugins,virtualservices,destinationrules,envoyfilters",
            "-A",
            "--all",
        ])
        .await?;
    Ok(())
}
