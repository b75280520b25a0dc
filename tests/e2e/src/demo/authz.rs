//! authz_policy at work: decisions with reasons, disguised paths, a dry run, and
//! what a thousand policies cost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use meshpack_harness::{
    Certificates, Client, Cluster, Envoy, HttpFilter, Listener, Request, Route, ServerTls, Upstream,
};
use serde_json::{Value, json};

use super::Table;
use crate::authz::{config, filter, native, policy, publish_peer_address};

/// Requests of the dry run.
const OBSERVED: usize = 2_000;
/// Requests, one after the other, that a latency is the median of.
const TIMED: usize = 1_000;

/// Runs the demonstration and prints its tables. Takes about ten seconds.
///
/// # Errors
/// When Envoy does not start, a request has no answer, or the filter did not do
/// what it promises.
pub async fn authz() -> Result<()> {
    let app = Upstream::start("app").await?;
    decisions(&app).await?;
    disguises(&app).await?;
    dry_run(&app).await?;
    cost(&app).await
}

fn listener(name: &str, filters: Vec<HttpFilter>, tls: Option<ServerTls>) -> Listener {
    let mut listener = Listener::new(name).merge_manager(json!({"normalize_path": true}));
    for filter in filters {
        listener = listener.filter(filter);
    }
    if let Some(tls) = tls {
        listener = listener.tls(tls);
    }
    listener.route(Route::to("app"))
}

async fn start(listeners: Vec<Listener>, app: &Upstream) -> Result<Envoy> {
    let mut envoy = Envoy::builder()
        .cluster(Cluster::new("app").endpoint(app.address()))
        .quiet();
    for listener in listeners {
        envoy = envoy.listener(listener);
    }
    envoy.start().await.context("Envoy does not start")
}

fn quiet(mut config: Value) -> Value {
    config["decisionLog"] = json!({"denied": false});
    config
}

/// Policies of a shop, callers with certificates, and what each gets.
async fn decisions(app: &Upstream) -> Result<()> {
    let mut hidden = policy(
        "admin-is-hidden",
        "DENY",
        json!([{
            "to": [{"operation": {"paths": ["/admin*"]}}],
            "from": [{"source": {"notPrincipals": ["cluster.local/ns/ops/sa/*"]}}]
        }]),
    );
    hidden["denyWith"] = json!({"status": 404, "body": "not found"});
    let readers = policy(
        "callers",
        "ALLOW",
        json!([
            {
                "from": [{"source": {"namespaces": ["shop"]}}],
                "to": [{"operation": {"methods": ["GET"], "paths": ["/items/{*}"]}}],
                "when": [{"key": "request.query[debug]", "notValues": ["*"]}]
            },
            {"from": [{"source": {"principals": ["cluster.local/ns/ops/sa/*"]}}]}
        ]),
    );
    let mut config = quiet(config(&[hidden, readers]));
    config["explain"] = json!("header");
    let certificates = Certificates::new()?;
    let server = certificates.issue(&["localhost"])?;
    let filters = vec![publish_peer_address(), filter(&config).into()];
    let tls = Some(certificates.mutual_tls(&server));
    let envoy = start(vec![listener("mtls", filters, tls)], app).await?;

    let mut table = Table::new(
        "authz_policy: two policies, callers by their certificates",
        &["caller", "request", "status", "reason"],
    );
    for (caller, method, path, expected) in [
        ("ns/shop/sa/cart", "GET", "/items/7", 200),
        ("ns/shop/sa/cart", "POST", "/items/7", 403),
        ("ns/shop/sa/cart", "GET", "/items/7?debug=1", 403),
        ("ns/shop/sa/cart", "GET", "/admin/users", 404),
        ("ns/bank/sa/loans", "GET", "/items/7", 403),
        ("ns/ops/sa/oncall", "GET", "/admin/users", 200),
    ] {
        let identity = certificates.issue(&[&format!("spiffe://cluster.local/{caller}")])?;
        let tls = certificates.client_tls(Some(&identity))?;
        let client = Client::http1(envoy.address("mtls")).tls(tls, "localhost");
        let answer = client.send(Request::new(method, path)).await?;
        ensure!(
            answer.status == expected,
            "{caller} {path}: {}",
            answer.status
        );
        let reason = answer.header("x-authz-policy").unwrap_or("allowed");
        let reason = reason
            .trim_start_matches("denied: ")
            .trim_start_matches("denied by ");
        table.row(&[
            &caller,
            &format!("{method} {path}"),
            &answer.status,
            &reason,
        ]);
    }
    println!("{table}");
    Ok(())
}

