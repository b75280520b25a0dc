//! HTTP filters, as they stand in a filter chain.

use serde_json::{Value, json};

/// One entry of `http_filters`: `{name, typed_config}`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpFilter(Value);

impl HttpFilter {
    /// A filter called `name` with the given `typed_config` (including its `@type`).
    pub fn new(name: impl Into<String>, typed_config: Value) -> Self {
        Self(json!({"name": name.into(), "typed_config": typed_config}))
    }

    /// The `typed_config` alone, without the name.
    pub fn typed_config(&self) -> &Value {
        &self.0["typed_config"]
    }

    /// The filter's name.
    pub fn name(&self) -> &str {
        self.0["name"].as_str().unwrap_or_default()
    }

    pub(crate) fn router() -> Self {
        let kind = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
        Self::new("envoy.filters.http.router", json!({"@type": kind}))
    }

    pub(crate) fn upstream_codec() -> Self {
        let kind =
            "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec";
        Self::new("envoy.filters.http.upstream_codec", json!({"@type": kind}))
    }
}

impl From<Value> for HttpFilter {
    /// Takes a literal entry of `http_filters`.
    fn from(entry: Value) -> Self {
        Self(entry)
    }
}

impl From<HttpFilter> for Value {
    fn from(filter: HttpFilter) -> Self {
        filter.0
    }
}

/// A stock filter that sets one request header: the smallest filter with an effect.
pub fn header_mutation(header: &str, value: &str) -> HttpFilter {
    let kind =
        "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
    HttpFilter::new(
        "envoy.filters.http.header_mutation",
        json!({"@type": kind, "mutations": {"request_mutations": [{"append": {
            "header": {"key": header, "value": value},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }}]}}),
    )
}

/// A Lua filter running `source`, for comparisons.
pub fn lua(source: &str) -> HttpFilter {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua";
    HttpFilter::new(
        "envoy.filters.http.lua",
        json!({"@type": kind, "default_source_code": {"inline_string": source}}),
    )
}
