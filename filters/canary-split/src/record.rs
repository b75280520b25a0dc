//! What is known of the filter without running it.

use meshpack_sdk::record::{FailurePolicy, Metric, Record};

pub(crate) const REQUESTS: Metric = Metric::counter(
    "meshpack_canary_requests_total",
    &["split", "arm", "reason"],
    "requests by arm and by why they are there: `force`, `abort` (would be in the aborted arm), \
     `rule`, `sticky`, `random`, `default`",
);

pub(crate) const WEIGHT: Metric = Metric::gauge(
    "meshpack_canary_weight",
    &["split", "arm"],
    "millionths of the split's traffic, as configured or ramped; an abort does not show here",
);

pub(crate) const ABORTED: Metric = Metric::gauge(
    "meshpack_canary_aborted",
    &["split"],
    "1 while the canary of a split of this name is out",
);

pub(crate) const LATCH: Metric = Metric::gauge(
    "meshpack_canary_latch",
    &["split"],
    "the same for one experiment, what the filter itself asks; `split` is the name, `#` and a \
     fingerprint",
);

pub(crate) const ABORTS: Metric = Metric::counter(
    "meshpack_canary_aborts_total",
    &["split"],
    "canaries that were taken out",
);

/// The filter.
pub const RECORD: Record = Record {
    name: "canary_split",
    part: "canary",
    description: "Sticky canary splits with ramps and abort in a proxy-wasm filter",
    keys: &["header", "jwtPayloadKeys", "splits"],
    istio_phase: None,
    on_trap: FailurePolicy::Open,
    on_trap_because: "without it requests take the default route",
    metrics: &[REQUESTS, WEIGHT, ABORTED, LATCH, ABORTS],
};
