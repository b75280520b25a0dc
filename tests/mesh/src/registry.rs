//! `registry.example.com`: the registry that the manifests name, with the modules of
//! `dist/` in it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use meshpack_harness::{Certificates, Client, Request};
use serde_json::{Value, json};

use crate::node::{HOME, NODE, copy_as, sh};
use crate::process::Server;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The authority that signed its certificate, for those who pull.
pub(crate) const AUTHORITY: &str = "/run/mesh/registry-ca.pem";

/// A registry: modules are pulled over TLS, and pushed over plain HTTP on port 80.
pub struct Registry {
    _servers: [Server; 2],
    _certificates: Certificates,
}

impl Registry {
    pub(crate) async fn start() -> Result<Self> {
        let certificates = Certificates::new()?;
        let identity = certificates.issue(&["registry.example.com"])?;
        std::fs::copy(certificates.authority(), AUTHORITY)?;
        sh("chmod", &["644", AUTHORITY])?;
        let tls = json!({"certificate": identity.certificate, "key": identity.key});
        let mut server = serve("registry", json!({"addr": format!("{NODE}:80")}))?;
        let address = format!("{NODE}:443");
        let pulls = serve("registry-tls", json!({"addr": address, "tls": tls}))?;
        let client = Client::http1((NODE, 80).into());
        server
            .wait(async || client.get("/v2/").await.is_ok_and(|a| a.status == 200))
            .await?;
        Ok(Self {
            _servers: [server, pulls],
            _certificates: certificates,
        })
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

/// Two that listen differently share what they store.
fn serve(name: &str, http: Value) -> Result<Server> {
    let file = format!("{HOME}/{name}.yaml");
    let config = json!({
        "version": "0.1",
        "storage": {
            "filesystem": {"rootdirectory": format!("{HOME}/registry")},
            "delete": {"enabled": true},
        },
        "http": http,
    });
    std::fs::write(&file, config.to_string())?;
    let mut command = Command::new("docker-registry");
    command.args(["serve", &file]);
    Server::start(name, command)
}
