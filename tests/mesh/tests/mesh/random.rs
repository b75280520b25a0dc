//! Policies nobody wrote, about the callers, paths and tokens that the mesh has.

use std::fmt;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Changes the sets: any number.
const SEED: &str = "MESHPACK_MESH_SEED";

/// Sets of policies, the same for the same seed.
pub(crate) struct Policies {
    seed: u64,
    state: u64,
}

impl fmt::Display for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SEED}={}", self.seed)
    }
}

impl Policies {
    /// From the environment's seed, or always the same.
    pub(crate) fn seeded() -> Result<Self> {
        let seed = match std::env::var(SEED) {
            Ok(text) => text.parse().context(SEED)?,
            Err(_) => 1,
        };
        Ok(Self { seed, state: seed })
    }

    /// SplitMix64.
    fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick(&mut self, from: &[&str]) -> Value {
        from.get(self.below(from.len()))
            .copied()
            .unwrap_or_default()
            .into()
    }

    /// One to three policies, as documents of one text.
    pub(crate) fn next_set(&mut self) -> String {
        let count = 1 + self.below(3);
        let policies = (0..count).map(|number| self.policy(number).to_string());
        policies.collect::<Vec<_>>().join("\n---\n")
    }

    fn policy(&mut self, number: usize) -> Value {
        let (namespace, selector) = match self.below(5) {
            0 => ("istio-system", Value::Null),
            1 => ("istio-system", json!({"istio": "ingressgateway"})),
            2 => ("shop", Value::Null),
            _ => ("shop", json!({"app": "orders"})),
        };
        let rules: Vec<Value> = (0..1 + self.below(2)).map(|_| self.rule()).collect();
        let mut spec = json!({"action": self.pick(&["ALLOW", "DENY"]), "rules": rules});
        if !selector.is_null() {
            spec["selector"] = json!({"matchLabels": selector});
        }
        json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": format!("generated-{number}"), "namespace": namespace},
            "spec": spec,
        })
    }

    fn rule(&mut self) -> Value {
        let mut rule = json!({});
        // A rule with nothing in it is one for all.
        if !self.one_in(3) {
            rule["to"] = json!([{"operation": self.operation()}]);
        }
        if !self.one_in(3) {
            rule["from"] = json!([{"source": self.source()}]);
        }
        if self.one_in(3) {
            rule["when"] = json!([self.condition()]);
        }
        rule
    }

    fn operation(&mut self) -> Value {
        let (field, value) = match self.below(6) {
            0 => ("methods", self.pick(&["GET", "POST"])),
            1 => ("notMethods", self.pick(&["GET", "POST"])),
            2 => ("notPaths", self.pick(&["/admin*", "/public", "/items/*"])),
            3 => (
                "hosts",
                self.pick(&["orders.shop", "*.example.com", "payments*"]),
            ),
            _ => (
                "paths",
                self.pick(&["/admin*", "/public", "/items/{*}", "*/users", "/*"]),
            ),
        };
        json!({field: [value]})
    }

    fn source(&mut self) -> Value {
        let (field, value) = match self.below(9) {
            0 => ("namespaces", self.pick(&["shop", "web", "istio-*"])),
            1 => ("notNamespaces", self.pick(&["shop", "web"])),
            2 => (
                "ipBlocks",
                self.pick(&["10.244.0.16/32", "10.244.0.8/30", "192.168.0.0/16"]),
            ),
            3 => ("notIpBlocks", self.pick(&["10.244.0.11", "10.244.0.16/28"])),
            4 => (
                "requestPrincipals",
                self.pick(&["*", "https://issuer.example.com/root"]),
            ),
            5 => (
                "notRequestPrincipals",
                self.pick(&["*", "https://issuer.example.com/ann"]),
            ),
            6 => (
                "notPrincipals",
                self.pick(&["*", "cluster.local/ns/shop/sa/cart"]),
            ),
            _ => (
                "principals",
                self.pick(&["*", "cluster.local/ns/shop/sa/cart", "*/frontend"]),
            ),
        };
        json!({field: [value]})
    }

    fn condition(&mut self) -> Value {
        match self.below(4) {
            0 => json!({"key": "request.auth.claims[groups]", "values": ["admins"]}),
            1 => json!({"key": "request.auth.claims[groups]", "notValues": ["admins"]}),
            2 => json!({"key": "source.namespace", "values": ["shop"]}),
            _ => json!({"key": "request.headers[authorization]", "values": ["Bearer *"]}),
        }
    }
}
