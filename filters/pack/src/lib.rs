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
use meshpack_sdk::record::{FailurePolicy, Record};
use meshpack_telemetry::Telemetry;

// For those that read configurations.
pub use {meshpack_authz_policy, meshpack_canary_split, meshpack_retry_budget, meshpack_telemetry};

/// The filters in it, in the order in which a request meets them.
pub const PARTS: [&Record; 4] = [
    &meshpack_authz_policy::RECORD,
    &meshpack_canary_split::RECORD,
    &meshpack_retry_budget::RECORD,
    &meshpack_telemetry::RECORD,
];

/// The pack.
pub const RECORD: Record = Record {
    name: "meshpack",
    part: "",
    description: "Policies, canaries, retry budgets and telemetry in one proxy-wasm filter",
    keys: {
        let [first, second, third, fourth] = PARTS;
        &[first.part, second.part, third.part, fourth.part]
    },
    istio_phase: None,
    on_trap: FailurePolicy::Reload,
    on_trap_because: "all its parts share one fate, that of the guard among them",
    metrics: &[],
};

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
