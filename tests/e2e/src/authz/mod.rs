//! Authorization policies for the end-to-end tests: the filter, the stock
//! filters that give it what it needs, and Istio's way to say the same with
//! native RBAC.

pub mod expressions;
pub mod native;
pub mod random;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use meshpack_harness::{
    Envoy, EnvoyBuilder, HttpFilter, Listener, Route, WasmFilter, versions, wasm_module,
};
use serde_json::{Value, json};

/// Filter state under which the chains of these tests publish the TCP peer.
pub const PEER_ADDRESS: &str = "meshpack.peer_address";
/// Header from which the chains of these tests take a token's payload, and the
/// metadata of an imaginary filter.
pub const PAYLOAD_HEADER: &str = "x-test-payload";
/// See [`PAYLOAD_HEADER`].
pub const OTHER_HEADER: &str = "x-test-other";
/// The imaginary filter.
pub const OTHER_FILTER: &str = "envoy.filters.http.f";
/// Response header that shows `%RESPONSE_CODE_DETAILS%`.
pub const DETAILS: &str = "x-details";

/// A proxy to be built on each version of the matrix.
///
/// # Panics
/// When `ENVOY_VERSION` is no version.
#[must_use]
pub fn builders() -> Vec<EnvoyBuilder> {
    let versions = versions().expect("ENVOY_VERSION is a version");
    versions
        .into_iter()
        .map(|version| Envoy::builder().version(version))
        .collect()
}

/// The filter with this configuration.
///
/// # Panics
/// When the module has not been built.
#[must_use]
pub fn filter(config: &Value) -> WasmFilter {
    let module = wasm_module("authz_policy").expect("make build builds the module");
    WasmFilter::new("authz_policy", module).config(config)
}

/// A configuration with these policies, able to read everything the chains of
/// these tests publish.
#[must_use]
pub fn config(policies: &[Value]) -> Value {
    json!({"policies": policies, "directRemoteIp": {"filterState": PEER_ADDRESS}})
}

/// A policy named `name`.
#[must_use]
pub fn policy(name: &str, action: &str, rules: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"action": action, "rules": rules}})
}

/// A listener that answers 200 to what passes `filters`, configured as Istio
/// configures its own: paths normalised, the client's address from
/// X-Forwarded-For, the server name of a TLS hello noted.
#[must_use]
pub fn listener(name: &str, filters: Vec<HttpFilter>) -> Listener {
    surroundings()
        .into_iter()
        .chain(filters)
        .fold(Listener::new(name), Listener::filter)
        .route(Route::direct(200, "allowed"))
        .merge_manager(json!({
            "normalize_path": true,
            "use_remote_address": false,
        }))
        .merge(json!({"listener_filters": [{
            "name": "envoy.filters.listener.tls_inspector",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
            }
        }]}))
}

/// The stock filters that stand before policies in these tests: they show why
/// Envoy answered, publish the peer's address, and put claims into metadata.
#[must_use]
pub fn surroundings() -> [HttpFilter; 3] {
    [
        show_details(),
        publish_peer_address(),
        metadata_from_headers(),
    ]
}

/// Stock filter that publishes the TCP peer's address as filter state.
#[must_use]
pub fn publish_peer_address() -> HttpFilter {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config";
    HttpFilter::new(
        "envoy.filters.http.set_filter_state",
        json!({"@type": kind, "on_request_headers": [{
            "object_key": PEER_ADDRESS,
            "factory_key": "envoy.string",
            "format_string": {"text_format_source": {
                "inline_string": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
            }}
        }]}),
    )
}

/// Stock filter that stands in for jwt_authn: it puts serialized
/// `google.protobuf.Value`s from headers into dynamic metadata.
fn metadata_from_headers() -> HttpFilter {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config";
    let rule = |header: &str, filter: &str, key: &str| {
        json!({"header": header, "remove": true, "on_header_present": {
            "metadata_namespace": filter, "key": key, "type": "PROTOBUF_VALUE", "encode": "BASE64",
        }})
    };
    HttpFilter::new(
        "envoy.filters.http.header_to_metadata",
        json!({"@type": kind, "request_rules": [
            rule(PAYLOAD_HEADER, "envoy.filters.http.jwt_authn", "payload"),
            rule(OTHER_HEADER, OTHER_FILTER, "k"),
        ]}),
    )
}

/// Stock filter that shows why Envoy answered as it did, and what native RBAC
/// would have answered (see [`native::shadow`]).
fn show_details() -> HttpFilter {
    let kind =
        "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
    let shown = |header: &str, value: &str| {
        json!({"append": {
            "header": {"key": header, "value": value},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }})
    };
    let mut mutations = vec![shown(DETAILS, "%RESPONSE_CODE_DETAILS%")];
    for action in ["deny", "allow"] {
        for what in ["engine_result", "effective_policy_id"] {
            let key = format!("{action}_shadow_{what}");
            mutations.push(shown(
                &format!("x-native-{}", key.replace('_', "-")),
                &format!("%DYNAMIC_METADATA(envoy.filters.http.rbac:{key})%"),
            ));
        }
    }
    HttpFilter::new(
        "envoy.filters.http.header_mutation",
        json!({"@type": kind, "mutations": {"response_mutations": mutations}}),
    )
}

/// A value for [`PAYLOAD_HEADER`] and [`OTHER_HEADER`].
#[must_use]
pub fn metadata_header(value: &Value) -> String {
    BASE64_STANDARD.encode(protobuf_value(value))
}

/// A serialized `google.protobuf.Value`.
fn protobuf_value(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => vec![0x08, 0],
        Value::Bool(bit) => vec![0x20, u8::from(*bit)],
        Value::Number(number) => {
            let bits = number.as_f64().unwrap_or_default().to_le_bytes();
            [&[0x11], bits.as_slice()].concat()
        }
        Value::String(text) => length_delimited(3, text.as_bytes()),
        Value::Array(items) => {
            let list = items
                .iter()
                .map(|item| length_delimited(1, &protobuf_value(item)));
            length_delimited(6, &list.collect::<Vec<_>>().concat())
        }
        Value::Object(fields) => {
            let entries = fields.iter().map(|(key, value)| {
                let key = length_delimited(1, key.as_bytes());
                let value = length_delimited(2, &protobuf_value(value));
                length_delimited(1, &[key, value].concat())
            });
            length_delimited(5, &entries.collect::<Vec<_>>().concat())
        }
    }
}

fn length_delimited(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length as u8 & 0x7f) | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}
