//! When a resource is in force: no proxy is asked before it has what istiod made of it.
//!
//! Time tells nothing. istiod's own list says when it knows a resource; a listener that is
//! added after that comes to each proxy in one message with what the resource changes.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::mesh::Mesh;
use crate::pod::Pod;
use crate::proxy::Proxy;

/// Only a broken mesh takes so long.
const LIMIT: Duration = Duration::from_secs(180);

/// The ports of the listeners that mark what was applied before them.
const FIRST_MARK: u64 = 20_000;

/// Where those listeners seem to lead.
const NOWHERE: &str = "240.0.0.1";

impl Mesh {
    /// `kubectl apply`, in force when it returns.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        let applied = self.offer(yaml).await?;
        self.configured(&applied).await
    }

    /// `kubectl apply` of what proxies will refuse: in front of them when it returns.
    pub async fn apply_refused(&self, yaml: &str) -> Result<()> {
        self.offer(yaml).await.map(drop)
    }

    async fn offer(&self, yaml: &str) -> Result<Vec<Value>> {
        let applied = self
            .kubectl_on(&["apply", "-f", "-", "-ojson"], yaml)
            .await?;
        self.known(&applied).await?;
        self.settle().await?;
        Ok(applied)
    }

    /// Waits until every proxy that has a plugin has it with its configuration.
    async fn configured(&self, applied: &[Value]) -> Result<()> {
        for plugin in applied {
            let config = match text(plugin, "/kind") {
                "WasmPlugin" => &plugin["spec"]["pluginConfig"],
                "TrafficExtension" => &plugin["spec"]["wasm"]["pluginConfig"],
                _ => continue,
            };
            let namespace = text(plugin, "/metadata/namespace");
            let name = text(plugin, "/metadata/name");
            for pod in self.proxies() {
                let deadline = Instant::now() + LIMIT;
                while !Proxy::of(pod).await?.is_configured(namespace, name, config) {
                    if Instant::now() > deadline {
                        bail!(
                            "{} has no {namespace}/{name}: {}",
                            pod.name(),
                            pod.agent_log()
                        );
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        Ok(())
    }

    /// `kubectl apply -k`, in force when it returns.
    pub async fn apply_folder(&self, folder: &str) -> Result<()> {
        let applied = self
            .kubectl_on(&["apply", "-k", folder, "-ojson"], "")
            .await?;
        self.known(&applied).await?;
        self.settle().await?;
        self.configured(&applied).await
    }

    /// Whether proxies keep connections to each other, as in production; they do not
    /// otherwise, so that every request meets what is in force.
    pub async fn keep_connections(&self, keep: bool) -> Result<()> {
        let fresh = crate::shop::fresh().to_string();
        if keep {
            self.delete(&fresh).await
        } else {
            self.apply(&fresh).await
        }
    }

    /// `kubectl delete -k`, in force when it returns.
    pub async fn delete_folder(&self, folder: &str) -> Result<()> {
        let yaml = self.kubernetes.get(&["kustomize", folder]).await?;
        self.delete(&yaml).await
    }

    /// `kubectl delete`, in force when it returns.
    pub async fn delete(&self, yaml: &str) -> Result<()> {
        self.kubernetes
            .run(
                "kubectl",
                &["delete", "--ignore-not-found", "-f", "-"],
                yaml,
            )
            .await
            .and_then(|output| crate::kube::done("kubectl delete", &output))?;
        let named = self.kubernetes.parse(yaml).await?;
        self.wait("istiod does not forget", async |known| {
            named
                .iter()
                .all(|one| !known.iter().any(|other| same(one, other)))
        })
        .await?;
        self.settle().await
    }

    /// Takes away whatever a scenario left that failed.
    pub(crate) async fn clean(&self) -> Result<()> {
        let kinds = [
            "wasmplugins",
            "trafficextensions",
            "envoyfilters",
            "authorizationpolicies",
            "requestauthentications",
            "peerauthentications",
            "virtualservices",
            "destinationrules",
            "serviceentries",
            "sidecars",
        ];
        let delete = ["delete", &kinds.join(","), "-A", "--all"];
        self.kubernetes.get(&delete).await?;
        self.apply(&crate::shop::fresh().to_string()).await
    }

    /// Waits until every proxy has everything that istiod knows now.
    pub async fn settle(&self) -> Result<()> {
        let port = FIRST_MARK + self.next_mark();
        let mark = mark(port).to_string();
        let applied = self
            .kubectl_on(&["apply", "-f", "-", "-ojson"], &mark)
            .await?;
        self.known(&applied).await?;
        for pod in self.proxies() {
            wait_for(pod, port).await?;
        }
        // Workers take up a listener a moment after the proxy says that it is there.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(())
    }

    async fn kubectl_on(&self, arguments: &[&str], input: &str) -> Result<Vec<Value>> {
        let output = self.kubernetes.run("kubectl", arguments, input).await?;
        crate::kube::done(&format!("kubectl {}", arguments.join(" ")), &output)?;
        items(&output.stdout)
    }

    /// Waits until istiod knows these resources, in this version.
    async fn known(&self, applied: &[Value]) -> Result<()> {
        let ours = |one: &&Value| text(one, "/apiVersion").contains(".istio.io/");
        let wanted: Vec<&Value> = applied.iter().filter(ours).collect();
        self.wait("istiod does not know", async |known| {
            wanted.iter().all(|one| {
                let version = |one: &Value| text(one, "/metadata/resourceVersion").to_owned();
                known
                    .iter()
                    .any(|other| same(one, other) && version(one) == version(other))
            })
        })
        .await
    }

    async fn wait(&self, what: &str, holds: impl AsyncFn(&[Value]) -> bool) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if holds(&self.istiod.resources().await?).await {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "{what} it; its log ends\n{}",
                    crate::process::tail("istiod", 20)
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Waits until a proxy has the marking listener, and all that came with it is in force.
async fn wait_for(pod: &Pod, port: u64) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let proxy = Proxy::of(pod).await.context(pod.name())?;
        if proxy.listens_on(port) && !proxy.is_warming() {
            return Ok(());
        }
        if !proxy.refused().is_empty() {
            bail!("{} refuses: {}", pod.name(), proxy.refused().join("\n"));
        }
        if Instant::now() > deadline {
            bail!("{} is not settled:\n{}", pod.name(), pod.agent_log());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What gives each sidecar and each gateway another listener, in place of the last one.
fn mark(port: u64) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "settled", "namespace": "istio-system"},
            "spec": {
                "hosts": ["settled.example"],
                "addresses": [NOWHERE],
                "ports": [{"number": port, "name": "tcp", "protocol": "TCP"}],
                "resolution": "STATIC",
                "endpoints": [{"address": NOWHERE}],
            },
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "settled", "namespace": "istio-system"},
            "spec": {
                "selector": {"istio": "ingressgateway"},
                "servers": [{
                    "port": {"number": port, "name": "http", "protocol": "HTTP"},
                    "hosts": ["settled.example"],
                }],
            },
        },
    ]})
}

/// The objects in what kubectl prints as JSON.
pub(crate) fn items(text: &str) -> Result<Vec<Value>> {
    let value: Value = serde_json::from_str(text).context("kubectl's JSON")?;
    Ok(match value["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![value],
    })
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether two are one resource, in any version.
fn same(one: &Value, other: &Value) -> bool {
    let key = |value: &Value| {
        ["/kind", "/metadata/namespace", "/metadata/name"].map(|path| text(value, path).to_owned())
    };
    key(one) == key(other)
}
