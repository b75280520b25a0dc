//! Pods: a network of its own, an application, and beside it a proxy under Istio's agent.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use meshpack_harness::{Client, Outcomes, Port, Request, Response, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::inside::Inside;
use crate::network;

/// Where every application listens.
pub(crate) const APP_PORT: u16 = 8080;

/// What a pod is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PodSpec {
    /// One of a kind in the mesh.
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
    /// Whose identity it has.
    pub(crate) account: &'static str,
    pub(crate) labels: &'static [(&'static str, &'static str)],
    pub(crate) ip: Ipv4Addr,
    pub(crate) role: Role,
}

/// What runs beside the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A proxy that all of the pod's traffic goes through.
    Sidecar,
    /// No application, but a proxy at the edge.
    Gateway,
    /// Nothing: the pod is outside the mesh.
    Plain,
}

impl PodSpec {
    /// The Pod, as its owner would create it and Istio's injector change it.
    pub(crate) fn resource(&self) -> Value {
        let mut labels = serde_json::Map::new();
        for (key, value) in self.labels {
            labels.insert((*key).to_owned(), (*value).into());
        }
        if self.role != Role::Plain {
            // The injector sets it; without it, traffic to the pod is plaintext.
            labels.insert("security.istio.io/tlsMode".to_owned(), "istio".into());
        }
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": labels},
            "spec": {
                "nodeName": "node",
                "serviceAccountName": self.account,
                "automountServiceAccountToken": false,
                "containers": [{"name": "app", "image": "app"}],
            },
        })
    }

    /// What a kubelet would write.
    pub(crate) fn status(&self) -> Value {
        let ip = self.ip.to_string();
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "status": {
                "phase": "Running",
                "podIP": ip,
                "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{
                    "name": "app",
                    "image": "app",
                    "imageID": "",
                    "ready": true,
                    "restartCount": 0,
                }],
            },
        })
    }
}

/// A running pod.
pub struct Pod {
    spec: PodSpec,
    inside: Inside,
    app: Upstream,
    agent: Option<Agent>,
}

impl Pod {
    /// Makes the network and starts the application, not yet the proxy.
    pub(crate) async fn start(spec: PodSpec) -> Result<Self> {
        network::make_pod(spec.name, spec.ip)?;
        let inside = Inside::enter(spec.name)?;
        // A gateway has that port itself.
        let port = if spec.role == Role::Gateway {
            APP_PORT + 1
        } else {
            APP_PORT
        };
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let start = async move {
            let port = Port::hold_at(address)?;
            Upstream::start_at(port, spec.name, meshpack_harness::Behavior::echo()).await
        };
        let app = inside.run(start).await?.context(spec.name)?;
        Ok(Self {
            spec,
            inside,
            app,
            agent: None,
        })
    }

    pub(crate) fn spec(&self) -> &PodSpec {
        &self.spec
    }

    pub(crate) fn set_agent(&mut self, agent: Agent) {
        self.agent = Some(agent);
    }

    /// Waits until its proxy has its first configuration.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let caller = self.caller((Ipv4Addr::LOCALHOST, 15021).into(), "localhost");
        match &mut self.agent {
            Some(agent) => agent.wait(&caller).await,
            None => Ok(()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.spec.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &'static str {
        self.spec.namespace
    }

    /// Its address.
    pub fn ip(&self) -> Ipv4Addr {
        self.spec.ip
    }

    /// Whether it has a proxy.
    pub fn has_proxy(&self) -> bool {
        self.spec.role != Role::Plain
    }

    /// Whether it is a gateway.
    pub fn is_gateway(&self) -> bool {
        self.spec.role == Role::Gateway
    }

    /// Its application, which counts what reaches it.
    pub fn app(&self) -> &Upstream {
        &self.app
    }

    /// What its agent has said last.
    pub fn agent_log(&self) -> String {
        self.agent.as_ref().map(Agent::log).unwrap_or_default()
    }

    /// Everything that its agent and its proxy have said.
    pub fn agent_log_all(&self) -> String {
        self.agent.as_ref().map(Agent::log_all).unwrap_or_default()
    }

    /// A caller in this pod, for one address.
    pub(crate) fn caller(&self, address: SocketAddr, authority: &str) -> Caller {
        Caller {
            inside: self.inside.clone(),
            client: Client::http1(address)
                .authority(authority)
                .connection_per_request(),
        }
    }

    /// A page of the proxy's own, from inside the pod.
    pub async fn ask(&self, port: u16, path: &str) -> Result<Response> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let caller = self.caller(address, "localhost");
        caller.send(Request::get(path)).await
    }
}

/// An application that calls, with the identity of its pod.
#[derive(Clone)]
pub struct Caller {
    inside: Inside,
    client: Client,
}

impl Caller {
    /// Sends a request.
    pub async fn send(&self, request: Request) -> Result<Response> {
        let client = self.client.clone();
        let answer = self.inside.run(async move { client.send(request).await });
        Ok(answer.await??)
    }

    /// The status of an answer.
    pub async fn status(&self, request: Request) -> Result<u16> {
        Ok(self.send(request).await?.status)
    }

    /// Sends many, `concurrency` at a time.
    pub async fn load(
        &self,
        count: usize,
        concurrency: usize,
        request: impl Fn(usize) -> Request + Send + Sync + 'static,
    ) -> Result<Outcomes> {
        let client = self.client.clone();
        self.inside
            .run(async move { client.load(count, concurrency, request).await })
            .await
    }
}
