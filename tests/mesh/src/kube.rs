//! The Kubernetes API: an etcd and a kube-apiserver, without a kubelet or controllers.
//! What those would write (a pod's status, endpoints, tokens) the mesh writes itself.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::node::HOME;
use crate::process::{Output, Server};
use crate::programs::Programs;

const PORT: u16 = 6443;

/// The kubeconfig of an administrator, for everything that talks with the API.
pub(crate) const CONFIG: &str = "/run/mesh/kubeconfig";

/// The API of the cluster, by kubectl, as a person would.
#[derive(Clone)]
pub struct Kubernetes {
    programs: Programs,
}

impl Kubernetes {
    pub(crate) async fn start(programs: &Programs) -> Result<Self> {
        write_keys()?;
        write_config()?;
        Server::start("etcd", etcd())?;
        let mut api = Server::start("kube-apiserver", api_server(programs))?;
        let kubernetes = Self {
            programs: programs.clone(),
        };
        let ready = async || {
            let asked = kubernetes.kubectl(&["get", "--raw", "/readyz"]).await;
            asked.is_ok_and(|output| output.success)
        };
        api.wait(ready).await?;
        Ok(kubernetes)
    }

    /// Runs kubectl, whatever it says.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        self.run("kubectl", arguments, "").await
    }

    /// Runs istioctl, whatever it says.
    pub async fn istioctl(&self, arguments: &[&str]) -> Result<Output> {
        self.run("istioctl", arguments, "").await
    }

    /// `kubectl apply -f -`.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        let arguments = ["apply", "-f", "-"];
        let output = self.run("kubectl", &arguments, yaml).await?;
        done("kubectl apply", &output)
    }

    /// What kubectl prints, which must succeed.
    pub async fn get(&self, arguments: &[&str]) -> Result<String> {
        let output = self.kubectl(arguments).await?;
        done(&format!("kubectl {}", arguments.join(" ")), &output)?;
        Ok(output.stdout)
    }

    /// Whether the API would take a document, with every field known to it.
    pub async fn try_document(&self, text: &str) -> Result<Output> {
        let arguments = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        self.run("kubectl", &arguments, text).await
    }

    /// The documents of a text, as kubectl reads them.
    pub(crate) async fn parse(&self, yaml: &str) -> Result<Vec<Value>> {
        let arguments = ["apply", "--dry-run=client", "-f", "-", "-ojson"];
        let output = self.run("kubectl", &arguments, yaml).await?;
        done("kubectl apply --dry-run", &output)?;
        crate::settle::items(&output.stdout)
    }

    pub(crate) async fn run(
        &self,
        program: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<Output> {
        let mut child = tokio::process::Command::from(self.programs.command(program))
            .args(arguments)
            .env("KUBECONFIG", CONFIG)
            .env("HOME", HOME)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let text = input.to_owned();
        let writer = tokio::spawn(async move {
            // A command that reads nothing closes its end: that is no failure.
            let _ = stdin.write_all(text.as_bytes()).await;
        });
        let output = child.wait_with_output().await?;
        writer.abort();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Output {
            success: output.status.success(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        })
    }
}

pub(crate) fn done(what: &str, output: &Output) -> Result<()> {
    if !output.success {
        bail!("{what}: {}", output.text());
    }
    Ok(())
}

fn etcd() -> std::process::Command {
    let mut command = std::process::Command::new("etcd");
    command
        .args(["--data-dir", &format!("{HOME}/etcd")])
        .args(["--listen-client-urls", "http://127.0.0.1:2379"])
        .args(["--advertise-client-urls", "http://127.0.0.1:2379"])
        .args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
    command
}

fn api_server(programs: &Programs) -> std::process::Command {
    let flags = [
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        // One on loopback is refused.
        "--advertise-address=10.244.0.1".to_owned(),
        format!("--secure-port={PORT}"),
        format!("--cert-dir={HOME}/api"),
        format!("--service-account-key-file={HOME}/sa.pub"),
        format!("--service-account-signing-key-file={HOME}/sa.key"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--api-audiences=https://kubernetes.default.svc,istio-ca".to_owned(),
        format!("--token-auth-file={HOME}/tokens.csv"),
        "--authorization-mode=AlwaysAllow".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        // It waits for a controller that is not there.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ];
    let mut command = programs.command("kube-apiserver");
    command.args(flags);
    command
}

/// The key that signs the tokens of service accounts.
fn write_keys() -> Result<()> {
    let key = rcgen::KeyPair::generate()?;
    fs::write(format!("{HOME}/sa.key"), key.serialize_pem())?;
    fs::write(format!("{HOME}/sa.pub"), key.public_key_pem())?;
    fs::write(
        format!("{HOME}/tokens.csv"),
        "admin,admin,admin,system:masters\n",
    )?;
    Ok(())
}

fn write_config() -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "mesh", "cluster": {
            "server": format!("https://127.0.0.1:{PORT}"),
            "insecure-skip-tls-verify": true,
        }}],
        "users": [{"name": "admin", "user": {"token": "admin"}}],
        "contexts": [{"name": "mesh", "context": {"cluster": "mesh", "user": "admin"}}],
        "current-context": "mesh",
    });
    fs::write(CONFIG, config.to_string())?;
    Ok(())
}
