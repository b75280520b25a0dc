//! Envoy's attributes with their types.
//!
//! A property read returns bytes whose meaning only the reader knows; the type
//! stands here beside the path, once. Reading one costs about as much as the
//! whole request header map, so read what a configuration needs and no more.

use std::marker::PhantomData;

use crate::host::{HostError, abi};

/// A typed attribute: its path, segments separated by NUL as the ABI wants it.
#[derive(Debug)]
pub struct Attribute<T> {
    path: &'static [u8],
    kind: PhantomData<T>,
}

impl<T> Attribute<T> {
    /// An attribute at `path` (`b"source\0address"`).
    #[must_use]
    pub const fn new(path: &'static [u8]) -> Self {
        Self {
            path,
            kind: PhantomData,
        }
    }

    /// The NUL-joined path.
    #[must_use]
    pub fn path(&self) -> &'static [u8] {
        self.path
    }
}

/// How an attribute's bytes are read.
pub trait Decode<'a>: Sized {
    /// `None` when the bytes do not have this type's form.
    fn decode(bytes: &'a [u8]) -> Option<Self>;
}

/// Bytes as they are; strings are not necessarily UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(pub &'a [u8]);

impl<'a> Decode<'a> for Text<'a> {
    fn decode(bytes: &'a [u8]) -> Option<Self> {
        Some(Self(bytes))
    }
}

impl Decode<'_> for i64 {
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_le_bytes(bytes.try_into().ok()?))
    }
}

impl Decode<'_> for u64 {
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_le_bytes(bytes.try_into().ok()?))
    }
}

impl Decode<'_> for f64 {
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_le_bytes(bytes.try_into().ok()?))
    }
}

impl Decode<'_> for bool {
    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [byte] => Some(*byte != 0),
            _ => None,
        }
    }
}

/// Reads an attribute at a NUL-joined path as bytes; `None` when it is absent
/// or has no byte form (an unset message), which Envoy reports as different
/// errors.
///
/// # Errors
/// Any other answer of the host.
pub(crate) fn read_bytes(path: &[u8]) -> Result<Option<&'static [u8]>, HostError> {
    match abi::property(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(HostError::NotFound | HostError::SerializationFailure | HostError::Empty) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads an attribute outside of any stream, while a plugin starts: only
/// `xds.node` and `plugin_…` are there.
///
/// # Errors
/// What the host answers beside "not found".
pub fn of_plugin(path: &[u8]) -> Result<Option<Vec<u8>>, HostError> {
    Ok(read_bytes(path)?.map(<[u8]>::to_vec))
}

/// Joins path segments with NUL, for paths that a configuration names.
#[must_use]
pub fn path<'a>(segments: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut out = Vec::new();
    for segment in segments {
        if !out.is_empty() {
            out.push(0);
        }
        out.extend_from_slice(segment.as_bytes());
    }
    out
}

macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $path:literal;)*) => {
        $($(#[$doc])* pub const $name: Attribute<$kind> = Attribute::new($path);)*
    };
}

attributes! {
    /// `ip:port` of the downstream remote after XFF or PROXY protocol.
    SOURCE_ADDRESS: Text<'static> = b"source\0address";
    /// `ip:port` of the local end of the downstream connection.
    DESTINATION_ADDRESS: Text<'static> = b"destination\0address";
    /// Local port of the downstream connection.
    DESTINATION_PORT: i64 = b"destination\0port";
    /// SNI of the downstream connection.
    REQUESTED_SERVER_NAME: Text<'static> = b"connection\0requested_server_name";
    /// First URI SAN of the peer certificate.
    URI_SAN_PEER_CERTIFICATE: Text<'static> = b"connection\0uri_san_peer_certificate";
    /// First DNS SAN of the peer certificate.
    DNS_SAN_PEER_CERTIFICATE: Text<'static> = b"connection\0dns_san_peer_certificate";
    /// Subject of the peer certificate.
    SUBJECT_PEER_CERTIFICATE: Text<'static> = b"connection\0subject_peer_certificate";
    /// Whether the peer presented a certificate.
    MTLS: bool = b"connection\0mtls";
    /// The stream's dynamic metadata, serialized `envoy.config.core.v3.Metadata`.
    METADATA: Text<'static> = b"metadata";
    /// Response status; 0 or absent when there was none.
    RESPONSE_CODE: i64 = b"response\0code";
    /// Why the response has its status, `via_upstream` and so on.
    RESPONSE_CODE_DETAILS: Text<'static> = b"response\0code_details";
    /// Envoy's response flags as a bit set.
    RESPONSE_FLAGS: i64 = b"response\0flags";
    /// gRPC status of the response, absent for other requests.
    RESPONSE_GRPC_STATUS: i64 = b"response\0grpc_status";
    /// Attempts made upstream, 1 without a retry.
    UPSTREAM_REQUEST_ATTEMPT_COUNT: i64 = b"upstream\0request_attempt_count";
    /// Address of the upstream host.
    UPSTREAM_ADDRESS: Text<'static> = b"upstream\0address";
    /// Cluster that the route chose.
    CLUSTER_NAME: Text<'static> = b"xds\0cluster_name";
    /// Name of the matched route.
    ROUTE_NAME: Text<'static> = b"xds\0route_name";
    /// 1 inbound, 2 outbound (`envoy.config.core.v3.TrafficDirection`).
    LISTENER_DIRECTION: i64 = b"xds\0listener_direction";
    /// Name of the plugin in Envoy's configuration.
    PLUGIN_NAME: Text<'static> = b"plugin_name";
}
