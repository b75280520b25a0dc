//! What an answer tells about the attempts that led to it.

use meshpack_sdk::attributes::{
    RESPONSE_CODE_DETAILS, RESPONSE_FLAGS, UPSTREAM_REQUEST_ATTEMPT_COUNT,
};
use meshpack_sdk::{HostError, ResponseHeaders};

/// Envoy retries no answer that carries this header, unless the route's
/// `retry_on` lists `envoy-ratelimited`.
pub(crate) const RATELIMITED: &[u8] = b"x-envoy-ratelimited";

/// `UO`: a circuit breaker was full, the one for retries among them.
const UPSTREAM_OVERFLOW: i64 = 0x80;
/// `URX`: a retry was wanted and the limit of the request was reached.
const RETRY_LIMIT_EXCEEDED: i64 = 0x8000;

/// Retries that the attribute tells of. A request that never reached the router
/// had none. `unknown` is for a host that refuses to say: then what was
/// reserved counts as spent, because a budget must not be exceeded.
pub(crate) fn retries(attempts: Result<Option<i64>, HostError>, unknown: u32) -> u32 {
    match attempts {
        Ok(attempts) => {
            let retries = attempts.unwrap_or(0).saturating_sub(1).max(0);
            u32::try_from(retries).unwrap_or(u32::MAX)
        }
        Err(_) => unknown,
    }
}

/// Whether the router wanted one more retry and its limit did not allow it.
pub(crate) fn limit_was_reached(cx: &ResponseHeaders<'_>) -> bool {
    flags(cx) & RETRY_LIMIT_EXCEEDED != 0
}

fn flags(cx: &ResponseHeaders<'_>) -> i64 {
    let flags = cx.attribute(&RESPONSE_FLAGS);
    flags.ok().flatten().unwrap_or(0)
}

/// Whether this is a failure that a caller could want to retry: 5xx, or a gRPC
/// error in the response headers (one in the trailers is never retried).
pub(crate) fn is_failure(cx: &mut ResponseHeaders<'_>) -> bool {
    let status = cx.header(b":status").ok().flatten();
    if status.is_some_and(|status| status.first() == Some(&b'5')) {
        return true;
    }
    let grpc_status = cx.header(b"grpc-status").ok().flatten();
    grpc_status.is_some_and(|status| status != b"0")
}

/// Whether this hop is done with retrying the failure: it has retried, its
/// retries were refused, or a hop below has marked the answer.
pub(crate) fn is_final_here(cx: &mut ResponseHeaders<'_>) -> bool {
    if is_marked(cx) {
        return true;
    }
    let attempts = cx.attribute(&UPSTREAM_REQUEST_ATTEMPT_COUNT);
    if retries(attempts, 0) > 0 {
        return true;
    }
    match flags(cx) {
        flags if flags & RETRY_LIMIT_EXCEEDED != 0 => true,
        // Also set when the request itself found a breaker full; that one was
        // never sent, so the caller may try elsewhere.
        flags if flags & UPSTREAM_OVERFLOW != 0 => {
            let details = cx.text(&RESPONSE_CODE_DETAILS).ok().flatten();
            !details.is_some_and(|details| details.ends_with(b"{overflow}"))
        }
        _ => false,
    }
}

/// Whether the answer carries the mark already.
pub(crate) fn is_marked(cx: &mut ResponseHeaders<'_>) -> bool {
    cx.header(RATELIMITED).ok().flatten().is_some()
}
