//! Istio's agent with a stock Envoy: what the injector would put into a pod.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use meshpack_harness::Request;
use serde_json::json;

use crate::istiod::DISCOVERY;
use crate::network;
use crate::node::{HOME, NODE, sh};
use crate::pod::{Caller, PodSpec, Role};
use crate::process::{Server, log, tail};
use crate::programs::Programs;
use crate::registry::AUTHORITY;

/// The user and group of Istio's proxies, whose own traffic is not redirected.
const PROXY: u32 = 1337;

/// The variable that the canary's manifests read from the proxies' environment.
const SECRET: (&str, &str) = ("MESHPACK_CANARY_SECRET", "a secret of this mesh");

/// Ports that are not redirected to the proxy: the proxy's and the agent's own.
const OWN_PORTS: &str = "15090,15021,15020";

/// What a pod's proxy needs to prove who it is.
pub(crate) struct Credentials {
    /// Of its service account, for Istio's certificate authority.
    pub(crate) token: String,
    /// The authority's own certificate.
    pub(crate) root: String,
}

/// A running agent.
pub(crate) struct Agent {
    name: String,
    server: Server,
}

impl Agent {
    /// Redirects the pod's traffic and starts the agent, which starts Envoy.
    pub(crate) fn start(
        spec: &PodSpec,
        credentials: &Credentials,
        stat_tags: &[String],
    ) -> Result<Self> {
        let agent = format!("{HOME}/bin/pilot-agent");
        let folder = PathBuf::from(format!("{HOME}/pods/{}", spec.name));
        write_files(&folder, spec, credentials)?;
        if spec.role == Role::Sidecar {
            redirect(spec.name, Path::new(&agent))?;
        }
        // Modules are kept in an absolute folder: each agent sees one of its own there.
        let data = folder.join("data");
        let script = "mount --bind \"$0\" /var/lib/istio/data && exec setpriv --reuid 1337 \
                      --regid 1337 --clear-groups --pdeathsig KILL \"$@\"";
        let mut command = network::command_in(spec.name, Path::new("unshare"));
        command
            .args(["--mount", "sh", "-c", script])
            .arg(&data)
            .args([&agent, "proxy"])
            .arg(if spec.role == Role::Gateway {
                "router"
            } else {
                "sidecar"
            })
            .args(["--domain", &format!("{}.svc.cluster.local", spec.namespace)])
            .current_dir(&folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &folder)
            .envs(environment(spec, stat_tags));
        let name = format!("agent-{}", spec.name);
        let server = Server::start(&name, command)?;
        Ok(Self { name, server })
    }

    /// Waits until Envoy has its first configuration.
    pub(crate) async fn wait(&mut self, caller: &Caller) -> Result<()> {
        let ready = async || {
            let asked = caller.status(Request::get("/healthz/ready")).await;
            asked.is_ok_and(|status| status == 200)
        };
        self.server.wait(ready).await
    }

    pub(crate) fn log_all(&self) -> String {
        log(&self.name)
    }

    pub(crate) fn log(&self) -> String {
        tail(&self.name, 12)
    }
}

/// What agents share, once: programs and files that the proxies' user can read.
pub(crate) fn prepare(programs: &Programs) -> Result<()> {
    // Hides the machine's: the folder is made in memory.
    sh(
        "mount",
        &["-t", "tmpfs", "-o", "mode=755", "none", "/var/lib"],
    )?;
    fs::create_dir_all("/var/lib/istio/data")?;
    for name in ["pilot-agent", crate::programs::ENVOY] {
        crate::node::show(programs.path(name), name)?;
    }
    fs::copy(programs.path("envoy_bootstrap.json"), bootstrap())?;
    Ok(())
}

fn bootstrap() -> String {
    format!("{HOME}/envoy_bootstrap.json")
}

/// The agent's paths are relative to its folder.
fn write_files(folder: &Path, spec: &PodSpec, credentials: &Credentials) -> Result<()> {
    let mut labels = String::new();
    for (key, value) in spec.labels {
        let _ = writeln!(labels, "{key}=\"{value}\"");
    }
    let files = [
        ("etc/istio/pod/labels", labels.as_str()),
        ("etc/istio/pod/annotations", ""),
        ("etc/istio/proxy/.keep", ""),
        ("data/.keep", ""),
        ("var/run/secrets/tokens/istio-token", &credentials.token),
        ("var/run/secrets/istio/root-cert.pem", &credentials.root),
    ];
    for (file, text) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().context("a file in a folder")?)?;
        fs::write(path, text)?;
    }
    let owner = format!("{PROXY}:{PROXY}");
    sh("chown", &["-R", &owner, &folder.to_string_lossy()])
}

/// Istio's own rules.
fn redirect(name: &str, agent: &Path) -> Result<()> {
    let user = PROXY.to_string();
    let output = network::command_in(name, agent)
        .args(["istio-iptables", "-p", "15001", "-z", "15006"])
        .args(["-u", &user, "-g", &user, "-m", "REDIRECT"])
        .args(["-i", "*", "-x", "", "-b", "*", "-d", OWN_PORTS])
        .output()
        .context("istio-iptables")?;
    if !output.status.success() {
        bail!(
            "istio-iptables: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn environment(spec: &PodSpec, stat_tags: &[String]) -> Vec<(&'static str, String)> {
    let proxy = json!({
        "discoveryAddress": DISCOVERY,
        "binaryPath": format!("{HOME}/bin/{}", crate::programs::ENVOY),
        "configPath": "etc/istio/proxy",
        "concurrency": 2,
        "extraStatTags": stat_tags,
    });
    vec![
        ("POD_NAME", spec.name.to_owned()),
        ("POD_NAMESPACE", spec.namespace.to_owned()),
        ("INSTANCE_IP", spec.ip.to_string()),
        ("SERVICE_ACCOUNT", spec.account.to_owned()),
        ("HOST_IP", NODE.to_string()),
        ("CA_ADDR", DISCOVERY.to_owned()),
        ("TRUST_DOMAIN", "cluster.local".to_owned()),
        ("PROXY_CONFIG", proxy.to_string()),
        ("ISTIO_BOOTSTRAP", bootstrap()),
        ("ISTIO_META_CLUSTER_ID", "Kubernetes".to_owned()),
        ("ISTIO_META_INTERCEPTION_MODE", "REDIRECT".to_owned()),
        ("ISTIO_META_WORKLOAD_NAME", spec.name.to_owned()),
        ("ISTIO_META_MESH_ID", "cluster.local".to_owned()),
        ("SSL_CERT_FILE", AUTHORITY.to_owned()),
        (SECRET.0, SECRET.1.to_owned()),
    ]
}
