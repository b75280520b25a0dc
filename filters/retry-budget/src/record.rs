//! What is known of the filter without running it.

use meshpack_sdk::record::{FailurePolicy, Metric, Record};

const LABELS: &[&str] = &["budget"];

pub(crate) const REQUESTS: Metric = Metric::counter(
    "meshpack_retry_requests_total",
    LABELS,
    "requests under the budget; for `server` attempts",
);

pub(crate) const RETRIES: Metric = Metric::counter(
    "meshpack_retry_retries_total",
    LABELS,
    "retries made; for `server` let through",
);

pub(crate) const DENIED: Metric = Metric::counter(
    "meshpack_retry_denied_total",
    LABELS,
    "retries wanted and refused",
);

pub(crate) const BALANCE: Metric = Metric::gauge(
    "meshpack_retry_balance",
    LABELS,
    "retries left, of the key's value that has the fewest",
);

pub(crate) const MARKED: Metric = Metric::counter(
    "meshpack_retry_marked_total",
    &[],
    "answers marked by `stopAmplification`",
);

/// The filter.
pub const RECORD: Record = Record {
    name: "retry_budget",
    part: "retry",
    description: "Retry budgets in a proxy-wasm filter",
    keys: &["budgets", "server", "stopAmplification"],
    istio_phase: None,
    on_trap: FailurePolicy::Open,
    on_trap_because: "without it the route's own retry policy holds",
    metrics: &[REQUESTS, RETRIES, DENIED, BALANCE, MARKED],
};
