//! The four filters composed into one module: one VM, one context and one read
//! of the header map per request.
//!
//! Each part is optional under its own key and configured as in its own module;
//! `docs` and decisions are the same. They run in this order: a denied request is
//! never routed or retried, and still measured.

#![deny(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

use meshpack_authz_policy::AuthzPolicy;
use meshpack_canary_split::CanarySplit;
use meshpack_retry_budget::RetryBudget;
use meshpack_telemetry::Telemetry;

meshpack_sdk::compose! {
    /// All four filters.
    pub struct Meshpack("meshpack") {
        authz: AuthzPolicy,
        canary: CanarySplit,
        retry: RetryBudget,
        telemetry: Telemetry,
    }
}

#[cfg(feature = "module")]
meshpack_sdk::module!(
    Meshpack: request_headers, response_headers, response_trailers, log, done, http_call_response
);
