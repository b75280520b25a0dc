//! What a response says about the arm.

use super::settings::FailureClasses;

/// What is known of a finished request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observation {
    /// Response status, `None` when there was none.
    pub code: Option<u32>,
    /// Envoy's response flags as a bit set.
    pub flags: u64,
    /// gRPC status, when the request was gRPC and had one.
    pub grpc_status: Option<i64>,
}

/// What it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The arm did its work.
    Success,
    /// The arm failed.
    Failure,
    /// The arm has no endpoint that could take a request.
    NoEndpoint,
    /// Says nothing: the client went away.
    Unknown,
}

/// Envoy's response flags (`envoy.data.accesslog.v3.ResponseFlags`, in the bit
/// order of `CoreResponseFlag`).
mod flag {
    pub(super) const NO_HEALTHY_UPSTREAM: u64 = 1 << 1;
    pub(super) const LOCAL_RESET: u64 = 1 << 3;
    pub(super) const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
    pub(super) const UPSTREAM_CONNECTION_FAILURE: u64 = 1 << 5;
    pub(super) const UPSTREAM_CONNECTION_TERMINATION: u64 = 1 << 6;
    pub(super) const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 1 << 14;
    pub(super) const UPSTREAM_PROTOCOL_ERROR: u64 = 1 << 23;
    pub(super) const NO_CLUSTER_FOUND: u64 = 1 << 24;
}

const RESETS: u64 = flag::LOCAL_RESET
    | flag::UPSTREAM_REMOTE_RESET
    | flag::UPSTREAM_CONNECTION_FAILURE
    | flag::UPSTREAM_CONNECTION_TERMINATION
    | flag::UPSTREAM_PROTOCOL_ERROR;

/// gRPC statuses of a failing server, those that Envoy's outlier detection maps
/// to 500 and above: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL,
/// UNAVAILABLE, DATA_LOSS.
const GRPC_FAILURES: [i64; 6] = [2, 4, 12, 13, 14, 15];

/// Gives an observation its meaning.
#[must_use]
pub fn classify(seen: &Observation, classes: FailureClasses) -> Outcome {
    if seen.flags & (flag::NO_HEALTHY_UPSTREAM | flag::NO_CLUSTER_FOUND) != 0 {
        return Outcome::NoEndpoint;
    }
    let grpc = seen
        .grpc_status
        .is_some_and(|status| GRPC_FAILURES.contains(&status));
    let failed = (classes.resets && seen.flags & RESETS != 0)
        || (classes.grpc && grpc)
        || (classes.server_errors && seen.code.is_some_and(|code| code >= 500));
    if failed {
        Outcome::Failure
    } else if seen.flags & flag::DOWNSTREAM_CONNECTION_TERMINATION != 0 || seen.code.is_none() {
        Outcome::Unknown
    } else {
        Outcome::Success
    }
}
