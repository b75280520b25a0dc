//! Routes of a virtual host.

use serde_json::{Value, json};

use super::merge;

/// One entry of a virtual host's `routes`; the first that matches wins.
#[derive(Clone, Debug, PartialEq)]
pub struct Route(Value);

impl Route {
    /// Everything to `cluster`.
    pub fn to(cluster: impl Into<String>) -> Self {
        Self(json!({"match": {"prefix": "/"}, "route": {"cluster": cluster.into()}}))
    }

    /// To the cluster that request header `header` names.
    pub fn to_cluster_in(header: impl Into<String>) -> Self {
        Self(json!({"match": {"prefix": "/"}, "route": {"cluster_header": header.into()}}))
    }

    /// Answered by Envoy itself with `status` and `body`.
    pub fn direct(status: u16, body: impl Into<String>) -> Self {
        Self(json!({
            "match": {"prefix": "/"},
            "direct_response": {"status": status, "body": {"inline_string": body.into()}},
        }))
    }

    /// Only requests whose path begins with `prefix`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.0["match"]["prefix"] = json!(prefix.into());
        self
    }

    /// Only requests with `value` in `header`.
    pub fn when_header(self, header: impl Into<String>, value: impl Into<String>) -> Self {
        self.merge(json!({"match": {"headers": [
            {"name": header.into(), "string_match": {"exact": value.into()}},
        ]}}))
    }

    /// The route's `retry_policy`.
    pub fn retry(self, policy: Value) -> Self {
        self.merge(json!({"route": {"retry_policy": policy}}))
    }

    /// Merges `patch` into the route.
    pub fn merge(mut self, patch: Value) -> Self {
        merge(&mut self.0, patch);
        self
    }
}

impl From<Value> for Route {
    /// Takes a literal route.
    fn from(route: Value) -> Self {
        Self(route)
    }
}

impl From<Route> for Value {
    fn from(route: Route) -> Self {
        route.0
    }
}
