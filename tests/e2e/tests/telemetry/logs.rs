//! Access log records as a collector sees them.

use std::time::{Duration, Instant};

use meshpack_e2e::telemetry::{envoy_with_labels, shop_node, telemetry};
use meshpack_e2e::undisturbed;
use meshpack_harness::{
    Behavior, Cluster, Envoy, Listener, Recorded, Request, Route, Script, Swap, Upstream, versions,
};
use serde_json::{Value, json};

use crate::telemetry::collector::{self, attributes};

const LIMIT: Duration = Duration::from_secs(60);
const SENT: &str = "wasmcustom.meshpack_log_sent_total";
const DROPPED: &str = "wasmcustom.meshpack_log_dropped_totaldrop_reason=.=queue_full;.;";
const QUEUED: &str = "wasmcustom.meshpack_log_queue_records";

fn config(sample: &Value, batch: &Value) -> Value {
    json!({
        "accessLog": {
            "sink": {"otlpHttp": {"cluster": "otel-collector", "path": "/v1/logs", "timeout": "1s"}},
            "sample": sample,
            "fields": {"tenant": "request.headers['x-tenant']", "operation": "path_template", "mtls": "connection.mtls"},
            "batch": batch,
        },
        "pathTemplates": ["/users/{id}"],
    })
}

/// Answers with the status that `x-status` asks for.
fn app() -> Script {
    Script::new(|request: &Recorded, _| {
        let status = request.header_text("x-status").and_then(|s| s.parse().ok());
        status.map_or(Behavior::echo(), Behavior::status)
    })
}

async fn proxy(config: &Value, app: &Upstream, collector: &Upstream) -> Envoy {
    builder(config, app, collector).start().await.unwrap()
}

fn builder(config: &Value, app: &Upstream, collector: &Upstream) -> meshpack_harness::EnvoyBuilder {
    envoy_with_labels(&[])
        .merge(shop_node())
        .listener(
            Listener::new("in")
                .swappable_filter("telemetry", telemetry(config))
                .route(Route::to("app")),
        )
        .cluster(Cluster::new("app").endpoint(app.address()))
        .cluster(Cluster::new("otel-collector").endpoint(collector.address()))
}

