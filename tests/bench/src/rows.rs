//! What is measured: each row one chain, beside its peers.

use serde_json::json;

use crate::chain::{Chain, Proof, Routes};
use crate::{ours, peers};

/// The row that shares are taken of.
pub(crate) const BASELINE: &str = Routes::Plain.baseline();

/// Rows that the check compares: one for each promise, few enough for every change.
pub(crate) const CHECKED: [&str; 6] = [
    "empty filter, meshpack-sdk",
    "authz_policy, 1 policy, path and method",
    "canary_split, sticky by header",
    "retry_budget, reserve mode, healthy traffic",
    "telemetry, golden metrics, all labels, warm",
    PACK,
];

/// The pack, and the same work on the stock SDK, whose ratio is promised.
pub(crate) const PACK: &str = "meshpack, all of the above at once";
/// See [`PACK`].
pub(crate) const STOCK_CHAINED: &str = "all four, stock SDK, chained";

/// Rows of our own modules that promise no bound.
pub(crate) const OURS: [&str; 6] = [
    "example filter: map read, one header set, counted",
    "authz_policy, 1 policy, hardened",
    "authz_policy, 1 policy, and a regular expression",
    "retry_budget, by hosts, one for each cluster",
    "authz_policy, 100 policies, none matching",
    "our four modules, chained",
];

/// The same work by Envoy itself, in Lua, on the stock SDK and by ours; no name where
/// there is no such row.
pub(crate) const BESIDE: [(&str, [&str; 4]); 7] = [
    (
        "authorization, 1 policy",
        [
            "native RBAC, 1 policy",
            "authorization in Lua, 1 policy",
            "authorization, stock SDK",
            "authz_policy, 1 policy, path and method",
        ],
    ),
    (
        "authorization, 100 policies that do not match",
        [
            "native RBAC, 100 policies, none matching",
            "",
            "",
            "authz_policy, 100 policies, none matching",
        ],
    ),
    (
        "authorization, 1000 policies that do not match",
        [
            "native RBAC, 1000 policies, none matching",
            "",
            "",
            "authz_policy, 1000 policies, none matching",
        ],
    ),
    (
        "canary, sticky by header (native: random)",
        [
            "native weighted clusters (random, not sticky)",
            "canary in Lua, hash and set header",
            "canary, stock SDK",
            "canary_split, sticky by header",
        ],
    ),
    (
        "retry budget (native: of concurrent requests)",
        [
            "native retry budget (of concurrent requests)",
            "retry budget in Lua, per worker",
            "retry budget, stock SDK",
            "retry_budget, reserve mode, healthy traffic",
        ],
    ),
    (
        "golden metrics, all labels (native: an access log line)",
        [
            "native file access log, the same fields",
            "telemetry in Lua, counts that nobody can read",
            "telemetry, stock SDK",
            "telemetry, golden metrics, all labels, warm",
        ],
    ),
    (
        "all four at once",
        ["", "all four in one Lua script", STOCK_CHAINED, PACK],
    ),
];

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Rows of one group stand beside each other and do the same work.
    pub(crate) group: &'static str,
    pub(crate) chain: Chain,
    /// Most instructions the row may add, a promise to users.
    pub(crate) at_most: Option<f64>,
}

impl Row {
    fn new(group: &'static str, name: &'static str, chain: Chain) -> Self {
        Self {
            name,
            group,
            chain,
            at_most: None,
        }
    }

    fn at_most(mut self, thousands: f64) -> Self {
        self.at_most = Some(thousands * 1000.0);
        self
    }

    /// Whether it has no filter and others are compared with it.
    pub(crate) fn is_baseline(&self) -> bool {
        self.name == self.chain.routes.baseline()
    }
}

fn plain() -> Chain {
    Chain::on(Routes::Plain)
}
fn canary() -> Chain {
    Chain::on(Routes::Canary).prove(steered())
}
fn retry() -> Chain {
    Chain::on(Routes::Retry)
}

