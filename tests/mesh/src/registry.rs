//! `registry.example.com`: the registry that the manifests name, with the modules of
//! `dist/` in it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use meshpack_harness::{Client, Request};

use crate::node::{HOME, NODE, copy_as};
use crate::process::Server;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry that speaks plain HTTP on port 80.
pub struct Registry {
    _server: Server,
}

impl Registry {
    pub(crate) async fn start() -> Result<Self> {
        let config = format!("{HOME}/registry.yaml");
        std::fs::write(&config, configuration())?;
        let mut command = Command::new("docker-registry");
        command.args(["serve", &config]);
        let mut server = Server::start("registry", command)?;
        let client = Client::http1((NODE, 80).into());
        server
            .wait(async || client.get("/v2/").await.is_ok_and(|a| a.status == 200))
            .await?;
        Ok(Self { _server: server })
    }

    /// Whether it has an image, named as in `meshpack/canary_split@sha256:…`.
    pub async fn has(&self, image: &str) -> Result<bool> {
        let (repository, digest) = image.split_once('@').context("no digest")?;
        let path = format!("/v2/{repository}/manifests/{digest}");
        let request = Request::get(path).header("accept", MANIFEST);
        let answer = Client::http1((NODE, 80).into()).send(request).await?;
        Ok(answer.status == 200)
    }

    /// Pushes the modules of `dist/` and writes their digests into the manifests below
    /// `folder`, as a person would.
    pub async fn push_and_pin(&self, root: &Path, folder: &Path) -> Result<()> {
        bundle(root, &["--pin", &folder.to_string_lossy()]).await
    }

    /// Pushes the modules of `dist/`.
    pub(crate) async fn push(&self, root: &Path) -> Result<()> {
        bundle(root, &[]).await
    }
}

async fn bundle(root: &Path, more: &[&str]) -> Result<()> {
    let mut command = tokio::process::Command::from(copy_as("meshpack"));
    command
        .current_dir(root)
        .args(["bundle", "--plain-http"])
        .args(["--push", "registry.example.com/meshpack"])
        .args(more)
        .env("HOME", HOME);
    let output = command.output().await?;
    if !output.status.success() {
        bail!(
            "meshpack bundle: {}{}\nis dist/ filled? run `make build`",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn configuration() -> String {
    let config = serde_json::json!({
        "version": "0.1",
        "storage": {
            "filesystem": {"rootdirectory": format!("{HOME}/registry")},
            "delete": {"enabled": true},
        },
        "http": {"addr": format!("{NODE}:80")},
    });
    config.to_string()
}
