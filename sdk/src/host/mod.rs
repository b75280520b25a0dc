//! The proxy-wasm ABI with statuses instead of panics.
//!
//! On wasm32 the calls go to the host; elsewhere they go to the
//! [mock host](crate::mock), so that filters run in native tests.

mod arena;
mod status;

#[cfg(target_arch = "wasm32")]
pub(crate) mod abi;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::mock::abi;

pub use arena::allocate as memory_allocate;
pub(crate) use arena::{copy as arena_copy, reset as arena_reset};
pub use status::HostError;

/// Which header map a call works on (`proxy_wasm::types::MapType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub(crate) enum Map {
    /// Request headers.
    RequestHeaders = proxy_wasm::types::MapType::HttpRequestHeaders as u32,
    /// Response headers.
    ResponseHeaders = proxy_wasm::types::MapType::HttpResponseHeaders as u32,
    /// Response trailers.
    ResponseTrailers = proxy_wasm::types::MapType::HttpResponseTrailers as u32,
    /// Headers that answer an HTTP callout.
    HttpCallResponseHeaders = proxy_wasm::types::MapType::HttpCallResponseHeaders as u32,
}

/// Which buffer a call reads (`proxy_wasm::types::BufferType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub(crate) enum Buffer {
    /// The plugin's configuration, during `on_configure`.
    PluginConfiguration = proxy_wasm::types::BufferType::PluginConfiguration as u32,
    /// Body that answers an HTTP callout.
    HttpCallResponseBody = proxy_wasm::types::BufferType::HttpCallResponseBody as u32,
}

/// Serializes pairs as the ABI wants them: count, lengths, then each name and
/// value followed by a NUL.
#[must_use]
pub fn encode_pairs(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let size = pairs
        .iter()
        .fold(4, |size, (n, v)| size + 10 + n.len() + v.len());
    let mut out = Vec::with_capacity(size);
    let push_len = |out: &mut Vec<u8>, len: usize| {
        out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    };
    push_len(&mut out, pairs.len());
    for (name, value) in pairs {
        push_len(&mut out, name.len());
        push_len(&mut out, value.len());
    }
    for (name, value) in pairs {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}