/// One DENY policy and the usual ways around it.
async fn disguises(app: &Upstream) -> Result<()> {
    let policies = [policy(
        "deny-admin",
        "DENY",
        json!([{"to": [{"operation": {"paths": ["/admin", "/admin/*"]}}]}]),
    )];
    let istio = quiet(config(&policies));
    let mut hardened = istio.clone();
    hardened["pathMatching"] = json!("hardened");
    let envoy = start(
        vec![
            listener("native", native::enforcing(&policies), None),
            listener("istio", vec![filter(&istio).into()], None),
            listener("hardened", vec![filter(&hardened).into()], None),
        ],
        app,
    )
    .await?;
    let mut table = Table::new(
        "authz_policy: DENY /admin and /admin/*, disguised paths",
        &["path", "native RBAC", "istio mode", "hardened mode"],
    );
    for path in [
        "/admin",
        "/x/../admin",
        "//admin",
        "/admin%2fusers",
        "/admin;v=1",
        "/ADMIN",
        "/x%2f..%2fadmin",
        "/administrator",
    ] {
        let mut statuses = Vec::new();
        for mode in ["native", "istio", "hardened"] {
            statuses.push(envoy.client(mode).get(path).await?.status);
        }
        ensure!(statuses[0] == statuses[1], "{path}: not as native RBAC");
        let closed = path == "/administrator" || statuses[2] == 403;
        ensure!(closed, "{path} got around the hardened policy");
        table.row(&[&path, &statuses[0], &statuses[1], &statuses[2]]);
    }
    println!("{table}");
    Ok(())
}

/// A new policy is tried on a quarter of the requests.
async fn dry_run(app: &Upstream) -> Result<()> {
    eprintln!("authz_policy: {OBSERVED} requests to a policy that is a quarter in force …");
    let mut new = policy(
        "api-v2-only",
        "DENY",
        json!([{"when": [{"key": "request.headers[x-api-version]", "notValues": ["2"]}]}]),
    );
    new["enforcePercent"] = json!(25);
    let filters = vec![filter(&quiet(config(&[new]))).into()];
    let envoy = start(vec![listener("in", filters, None)], app).await?;
    let outcomes = envoy
        .client("in")
        .load(OBSERVED, 16, |index| {
            let version = if index % 2 == 0 { "1" } else { "2" };
            Request::get("/").header("x-api-version", version)
        })
        .await;
    let denied = outcomes.with_status(403);
    let counted = |metric: &str, decision: &str, policy: &str| {
        format!(
            "wasmcustom.meshpack_authz_{metric}_totaldecision=.={decision};.;authz_policy=.={policy};.;"
        )
    };
    let label = "default/api-v2-only";
    let enforced = counted("requests", "deny", label);
    let limit = Duration::from_secs(5);
    let enforced = envoy
        .wait_for_stat(&enforced, limit, |n| n == denied as u64)
        .await?;
    let shadow = counted("shadow", "deny", label);
    let spared = OBSERVED / 2 - denied;
    let shadow = envoy
        .wait_for_stat(&shadow, limit, |n| n == spared as u64)
        .await?;
    let mut table = Table::new(
        "authz_policy: half of the requests are old, enforcePercent: 25",
        &[
            "requests",
            "would be denied",
            "denied",
            "let pass and counted",
            "enforced %",
        ],
    );
    let share = denied as f64 * 100.0 / (OBSERVED / 2) as f64;
    table.row(&[
        &OBSERVED,
        &(enforced + shadow),
        &enforced,
        &shadow,
        &format!("{share:.1}"),
    ]);
    println!("{table}");
    Ok(())
}

/// Latency with one policy and with a thousand, native and ours.
async fn cost(app: &Upstream) -> Result<()> {
    eprintln!("authz_policy: timing {TIMED} requests through 1 and 1000 policies …");
    let policies = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|number| {
                let operation =
                    json!({"paths": [format!("/denied/{number}/*")], "methods": ["DELETE"]});
                policy(
                    &format!("p{number}"),
                    "DENY",
                    json!([{"to": [{"operation": operation}]}]),
                )
            })
            .collect()
    };
    let mut listeners = vec![listener("none", Vec::new(), None)];
    for count in [1, 1000] {
        let policies = policies(count);
        listeners.push(listener(
            &format!("native-{count}"),
            native::enforcing(&policies),
            None,
        ));
        let ours = vec![filter(&quiet(config(&policies))).into()];
        listeners.push(listener(&format!("ours-{count}"), ours, None));
    }
    let envoy = start(listeners, app).await?;
    let mut table = Table::new(
        format!("authz_policy: median latency of {TIMED} requests in a row, microseconds"),
        &["filter", "no policy", "1 policy", "1000 policies"],
    );
    let names = ["none", "native-1", "native-1000", "ours-1", "ours-1000"];
    let medians = medians(&envoy, &names).await?;
    let [none, native_1, native_1000, ours_1, ours_1000] = medians[..] else {
        anyhow::bail!("a latency is missing");
    };
    table.row(&[&"native RBAC", &none, &native_1, &native_1000]);
    table.row(&[&"authz_policy", &none, &ours_1, &ours_1000]);
    println!("{table}");
    ensure!(
        ours_1000 < native_1000,
        "a thousand policies were not cheaper than in native RBAC"
    );
    Ok(())
}

/// Median latency through each listener, in microseconds. They take turns, so
/// that a busy moment of the machine meets all of them.
async fn medians(envoy: &Envoy, listeners: &[&str]) -> Result<Vec<u128>> {
    let clients: Vec<Client> = listeners.iter().map(|name| envoy.client(name)).collect();
    let mut times = vec![Vec::with_capacity(TIMED); clients.len()];
    for _ in 0..TIMED {
        for (client, times) in clients.iter().zip(&mut times) {
            let start = Instant::now();
            let answer = client.get("/items/7").await?;
            times.push(start.elapsed().as_micros());
            ensure!(answer.status == 200, "a request failed");
        }
    }
    let median = |times: &mut Vec<u128>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    Ok(times.iter_mut().map(median).collect())
}