fn traced(i: u64) -> String {
    format!("00-{:032x}-00f067aa0ba902b7-01", u128::from(i) + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_reads_whole_records_from_every_version() {
    let app = Upstream::start_with("app", app()).await.unwrap();
    for version in versions().unwrap() {
        let collector = collector::start().await;
        let config = config(&json!({"percent": 100}), &json!({"interval": "100ms"}));
        let envoy = builder(&config, &app, &collector)
            .version(version)
            .start()
            .await
            .unwrap();
        let request = Request::get("/users/7?q=1")
            .authority("shop.example")
            .header("user-agent", "test/1")
            .header("x-tenant", b"acme \xff")
            .header("x-request-id", "0af76519-16cd-43dd-8448-eb211c80319c")
            .header("traceparent", traced(1));
        envoy.client("in").send(request).await.unwrap();
        assert!(collector.wait_for_requests(1, LIMIT).await, "{version}");

        let requests = collector::requests(&collector);
        let resource = requests[0].resource_logs[0].resource.as_ref().unwrap();
        let resource = attributes(&resource.attributes);
        assert_eq!(resource["service.name"], "shop");
        assert_eq!(resource["k8s.namespace.name"], "shop-ns");
        assert_eq!(resource["k8s.pod.name"], "shop-v1-abc");

        let records = collector::records(&collector);
        assert_eq!(records.len(), 1);
        let fields = attributes(&records[0].attributes);
        for (name, value) in [
            ("method", "GET"),
            ("path", "/users/7?q=1"),
            ("authority", "shop.example"),
            ("protocol", "HTTP/1.1"),
            ("response_code", "200"),
            ("response_code_details", "via_upstream"),
            ("user_agent", "test/1"),
            ("upstream_cluster", "app"),
            ("upstream_host", &app.address().to_string()),
            ("tenant", "acme \\xff"),
            ("operation", "/users/{id}"),
            ("mtls", "false"),
        ] {
            assert_eq!(
                fields.get(name).map(String::as_str),
                Some(value),
                "{version}: {name}"
            );
        }
        assert!(fields["duration"].parse::<u64>().unwrap() < 5000);
        assert!(fields.contains_key("request_id"));
        assert_eq!(records[0].trace_id, 2_u128.to_be_bytes());
        assert_eq!(
            records[0].span_id,
            [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]
        );
        assert_eq!(records[0].severity_text, "INFO");
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let age = now.as_nanos() as u64 - records[0].time_unix_nano;
        assert!(age < 60_000_000_000, "{age} ns old");
        let body = collector::json(&records[0]);
        assert_eq!(body["response_code"], 200);
        assert_eq!(body["trace_id"], format!("{:032x}", 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sampled_share_holds_over_fifty_thousand_requests_and_every_error_is_kept() {
    const REQUESTS: u64 = 50_000;
    let app = Upstream::start_with("app", app()).await.unwrap();
    let collector = collector::start().await;
    let config = config(
        &json!({"percent": 25, "always": "response.code >= 500"}),
        &json!({"interval": "200ms"}),
    );
    let envoy = proxy(&config, &app, &collector).await;
    let client = envoy.client("in");
    let outcomes = client
        .load(REQUESTS as usize, 64, |i| {
            let request = Request::get("/users/1").header("traceparent", traced(i as u64));
            if i % 100 == 0 {
                request.header("x-status", "503")
            } else {
                request
            }
        })
        .await;
    let errors = outcomes.with_status(503);
    assert_eq!(outcomes.with_status(200) + errors, REQUESTS as usize);
    assert_eq!(errors, 500);
    let sampled = envoy
        .wait_for_stat(QUEUED, LIMIT, |left| left == 0)
        .await
        .map(|_| collector::records(&collector))
        .unwrap();

    let of_errors = sampled
        .iter()
        .filter(|record| record.severity_text == "ERROR")
        .count();
    assert_eq!(of_errors, errors);
    let ordinary = (sampled.len() - of_errors) as f64 / (REQUESTS as usize - errors) as f64;
    assert!((ordinary - 0.25).abs() < 0.01, "{ordinary}");
    assert_eq!(envoy.stat(DROPPED).await.unwrap().unwrap_or(0), 0);

    // The same traces are logged whenever and wherever they are seen.
    let mut ids: Vec<_> = sampled
        .iter()
        .map(|record| record.trace_id.clone())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), sampled.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_delays_nobody_and_gets_what_the_queue_held() {
    undisturbed(attempt_a_collector_that_is_down_delays_nobody_and_gets_what_the_queue_held).await;
}

async fn attempt_a_collector_that_is_down_delays_nobody_and_gets_what_the_queue_held() {
    let app = Upstream::start("app").await.unwrap();
    let collector = collector::start().await;
    collector.stop().await;
    let config = config(
        &json!({"percent": 100}),
        &json!({"maxRecords": 50, "maxQueue": 200, "interval": "100ms"}),
    );
    let envoy = proxy(&config, &app, &collector).await;
    let client = envoy.client("in");
    let started = Instant::now();
    let outcomes = client.load(1000, 8, |_| Request::get("/users/1")).await;
    assert_eq!(outcomes.with_status(200), 1000);
    let slowest = outcomes.iter().map(|o| o.latency).max().unwrap();
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(started.elapsed() < Duration::from_secs(15));

    envoy
        .wait_for_stat(DROPPED, LIMIT, |dropped| dropped == 800)
        .await
        .unwrap();
    assert_eq!(envoy.stat(QUEUED).await.unwrap(), Some(200));
    collector.restart().await.unwrap();
    envoy
        .wait_for_stat(SENT, Duration::from_secs(60), |sent| sent == 200)
        .await
        .unwrap();
    assert_eq!(collector::records(&collector).len(), 200);

    client.load(30, 4, |_| Request::get("/users/1")).await;
    envoy
        .wait_for_stat(SENT, LIMIT, |sent| sent == 230)
        .await
        .unwrap();
    assert_eq!(collector::records(&collector).len(), 230);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_flushes_what_the_old_one_held() {
    let app = Upstream::start("app").await.unwrap();
    let collector = collector::start().await;
    let sample = json!({"percent": 100});
    let patient = config(&sample, &json!({"interval": "1h"}));
    let envoy = proxy(&patient, &app, &collector).await;
    for _ in 0..5 {
        envoy.client("in").get("/users/1").await.unwrap();
    }
    assert_eq!(collector.requests(), 0);
    let other = config(&sample, &json!({"interval": "100ms"}));
    let swapped = envoy
        .swap_filter_config("telemetry", telemetry(&other))
        .await
        .unwrap();
    assert_eq!(swapped, Swap::Accepted);
    // The old plugin goes when the last stream that used it is gone.
    envoy.client("in").get("/users/1").await.unwrap();
    assert!(collector.wait_for_requests(1, LIMIT).await);
    for _ in 0..100 {
        if collector::records(&collector).len() == 6 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(collector::records(&collector).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn stdout_gets_one_json_line_a_request() {
    let app = Upstream::start("app").await.unwrap();
    let config = json!({"accessLog": {"sink": "stdout", "fields": {"zone": "'eu'"}}});
    let envoy = proxy(&config, &app, &app).await;
    envoy.client("in").get("/a\"b").await.unwrap();
    assert!(envoy.wait_for_log("\"start_time\"", LIMIT).await);
    let log = envoy.log();
    let line = log
        .lines()
        .find(|line| line.contains("\"start_time\""))
        .unwrap();
    let record: Value =
        serde_json::from_str(&line[line.find("{\"start_time\"").unwrap()..]).unwrap();
    assert_eq!(record["path"], "/a\"b");
    assert_eq!(record["zone"], "eu");
    assert_eq!(record["response_code"], 200);
}

/// What acts on a terminal, a line or the text around it: C1 controls, line ends of
/// Unicode, marks of direction, what takes no place.
const ACTING: [char; 21] = [
    '\u{80}',
    '\u{85}',
    '\u{90}',
    '\u{9b}',
    '\u{9d}',
    '\u{9f}',
    '\u{61c}',
    '\u{200b}',
    '\u{200e}',
    '\u{200f}',
    '\u{2028}',
    '\u{2029}',
    '\u{202a}',
    '\u{202d}',
    '\u{202e}',
    '\u{2066}',
    '\u{2067}',
    '\u{2068}',
    '\u{2069}',
    '\u{feff}',
    '\u{e0041}',
];

#[tokio::test(flavor = "multi_thread")]
async fn what_acts_on_a_terminal_is_escaped_in_the_log_and_whole_in_a_record() {
    let app = Upstream::start_with("app", app()).await.unwrap();
    let collector = collector::start().await;
    let fields = json!({"tenant": "request.headers['x-tenant']"});
    let stdout = json!({"accessLog": {"sink": "stdout", "fields": fields}});
    let listener = Listener::new("stdout")
        .filter(telemetry(&stdout))
        .route(Route::to("app"));
    let config = config(&json!({"percent": 100}), &json!({"interval": "100ms"}));
    let envoy = builder(&config, &app, &collector)
        .listener(listener)
        .start()
        .await
        .unwrap();
    let values: Vec<String> = ACTING.iter().map(|c| format!("a{c}31mé{c}")).collect();
    for value in &values {
        for listener in ["stdout", "in"] {
            let request = Request::get("/users/7").header("x-tenant", value.as_bytes());
            envoy.client(listener).send(request).await.unwrap();
        }
    }
    let raw = Request::get("/users/7").header("x-tenant", b"\x9b31m\xff");
    envoy.client("stdout").send(raw).await.unwrap();
    assert!(envoy.wait_for_log("\\\\x9b31m\\\\xff", LIMIT).await);
    let log = envoy.log();
    let found = log.chars().find(|c| ACTING.contains(c));
    assert_eq!(found, None, "nothing acts in the log");
    let tenants: Vec<String> = log
        .split('\n')
        .filter_map(|line| serde_json::from_str(line.get(line.find("{\"start_time\"")?..)?).ok())
        .map(|record: Value| record["tenant"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(tenants[..values.len()], values, "as they were sent");

    assert!(collector.wait_for_requests(1, LIMIT).await);
    let deadline = Instant::now() + LIMIT;
    while collector::records(&collector).len() < values.len() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let records = collector::records(&collector);
    let mut sent: Vec<String> = records
        .iter()
        .map(|record| attributes(&record.attributes)["tenant"].clone())
        .collect();
    let mut values = values;
    sent.sort();
    values.sort();
    assert_eq!(sent, values, "valid data, as it was sent");
}
