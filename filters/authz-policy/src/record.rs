//! What is known of the filter without running it.

use meshpack_sdk::record::{FailurePolicy, Metric, Record};

const LABELS: &[&str] = &["decision", "authz_policy"];

pub(crate) const REQUESTS: Metric = Metric::counter(
    "meshpack_authz_requests_total",
    LABELS,
    "decisions (`allow`, `deny`) by the policy that decided (`namespace/name`), or `none`",
);

pub(crate) const SHADOW: Metric = Metric::counter(
    "meshpack_authz_shadow_total",
    LABELS,
    "what policies in dry run, or outside their share, would have done: `deny` for a DENY \
     policy that matched, `allow` for an ALLOW policy that matched. When none of them matched, \
     one count under `none`: `deny` if an ALLOW policy among them would have refused the \
     request, else `allow`",
);

pub(crate) const UNDECIDED: Metric = Metric::counter(
    "meshpack_authz_undecided_total",
    &[],
    "requests whose regular expressions would have taken too many steps",
);

/// The filter.
pub const RECORD: Record = Record {
    name: "authz_policy",
    part: "authz",
    description: "Istio AuthorizationPolicy in a proxy-wasm filter",
    keys: &[
        "policies",
        "trustDomain",
        "trustDomainAliases",
        "pathMatching",
        "typedClaims",
        "allowAll",
        "jwtPayloadKeys",
        "splitHeaders",
        "directRemoteIp",
        "decisionLog",
        "explain",
    ],
    // After tokens were verified.
    istio_phase: Some("AUTHZ"),
    on_trap: FailurePolicy::Reload,
    on_trap_because: "a guard that fails open is no guard, and one that stays closed for ever \
                      is an outage",
    metrics: &[REQUESTS, SHADOW, UNDECIDED],
};
