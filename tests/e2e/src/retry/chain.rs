//! Three hops in a row, each of which retries twice.

use anyhow::Result;
use meshpack_harness::{Client, Envoy, EnvoyBuilder, EnvoyVersion, Listener, Port, Upstream};
use serde_json::{Value, json};

use super::{App, cluster, filter, virtual_host};

/// What keeps the retries of the chain in check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// A budget of 20 % on each hop.
    Budgets,
    /// The same, and marked answers.
    StopAmplification,
}

/// How the hops are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Proxies one behind the other.
    Proxies,
    /// Sidecars: between the proxies stand applications that make a new request
    /// for each that they get.
    Sidecars,
}

/// Three Envoys in front of a leaf.
pub struct Chain {
    envoys: Vec<Envoy>,
    apps: Vec<App>,
    /// What the last hop calls.
    pub leaf: Upstream,
}

impl Protection {
    fn config(self) -> Option<Value> {
        let floor = json!({"count": 1, "interval": "10s"});
        let budgets = json!([{
            "name": "hop", "budget": {"percent": 20, "interval": "10s"}, "minRetryRate": floor,
        }]);
        match self {
            Self::None => None,
            Self::Budgets => Some(json!({"budgets": budgets})),
            Self::StopAmplification => Some(json!({"budgets": budgets, "stopAmplification": true})),
        }
    }

    fn outbound(self, next: &str) -> Result<Listener> {
        let listener = Listener::new("out").virtual_host(virtual_host(next));
        Ok(match self.config() {
            Some(config) => listener.filter(filter(&config)?),
            None => listener,
        })
    }

    /// The inbound side needs no budget: its proxy does not retry.
    fn inbound(self) -> Result<Listener> {
        let listener = Listener::new("in").virtual_host(json!({
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "30s"}}],
        }));
        Ok(match self {
            Self::StopAmplification => {
                listener.filter(filter(&json!({"stopAmplification": true}))?)
            }
            _ => listener,
        })
    }
}

impl Chain {
    /// Starts the chain in front of `leaf`, for a test: what the Envoys log is
    /// shown if it fails.
    ///
    /// # Errors
    /// An Envoy or a port is not to be had.
    pub async fn start(
        leaf: Upstream,
        shape: Shape,
        protection: Protection,
        version: EnvoyVersion,
    ) -> Result<Self> {
        let prepare = |envoy: EnvoyBuilder| envoy.version(version);
        Self::start_with(leaf, shape, protection, prepare).await
    }

    /// Starts the chain without showing logs.
    ///
    /// # Errors
    /// As [`Chain::start`].
    pub async fn start_quietly(
        leaf: Upstream,
        shape: Shape,
        protection: Protection,
    ) -> Result<Self> {
        Self::start_with(leaf, shape, protection, EnvoyBuilder::quiet).await
    }

    async fn start_with(
        leaf: Upstream,
        shape: Shape,
        protection: Protection,
        prepare: impl Fn(EnvoyBuilder) -> EnvoyBuilder,
    ) -> Result<Self> {
        let mut chain = Self {
            envoys: Vec::new(),
            apps: Vec::new(),
            leaf,
        };
        let mut next = chain.leaf.address();
        // From the leaf upwards, because each hop must know the next one.
        for hop in (0..3).rev() {
            let outbound = protection.outbound("next")?;
            let envoy = prepare(Envoy::builder())
                .listener(outbound)
                .cluster(cluster("next", next));
            // The first hop is the caller's sidecar; nobody comes in there.
            if shape == Shape::Proxies || hop == 0 {
                let envoy = envoy.start().await?;
                next = envoy.address("out");
                chain.envoys.push(envoy);
                continue;
            }
            // The sidecar must know the application's address before it starts, and
            // the application the sidecar's.
            let app_port = Port::hold()?;
            let envoy = envoy
                .listener(protection.inbound()?)
                .cluster(cluster("app", app_port.address()))
                .start()
                .await?;
            chain
                .apps
                .push(App::start_at(app_port, envoy.address("out"))?);
            next = envoy.address("in");
            chain.envoys.push(envoy);
        }
        chain.envoys.reverse();
        chain.apps.reverse();
        Ok(chain)
    }

    /// A client of the first hop.
    #[must_use]
    pub fn client(&self) -> Client {
        self.envoys[0].client("out")
    }

    /// The Envoy of a hop, from 0.
    #[must_use]
    pub fn envoy(&self, hop: usize) -> &Envoy {
        &self.envoys[hop]
    }

    /// The applications between the hops, if there are any.
    #[must_use]
    pub fn apps(&self) -> &[App] {
        &self.apps
    }
}
