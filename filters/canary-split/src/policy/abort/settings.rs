//! When a canary is taken out, as somebody wants it.

use std::time::Duration;

/// What counts as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureClasses {
    /// A response status of 500 or more, the proxy's own included.
    pub server_errors: bool,
    /// The upstream connection was reset, refused or cut off.
    pub resets: bool,
    /// A gRPC status that stands for a server error.
    pub grpc: bool,
}

/// When the canary is taken out of the split.
#[derive(Debug, Clone, PartialEq)]
pub struct AbortConfig {
    /// The canary.
    pub arm: usize,
    /// What it is compared with, and where its traffic goes.
    pub baseline: usize,
    /// What counts as a failure.
    pub failures: FailureClasses,
    /// Largest probability of aborting a canary that is as good as its baseline.
    pub false_positive_rate: f64,
    /// How many times as often as the baseline the canary may fail before its
    /// failures count against it.
    pub min_effect: f64,
    /// How long an abort lasts.
    pub cooldown: Duration,
}
