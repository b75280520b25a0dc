//! Envoy listeners.

use meshpack_sdk::config::Node;

use super::PEER_ADDRESS;
use crate::filters::Filter;
use crate::json::{self, object};
use crate::stat_tags::Tags;
use crate::translate::options::Options;
use crate::translate::target::{integer, text};

const PREFIX: &str = "type.googleapis.com/envoy.extensions.filters";

/// A filter and its configuration.
#[derive(Debug, Clone)]
pub(super) struct Plugin {
    filter: Filter,
    config: Node,
}

impl Plugin {
    pub(super) fn new(filter: Filter, config: Node) -> Self {
        Self { filter, config }
    }

    pub(super) fn authz(policies: Vec<Node>, needs_peer_address: bool, options: &Options) -> Self {
        let mut entries = Vec::new();
        let domain = options.trust_domain.as_ref();
        entries.extend(domain.map(|domain| ("trustDomain", text(domain))));
        if needs_peer_address {
            let key = object([("filterState", text(PEER_ADDRESS))]);
            entries.push(("directRemoteIp", key));
        }
        entries.push(("policies", Node::List(policies)));
        Self::new(Filter::AuthzPolicy, object(entries))
    }

    /// Adds the labels of its metrics.
    pub(super) fn add_tags(&self, tags: &mut Tags) {
        tags.add(self.filter, &self.config);
    }

    fn node(&self, options: &Options) -> Node {
        let name = self.filter.name();
        // Text, as protobuf's Struct forgets the order of labels.
        let configuration = object([
            (
                "@type",
                text("type.googleapis.com/google.protobuf.StringValue"),
            ),
            ("value", text(json::pretty(&self.config))),
        ]);
        let file = format!("{}/{name}.wasm", options.modules());
        let policy = self.filter.failure_policy().name();
        let code = object([("local", object([("filename", text(file))]))]);
        let vm = object([
            ("vm_id", text(name)),
            ("runtime", text("envoy.wasm.runtime.v8")),
            ("code", code),
        ]);
        let plugin = object([
            ("name", text(name)),
            ("root_id", text(name)),
            ("failure_policy", text(policy)),
            ("vm_config", vm),
            ("configuration", configuration),
        ]);
        http_filter(name, "wasm.v3.Wasm", vec![("config", plugin)])
    }
}

/// A listener with its filters and routes.
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) plugins: Vec<Plugin>,
    pub(super) routes: Node,
    pub(super) with_tls: bool,
    pub(super) with_peer_address: bool,
}

impl Listener {
    /// The listener that clients send their calls through.
    pub(super) fn outbound(port: u16, plugins: Vec<Plugin>, routes: Node) -> Self {
        Self {
            name: "outbound".to_owned(),
            port,
            plugins,
            routes,
            with_tls: false,
            with_peer_address: false,
        }
    }

    pub(super) fn node(&self, options: &Options) -> Node {
        let mut filters = Vec::new();
        if self.with_peer_address {
            filters.push(peer_address());
        }
        filters.extend(self.plugins.iter().map(|plugin| plugin.node(options)));
        filters.push(http_filter("router", "router.v3.Router", Vec::new()));
        let manager = object([
            (
                "@type",
                text(format!(
                    "{PREFIX}.network.http_connection_manager.v3.HttpConnectionManager"
                )),
            ),
            ("stat_prefix", text(&self.name)),
            // The address of a client is that of its connection, not what it claims.
            ("use_remote_address", Node::Bool(true)),
            ("normalize_path", Node::Bool(true)),
            ("route_config", self.routes.clone()),
            ("http_filters", Node::List(filters)),
        ]);
        let manager = object([
            ("name", text("http_connection_manager")),
            ("typed_config", manager),
        ]);
        let mut chain = vec![("filters", Node::List(vec![manager]))];
        if self.with_tls {
            chain.insert(0, ("transport_socket", tls()));
        }
        let socket = object([
            ("address", text("127.0.0.1")),
            ("port_value", integer(self.port)),
        ]);
        object([
            ("name", text(&self.name)),
            ("address", object([("socket_address", socket)])),
            ("filter_chains", Node::List(vec![object(chain)])),
        ])
    }
}

fn http_filter(name: &str, kind: &str, rest: Vec<(&str, Node)>) -> Node {
    let mut typed = vec![("@type", text(format!("{PREFIX}.http.{kind}")))];
    typed.extend(rest);
    object([("name", text(name)), ("typed_config", object(typed))])
}

/// Sets one text in the dynamic metadata of each request.
pub(crate) fn set_metadata(namespace: &str, key: &str, value: &str) -> Node {
    let metadata = object([
        ("metadata_namespace", text(namespace)),
        ("value", object([(key, text(value))])),
    ]);
    http_filter(
        "set_metadata",
        "set_metadata.v3.Config",
        vec![("metadata", Node::List(vec![metadata]))],
    )
}

/// Publishes the TCP peer's address, which Envoy does not show to plugins.
pub(crate) fn peer_address() -> Node {
    let source = object([(
        "inline_string",
        text("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"),
    )]);
    let value = object([
        ("object_key", text(PEER_ADDRESS)),
        ("factory_key", text("envoy.string")),
        ("format_string", object([("text_format_source", source)])),
    ]);
    http_filter(
        "set_filter_state",
        "set_filter_state.v3.Config",
        vec![("on_request_headers", Node::List(vec![value]))],
    )
}

/// TLS that knows clients by their certificates, and lets policies deny those
/// without one.
fn tls() -> Node {
    let file = |name: &str| object([("filename", text(format!("certs/{name}")))]);
    let own = object([
        ("certificate_chain", file("tls.crt")),
        ("private_key", file("tls.key")),
    ]);
    let context = object([
        ("tls_certificates", Node::List(vec![own])),
        (
            "validation_context",
            object([("trusted_ca", file("ca.crt"))]),
        ),
    ]);
    let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
    object([
        ("name", text("tls")),
        (
            "typed_config",
            object([("@type", text(kind)), ("common_tls_context", context)]),
        ),
    ])
}