/// The upstream saw which arm the request was steered to.
fn steered() -> Proof {
    Proof::UpstreamHeader("x-meshpack-subset", Some("v1"))
}
/// The route alone would try twice, the budget lets it try three times.
fn three_attempts() -> Proof {
    Proof::Attempts(3)
}
fn authorized(policy: &'static str) -> Proof {
    Proof::Series(
        "meshpack_authz_requests_total",
        vec![("decision", "allow"), ("authz_policy", policy)],
    )
}
fn split() -> Proof {
    Proof::Series(
        "meshpack_canary_requests_total",
        vec![("split", "payments"), ("arm", "v1"), ("reason", "sticky")],
    )
}
fn budgeted() -> Proof {
    Proof::Series(
        "meshpack_retry_requests_total",
        vec![("budget", "payments")],
    )
}
fn measured() -> Proof {
    Proof::Series(
        "meshpack_requests_total",
        vec![
            ("response_code", "200"),
            ("response_flags", "-"),
            ("request_protocol", "http"),
            ("reporter", "destination"),
            ("source_workload", "unknown"),
        ],
    )
}

/// All rows in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(without_filters());
    rows.extend(empty());
    rows.extend(authorization());
    rows.extend(canaries());
    rows.extend(retries());
    rows.extend(telemetries());
    rows.extend(all_four());
    rows
}

fn without_filters() -> Vec<Row> {
    [
        Routes::Plain,
        Routes::Canary,
        Routes::Retry,
        Routes::CanaryRetry,
    ]
    .into_iter()
    .map(|routes| Row::new("no filter", routes.baseline(), Chain::on(routes)))
    .collect()
}

fn empty() -> Vec<Row> {
    let group = "the SDK itself";
    let tenant = || json!({"header": "x-user-id"});
    let tagged = || Proof::UpstreamHeader("x-tenant", None);
    vec![
        Row::new(
            group,
            "empty filter, stock SDK",
            plain().wasm("bench/stock_empty", json!({})),
        ),
        Row::new(
            group,
            "empty filter, meshpack-sdk",
            plain().wasm("examples/empty", json!({})),
        )
        .at_most(10.0),
        Row::new(
            group,
            "example filter: map read, one header set, counted",
            Chain::on(Routes::Canary)
                .wasm("examples/tag_tenant", tenant())
                .prove(tagged()),
        ),
    ]
}

fn authorization() -> Vec<Row> {
    let group = "authorization";
    let allowed = || Proof::Counter("http.in.rbac.allowed");
    vec![
        Row::new(
            group,
            "native RBAC, 1 policy",
            plain().filter(peers::rbac_allowing()).prove(allowed()),
        ),
        Row::new(
            group,
            "native RBAC, 100 policies, none matching",
            plain().filter(peers::rbac_denying(100)).prove(allowed()),
        ),
        Row::new(
            group,
            "native RBAC, 1000 policies, none matching",
            plain().filter(peers::rbac_denying(1000)).prove(allowed()),
        ),
        Row::new(
            group,
            "authorization in Lua, 1 policy",
            plain().filter(peers::lua(&["authz"])),
        ),
        Row::new(
            group,
            "authorization, stock SDK",
            plain().wasm("bench/stock_authz", json!({})),
        ),
        Row::new(
            group,
            "authz_policy, 1 policy, path and method",
            plain()
                .wasm("authz_policy", ours::authz_allowing())
                .prove(authorized("default/p0")),
        )
        .at_most(22.0),
        Row::new(
            group,
            "authz_policy, 1 policy, hardened",
            plain()
                .wasm("authz_policy", ours::authz_hardened())
                .prove(authorized("default/p0")),
        ),
        Row::new(
            group,
            "authz_policy, 1 policy, and a regular expression",
            plain()
                .wasm("authz_policy", ours::authz_regex())
                .prove(authorized("default/p0")),
        ),
        Row::new(
            group,
            "authz_policy, 100 policies, none matching",
            plain()
                .wasm("authz_policy", ours::authz_denying(100))
                .prove(authorized("none")),
        ),
        Row::new(
            group,
            "authz_policy, 1000 policies, none matching",
            plain()
                .wasm("authz_policy", ours::authz_denying(1000))
                .prove(authorized("none")),
        )
        .at_most(30.0),
    ]
}

