//! Envoy configuration: typed where tests vary it, JSON where they do not.
//!
//! Every type here becomes one JSON object of Envoy's v3 API and takes a `merge`
//! for whatever it has no method for, so nothing Envoy can do is out of reach.

mod cluster;
mod filter;
mod listener;
pub mod literal;
mod route;
mod wasm;

pub use cluster::Cluster;
pub use filter::{HttpFilter, header_mutation, lua};
pub use listener::{Codec, Listener, ServerTls};
pub use route::Route;
pub use wasm::{FailurePolicy, WasmFilter, wasm_module};

pub(crate) use listener::EcdsFilter;
#[cfg(feature = "container")]
pub(crate) use wasm::dist_folder;
pub(crate) use wasm::workspace_root;

use serde_json::{Value, json};
use std::net::SocketAddr;

/// Merges `patch` into `base`: objects key by key, arrays by appending, anything
/// else by replacing.
pub fn merge(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(base), Value::Array(patch)) => base.extend(patch),
        (base, patch) => *base = patch,
    }
}

pub(crate) fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {
        "address": address.ip().to_string(),
        "port_value": address.port(),
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_keys_appends_lists_and_replaces_the_rest() {
        let mut base = json!({"a": {"b": 1}, "list": [1]});
        merge(&mut base, json!({"a": {"b": 2, "c": 3}, "list": [2]}));
        assert_eq!(base, json!({"a": {"b": 2, "c": 3}, "list": [1, 2]}));
    }
}
