//! What Istio's own command says before anything is applied, and about what is.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use meshpack_mesh::{Cluster, Manifest, meshpack};
use serde_json::Value;

/// Runs `istioctl validate` on documents that are written to a file of this name.
async fn validate(cluster: &Cluster, name: &str, text: &str) -> Result<()> {
    let file = Path::new("/run/mesh").join(format!("{name}.yaml"));
    std::fs::write(&file, text)?;
    let path = file.to_string_lossy();
    let output = cluster
        .kubernetes()
        .istioctl(&["validate", "-f", &path])
        .await?;
    ensure!(output.success, "{name}: {}\n{text}", output.text());
    // Of an EnvoyFilter it warns whatever it holds.
    let warned = output.text().contains("Warning") && !text.contains("EnvoyFilter");
    ensure!(!warned, "{name}: {}", output.text());
    Ok(())
}

pub(crate) async fn every_manifest_is_valid(cluster: &Cluster) -> Result<()> {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for manifest in Manifest::all()? {
        files
            .entry(manifest.file.clone())
            .or_default()
            .push(manifest.text());
    }
    for (file, documents) in files {
        let name = file.replace('/', "-");
        validate(cluster, &name, &documents.join("\n---\n")).await?;
    }
    // The judge is awake.
    let mut wrong = Manifest::read("istio-manifests/canary-split/virtualservice.yaml")?.remove(0);
    wrong.document["spec"]["hostz"] = Value::Array(Vec::new());
    ensure!(validate(cluster, "wrong", &wrong.text()).await.is_err());
    Ok(())
}

/// The commands of the page, for the resources of every system, and the policies here.
fn translations() -> Result<Vec<Vec<String>>> {
    let page = std::fs::read_to_string(Manifest::root().join("docs/translate.md"))?;
    let lines = page
        .lines()
        .filter_map(|line| line.strip_prefix("meshpack translate "));
    let mut commands: Vec<Vec<String>> = lines
        .filter(|line| !line.contains("--to envoy"))
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    for entry in Manifest::root().join("tests/mesh/policies").read_dir()? {
        let path = entry?.path().to_string_lossy().into_owned();
        commands.push(vec!["--gateway".to_owned(), "none".to_owned(), path]);
    }
    for file in ["authorization", "routes", "telemetry"] {
        commands.push(vec![format!("tests/translate/istio/{file}.yaml")]);
    }
    Ok(commands)
}

pub(crate) async fn every_translation_is_valid(cluster: &Cluster) -> Result<()> {
    let commands = translations()?;
    ensure!(commands.len() > 12, "{commands:?}");
    for (number, command) in commands.iter().enumerate() {
        let mut arguments = vec!["translate", "--accept-losses"];
        arguments.extend(command.iter().map(String::as_str));
        let output = meshpack(&arguments).await?;
        ensure!(!output.stdout.is_empty(), "{command:?}: {}", output.stderr);
        validate(cluster, &format!("translated-{number}"), &output.stdout)
            .await
            .with_context(|| command.join(" "))?;
    }
    Ok(())
}

/// What `istioctl analyze` says about the cluster, but for what this mesh lacks on purpose.
async fn analyze(cluster: &Cluster) -> Result<Vec<String>> {
    let arguments = ["analyze", "--all-namespaces", "-ojson"];
    let output = cluster.kubernetes().istioctl(&arguments).await?;
    let messages: Value = serde_json::from_str(&output.stdout)
        .with_context(|| format!("istioctl analyze: {}", output.text()))?;
    let messages = messages.as_array().cloned().unwrap_or_default();
    let ours = |message: &&Value| {
        let origin = message["origin"].as_str().unwrap_or_default();
        // The marking listeners, and EnvoyFilters, of which it warns whatever they hold.
        !origin.ends_with("/settled") && message["code"] != "IST0133"
    };
    Ok(messages.iter().filter(ours).map(Value::to_string).collect())
}

pub(crate) async fn what_is_applied_has_no_findings(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    let before = analyze(cluster).await?;
    for folder in [
        "authz-policy",
        "canary-split",
        "retry-budget",
        "telemetry",
        "meshpack",
    ] {
        let path = Manifest::root().join("istio-manifests").join(folder);
        let path = path.to_string_lossy();
        mesh.apply_folder(&path).await?;
        let mut found = analyze(cluster).await?;
        found.retain(|message| !before.contains(message));
        ensure!(found.is_empty(), "{folder}: {found:#?}");
        mesh.delete_folder(&path).await?;
    }
    // The judge is awake: a route to a subset that nobody has.
    let routes = Manifest::read("istio-manifests/canary-split/virtualservice.yaml")?.remove(0);
    mesh.apply(&routes.text()).await?;
    let found = analyze(cluster).await?;
    ensure!(found.len() > before.len(), "a missing subset is not found");
    mesh.delete(&routes.text()).await
}
