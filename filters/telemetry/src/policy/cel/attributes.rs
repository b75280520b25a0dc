//! Envoy's attributes: their types, and when they are there.
//!
//! Source: Envoy's attribute documentation and
//! `source/extensions/filters/common/expr/context.cc`; results of an evaluation
//! carry no type, so the reader has to know it.

use super::shape::Segment;

/// What the bytes of an attribute mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeType {
    /// Bytes as they are.
    Text,
    /// Eight bytes, little-endian, signed or unsigned.
    Int,
    /// One byte.
    Bool,
    /// Eight bytes, little-endian nanoseconds.
    Duration,
    /// Eight bytes, little-endian nanoseconds since 1970.
    Timestamp,
    /// A map or a message, which no label can show.
    Composite,
}

/// When an attribute is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// From the request headers on, for every request.
    Always,
    /// From the request headers on, where the request, the connection or the
    /// route has it.
    Sometimes,
    /// Only once the request is over, for every request.
    AtEnd,
    /// Only once the request is over, and only if the request got that far.
    AtEndSometimes,
}

impl Presence {
    /// Whether the value is final when the request headers have arrived.
    #[must_use]
    pub fn at_start(self) -> bool {
        matches!(self, Self::Always | Self::Sometimes)
    }

    /// Whether an evaluation can count on it at the end of the request.
    #[must_use]
    pub fn certain_at_end(self) -> bool {
        matches!(self, Self::Always | Self::AtEnd)
    }
}

use AttributeType::{Bool, Composite, Duration, Int, Text, Timestamp};
use Presence::{Always, AtEnd, AtEndSometimes, Sometimes};

/// `root.field`, type, presence; sorted by neither, looked up at configure only.
const ATTRIBUTES: [(&str, &str, AttributeType, Presence); 76] = [
    ("request", "path", Text, Sometimes),
    ("request", "url_path", Text, Sometimes),
    ("request", "host", Text, Sometimes),
    ("request", "scheme", Text, Sometimes),
    ("request", "method", Text, Sometimes),
    ("request", "headers", Composite, Always),
    ("request", "headers_bytes", Int, AtEndSometimes),
    ("request", "referer", Text, Sometimes),
    ("request", "useragent", Text, Sometimes),
    ("request", "time", Timestamp, Always),
    ("request", "id", Text, Sometimes),
    ("request", "protocol", Text, Sometimes),
    ("request", "query", Text, Sometimes),
    ("request", "duration", Duration, AtEndSometimes),
    ("request", "size", Int, AtEnd),
    ("request", "total_size", Int, AtEnd),
    ("response", "code", Int, AtEndSometimes),
    ("response", "code_details", Text, AtEndSometimes),
    ("response", "flags", Int, AtEnd),
    ("response", "grpc_status", Int, AtEndSometimes),
    ("response", "headers", Composite, AtEnd),
    ("response", "headers_bytes", Int, AtEndSometimes),
    ("response", "trailers", Composite, AtEnd),
    ("response", "size", Int, AtEnd),
    ("response", "total_size", Int, AtEnd),
    ("response", "backend_latency", Duration, AtEndSometimes),
    ("connection", "id", Int, Sometimes),
    ("connection", "mtls", Bool, Always),
    ("connection", "requested_server_name", Text, Sometimes),
    ("connection", "tls_version", Text, Sometimes),
    ("connection", "subject_local_certificate", Text, Sometimes),
    ("connection", "subject_peer_certificate", Text, Sometimes),
    ("connection", "dns_san_local_certificate", Text, Sometimes),
    ("connection", "dns_san_peer_certificate", Text, Sometimes),
    ("connection", "uri_san_local_certificate", Text, Sometimes),
    ("connection", "uri_san_peer_certificate", Text, Sometimes),
    (
        "connection",
        "sha256_peer_certificate_digest",
        Text,
        Sometimes,
    ),
    (
        "connection",
        "transport_failure_reason",
        Text,
        AtEndSometimes,
    ),
    ("connection", "termination_details", Text, AtEndSometimes),
    ("upstream", "address", Text, AtEndSometimes),
    ("upstream", "port", Int, AtEndSometimes),
    ("upstream", "local_address", Text, AtEndSometimes),
    ("upstream", "transport_failure_reason", Text, AtEndSometimes),
    ("upstream", "request_attempt_count", Int, AtEndSometimes),
    (
        "upstream",
        "cx_pool_ready_duration",
        Duration,
        AtEndSometimes,
    ),
    ("upstream", "locality", Composite, AtEndSometimes),
    ("upstream", "num_endpoints", Int, AtEndSometimes),
    ("upstream", "tls_version", Text, AtEndSometimes),
    (
        "upstream",
        "subject_local_certificate",
        Text,
        AtEndSometimes,
    ),
    ("upstream", "subject_peer_certificate", Text, AtEndSometimes),
    (
        "upstream",
        "dns_san_local_certificate",
        Text,
        AtEndSometimes,
    ),
    ("upstream", "dns_san_peer_certificate", Text, AtEndSometimes),
    (
        "upstream",
        "uri_san_local_certificate",
        Text,
        AtEndSometimes,
    ),
    ("upstream", "uri_san_peer_certificate", Text, AtEndSometimes),
    (
        "upstream",
        "sha256_peer_certificate_digest",
        Text,
        AtEndSometimes,
    ),
    ("source", "address", Text, Sometimes),
    ("source", "port", Int, Sometimes),
    ("destination", "address", Text, Sometimes),
    ("destination", "port", Int, Sometimes),
    ("xds", "node", Composite, Always),
    ("xds", "cluster_name", Text, AtEndSometimes),
    ("xds", "cluster_metadata", Composite, AtEndSometimes),
    ("xds", "route_name", Text, Sometimes),
    ("xds", "route_metadata", Composite, Sometimes),
    ("xds", "virtual_host_name", Text, Sometimes),
    ("xds", "virtual_host_metadata", Composite, Sometimes),
    ("xds", "upstream_host_metadata", Composite, AtEndSometimes),
    (
        "xds",
        "upstream_host_locality_metadata",
        Composite,
        AtEndSometimes,
    ),
    ("xds", "filter_chain_name", Text, Sometimes),
    ("xds", "listener_metadata", Composite, Sometimes),
    ("xds", "listener_direction", Int, Always),
    ("", "plugin_name", Text, Always),
    ("", "plugin_root_id", Text, Always),
    ("", "plugin_vm_id", Text, Always),
    ("", "connection_id", Int, Sometimes),
    ("", "metadata", Composite, Always),
];

/// The attribute named by the first segments of a path; `None` when Envoy's
/// documentation has no such attribute.
#[must_use]
pub fn attribute(path: &[Segment]) -> Option<(AttributeType, Presence)> {
    let (first, rest) = path.split_first()?;
    ATTRIBUTES
        .iter()
        .find(|(root, field, ..)| match *root {
            "" => *field == first.name && rest.is_empty(),
            root => root == first.name && rest.first().is_some_and(|next| next.name == *field),
        })
        .map(|(_, _, kind, presence)| (*kind, *presence))
}