fn canaries() -> Vec<Row> {
    let group = "canary";
    vec![
        Row::new(
            group,
            "native weighted clusters (random, not sticky)",
            Chain::on(Routes::Weighted),
        ),
        Row::new(
            group,
            "canary in Lua, hash and set header",
            canary().filter(peers::lua(&["canary"])),
        ),
        Row::new(
            group,
            "canary, stock SDK",
            canary().wasm("bench/stock_canary", json!({})),
        ),
        Row::new(
            group,
            "canary_split, sticky by header",
            canary()
                .wasm("canary_split", ours::canary(1))
                .prove(split()),
        )
        .at_most(30.0),
    ]
}

fn retries() -> Vec<Row> {
    let group = "retry budget";
    vec![
        Row::new(
            group,
            "native retry budget (of concurrent requests)",
            retry().native_budget().prove(Proof::Attempts(2)),
        ),
        Row::new(
            group,
            "retry budget in Lua, per worker",
            retry()
                .filter(peers::lua(&["retry"]))
                .prove(three_attempts()),
        ),
        Row::new(
            group,
            "retry budget, stock SDK",
            retry()
                .wasm("bench/stock_retry", json!({}))
                .prove(three_attempts()),
        ),
        Row::new(
            group,
            "retry_budget, reserve mode, healthy traffic",
            retry()
                .wasm("retry_budget", ours::retry())
                .prove(budgeted())
                .prove(three_attempts()),
        )
        .at_most(30.0),
        Row::new(
            group,
            "retry_budget, by hosts, one for each cluster",
            retry()
                .wasm("retry_budget", ours::retry_by_cluster())
                .prove(three_attempts()),
        ),
    ]
}

fn telemetries() -> Vec<Row> {
    let group = "telemetry";
    vec![
        Row::new(
            group,
            "native file access log, the same fields",
            plain().access_log(peers::log_format()),
        ),
        Row::new(
            group,
            "telemetry in Lua, counts that nobody can read",
            plain().filter(peers::lua(&["telemetry"])),
        ),
        Row::new(
            group,
            "telemetry, stock SDK",
            plain()
                .wasm("bench/stock_telemetry", json!({}))
                .prove(Proof::Series(
                    "stock_requests_total",
                    vec![
                        ("response_code", "200"),
                        ("destination_service", "payments.shop"),
                    ],
                )),
        ),
        Row::new(
            group,
            "telemetry, golden metrics, all labels, warm",
            plain()
                .wasm("telemetry", ours::telemetry(0))
                .prove(measured()),
        )
        .at_most(75.0),
    ]
}

fn all_four() -> Vec<Row> {
    let group = "all four";
    let all = || Chain::on(Routes::CanaryRetry).prove(steered());
    let proven = |chain: Chain| {
        chain
            .prove(authorized("default/p0"))
            .prove(split())
            .prove(budgeted())
            .prove(measured())
            .prove(three_attempts())
    };
    vec![
        Row::new(
            group,
            "all four in one Lua script",
            all()
                .filter(peers::lua(&["authz", "canary", "retry", "telemetry"]))
                .prove(three_attempts()),
        ),
        Row::new(
            group,
            STOCK_CHAINED,
            all()
                .wasm("bench/stock_authz", json!({}))
                .wasm("bench/stock_canary", json!({}))
                .wasm("bench/stock_retry", json!({}))
                .wasm("bench/stock_telemetry", json!({}))
                .prove(three_attempts()),
        ),
        Row::new(
            group,
            "our four modules, chained",
            proven(
                all()
                    .wasm("authz_policy", ours::authz_allowing())
                    .wasm("canary_split", ours::canary(1))
                    .wasm("retry_budget", ours::retry())
                    .wasm("telemetry", ours::telemetry(0)),
            ),
        ),
        Row::new(group, PACK, proven(all().wasm("meshpack", ours::pack()))).at_most(100.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_baseline_and_a_name_of_its_own() {
        let rows = all();
        for row in &rows {
            let same = |name: &str| rows.iter().filter(|other| other.name == name).count();
            assert_eq!(same(row.name), 1, "{}", row.name);
            assert_eq!(same(row.chain.routes.baseline()), 1, "{}", row.name);
        }
        let beside = BESIDE.iter().flat_map(|(_, names)| names);
        for name in CHECKED
            .iter()
            .chain([&STOCK_CHAINED])
            .chain(&OURS)
            .chain(beside)
        {
            let known = rows.iter().any(|row| row.name == *name);
            assert!(known || name.is_empty(), "{name}");
        }
    }
}
