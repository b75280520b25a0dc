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

#[cfg(target_arch = "wasm32")]
pub use abi::run_constructors;
pub use arena::allocate as memory_allocate;
pub(crate) use arena::{copy as arena_copy, reset as arena_reset};
pub use status::HostError;

/// Which header map a call works on (the ABI's map type).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub(crate) enum Map {
    /// Request headers.
    RequestHeaders = 0,
    /// Response headers.
    ResponseHeaders = 2,
    /// Response trailers.
    ResponseTrailers = 3,
    /// Headers that answer an HTTP callout.
    HttpCallResponseHeaders = 6,
}

/// Which buffer a call reads (the ABI's buffer type).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub(crate) enum Buffer {
    /// The plugin's configuration, during `on_configure`.
    PluginConfiguration = 7,
    /// Body that answers an HTTP callout.
    HttpCallResponseBody = 4,
}

/// Linear memory of the module in bytes, which only grows; 0 where there is none.
pub(crate) fn memory_size() -> usize {
    #[cfg(target_arch = "wasm32")]
    return std::arch::wasm32::memory_size::<0>() * 64 * 1024;
    #[cfg(not(target_arch = "wasm32"))]
    0
}

/// Whether so many bytes could be allocated now, in one piece.
pub(crate) fn has_memory(bytes: usize) -> bool {
    #[cfg(target_arch = "wasm32")]
    {
        let mut piece = Vec::<u8>::new();
        let got = piece.try_reserve_exact(bytes).is_ok();
        // The compiler may leave out an allocation that nobody looks at.
        std::hint::black_box(&mut piece);
        got
    }
    #[cfg(not(target_arch = "wasm32"))]
    crate::mock::has_memory(bytes)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_wasm::types::{BufferType, MapType};

    #[test]
    fn maps_and_buffers_are_those_of_the_stock_crate() {
        for (ours, theirs) in [
            (Map::RequestHeaders, MapType::HttpRequestHeaders),
            (Map::ResponseHeaders, MapType::HttpResponseHeaders),
            (Map::ResponseTrailers, MapType::HttpResponseTrailers),
            (
                Map::HttpCallResponseHeaders,
                MapType::HttpCallResponseHeaders,
            ),
        ] {
            assert_eq!(ours as u32, theirs as u32);
        }
        for (ours, theirs) in [
            (Buffer::PluginConfiguration, BufferType::PluginConfiguration),
            (
                Buffer::HttpCallResponseBody,
                BufferType::HttpCallResponseBody,
            ),
        ] {
            assert_eq!(ours as u32, theirs as u32);
        }
    }
}
