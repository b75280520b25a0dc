//! telemetry at work: labelled metrics, a cap under hostile values, records that
//! reach a collector.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshpack_harness::{
    Behavior, Cluster, Envoy, Listener, Recorded, Request, Route, Script, Upstream,
};
use serde_json::json;

use super::Table;
use crate::telemetry::{envoy_with_labels, shop_node, telemetry};

/// Requests of ordinary traffic.
const REQUESTS: usize = 4_000;
/// Requests, each with a tenant of its own that nobody has seen before.
const HOSTILE: usize = 8_000;
/// Series that a metric may have.
const CAP: usize = 100;

/// Runs the demonstration and prints its tables. Takes about fifteen seconds.
///
/// # Errors
/// When Envoy does not start, a request has no answer, or the filter did not do
/// what it promises.
pub async fn telemetry_demo() -> Result<()> {
    let app = Upstream::start_with("app", answers()).await?;
    let collector = Upstream::start_with("collector", Behavior::status(200)).await?;
    let envoy = start(&app, &collector).await?;
    metrics(&envoy).await?;
    cardinality(&envoy).await?;
    logs(&envoy, &collector).await
}

/// Every twentieth request fails.
fn answers() -> Script {
    Script::new(|_: &Recorded, number| match number % 20 {
        7 => Behavior::status(503),
        _ => Behavior::echo(),
    })
}

async fn start(app: &Upstream, collector: &Upstream) -> Result<Envoy> {
    let config = json!({
        "metrics": [{
            "name": "shop_requests_total", "type": "counter",
            "labels": {"operation": "path_template", "tenant": "request.headers['x-tenant']"},
        }],
        "pathTemplates": ["/users/{id}", "/users/{id}/orders/{**}"],
        "cardinality": {"maxSeriesPerMetric": CAP},
        "accessLog": {
            "sink": {"otlpHttp": {"cluster": "collector"}},
            "sample": {"percent": 10, "always": "response.code >= 500"},
            "batch": {"interval": "200ms"},
        },
        "trace": {"propagate": "w3c", "generateWhenMissing": true},
    });
    envoy_with_labels(&["operation", "tenant"])
        .merge(shop_node())
        .listener(
            Listener::new("in")
                .filter(telemetry(&config))
                .merge(json!({"traffic_direction": "INBOUND"}))
                .route(Route::to("app")),
        )
        .cluster(Cluster::new("app").endpoint(app.address()))
        .cluster(Cluster::new("collector").endpoint(collector.address()))
        .quiet()
        .start()
        .await
        .context("Envoy does not start")
}

async fn metrics(envoy: &Envoy) -> Result<()> {
    println!("telemetry: {REQUESTS} requests of three tenants …");
    let outcomes = envoy
        .client("in")
        .load(REQUESTS, 16, |index| {
            let path = match index % 3 {
                0 => format!("/users/{index}"),
                1 => format!("/users/{index}/orders/1/items"),
                _ => "/health".to_owned(),
            };
            let tenant = ["acme", "globex", "initech"][index % 7 % 3];
            Request::get(path).header("x-tenant", tenant)
        })
        .await;
    ensure!(outcomes.without_answer() == 0, "requests without an answer");
    let samples = envoy.admin().prometheus().await?;
    let mut table = Table::new(
        format!("telemetry: shop_requests_total after {REQUESTS} requests"),
        &["operation", "tenant", "count"],
    );
    for sample in samples.named("shop_requests_total") {
        table.row(&[
            &sample.label("operation"),
            &sample.label("tenant"),
            &sample.value,
        ]);
    }
    println!("{table}");
    let mut table = Table::new(
        "telemetry: meshpack_requests_total with Istio's labels".to_owned(),
        &[
            "destination_workload",
            "response_code",
            "count",
            "client saw",
        ],
    );
    for code in [200, 503] {
        let labels = [
            ("destination_workload", "shop-v1"),
            ("response_code", &code.to_string()),
        ];
        let counted = samples.sum("meshpack_requests_total", &labels);
        let seen = outcomes.with_status(code);
        table.row(&[&"shop-v1", &code, &counted, &seen]);
        ensure!(
            counted as usize == seen,
            "{code}: counted {counted}, seen {seen}"
        );
    }
    println!("{table}");
    Ok(())
}

async fn cardinality(envoy: &Envoy) -> Result<()> {
    println!("telemetry: {HOSTILE} requests, each with another tenant …");
    let before = envoy.admin().memory().await?;
    envoy
        .client("in")
        .load(HOSTILE, 16, |index| {
            Request::get("/users/1").header("x-tenant", format!("{index}-{}", "x".repeat(200)))
        })
        .await;
    let after = envoy.admin().memory().await?;
    let samples = envoy.admin().prometheus().await?;
    let series = samples.named("shop_requests_total").count();
    let total = samples.sum("shop_requests_total", &[]);
    let other = samples.sum("shop_requests_total", &[("tenant", "other")]);
    let grown = after
        .get("allocated")
        .unwrap_or(&0)
        .saturating_sub(*before.get("allocated").unwrap_or(&0));
    let mut table = Table::new(
        format!("telemetry: {HOSTILE} values that a client made up"),
        &[
            "series",
            "cap",
            "requests counted",
            "of them as other",
            "memory, KiB more",
        ],
    );
    table.row(&[&series, &CAP, &total, &other, &(grown / 1024)]);
    println!("{table}");
    // Places that are kept for operations are not all taken.
    let expected = CAP - 3..=CAP;
    ensure!(
        expected.contains(&series),
        "{series} series instead of {CAP}"
    );
    ensure!(total as usize == REQUESTS + HOSTILE, "{total} counted");
    Ok(())
}

async fn logs(envoy: &Envoy, collector: &Upstream) -> Result<()> {
    let stat = |name: &'static str| async move {
        let value = envoy.stat(&format!("wasmcustom.meshpack_log_{name}")).await;
        value.map(|value| value.unwrap_or(0))
    };
    // Everything made has been taken, and nothing waits any more.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let (made, sent) = (stat("records_total").await?, stat("sent_total").await?);
    let waiting = stat("queue_records").await?;
    let mut table = Table::new(
        "telemetry: access log, 10 % of the traces and every 5xx".to_owned(),
        &["requests", "records", "delivered", "waiting", "OTLP calls"],
    );
    table.row(&[
        &(REQUESTS + HOSTILE),
        &made,
        &sent,
        &waiting,
        &collector.requests(),
    ]);
    println!("{table}");
    ensure!(
        sent == made && waiting == 0,
        "{made} records made, {sent} delivered"
    );
    Ok(())
}
