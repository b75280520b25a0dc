//! Sustained load with everything on: `MESHPACK_SOAK_SECONDS` of it, 60 for the
//! figures of the page.

use std::time::{Duration, Instant};

use meshpack_e2e::canary::ids;
use meshpack_e2e::pack::traffic::script;
use meshpack_e2e::pack::{Services, composed, proxy};
use meshpack_harness::{Client, Envoy, Outcomes, Request};
use serde_json::{Value, json};

const WORKERS: u32 = 2;
/// At once, so that both workers have some.
const CONNECTIONS: usize = 8;
const PER_ROUND: usize = 1000;
/// Requests a second while latencies are measured, well below what the proxy can.
const RATE: f64 = 200.0;
const RATED: Duration = Duration::from_millis(500);
/// Each of them invents a label value, more than series are kept.
const TENANTS: usize = 5000;
/// What a request takes at most, as a multiple of what it takes without a filter, in the
/// quietest of the rounds: other work on the machine makes single ones slow.
const SLOWER: f64 = 4.0;
/// Rounds in which a machine must have been quiet once.
const ROUNDS: usize = 60;
/// Memory may differ by so much between two moments without growing.
const BREATH_KIB: u64 = 4096;

fn seconds() -> u64 {
    let wanted = std::env::var("MESHPACK_SOAK_SECONDS").ok();
    wanted.map_or(5, |text| text.parse().expect("a number of seconds"))
}

fn config() -> Value {
    json!({
        "authz": {"pathMatching": "hardened", "policies": [
            {
                "metadata": {"name": "admin"},
                "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin*"]}}]}]},
                "denyWith": {"status": 404},
            },
            {
                "metadata": {"name": "known"},
                "spec": {"action": "ALLOW", "rules": [{"when": [{"key": "request.headers[x-user-id]", "values": ["*"]}]}]},
            },
        ]},
        "canary": {"splits": [{
            "name": "all", "stickyBy": [{"header": "x-user-id"}],
            "arms": [{"value": "v1", "weight": 90}, {"value": "v2", "weight": 10}],
            "abort": {"arm": "v2", "baseline": "v1"},
        }]},
        // All connections at once can lock the usual floor while a share of so few
        // requests is less than that; then a failure is rightly not retried.
        "retry": {
            "budgets": [{"name": "all", "key": "host", "minRetryRate": {"count": 100}}],
            "stopAmplification": true,
        },
        "telemetry": {
            "metrics": [{
                "name": "shop_requests_total", "type": "counter",
                "labels": {"operation": "path_template", "tenant": "request.headers[\"x-tenant\"]"},
            }],
            "pathTemplates": ["/users/{id}"],
            "cardinality": {"maxSeriesPerMetric": 100},
            "accessLog": {
                "sink": {"otlpHttp": {"cluster": "otel-collector"}},
                "sample": {"percent": 10, "always": "response.code >= 500"},
            },
            "trace": {"propagate": "w3c", "generateWhenMissing": true},
        },
    })
}

/// Of twenty requests one is denied, one fails at first, and all others are served.
fn request(number: usize) -> Request {
    let path = match number % 20 {
        0 => "/admin/keys".to_owned(),
        _ => format!("/users/{number}"),
    };
    let request = Request::get(path)
        .authority("shop")
        .header("x-user-id", &ids(1000)[number % 1000])
        .header("x-tenant", format!("tenant-{}", number % TENANTS));
    match number % 20 {
        1 => request.header("x-do", "503-once"),
        _ => request,
    }
}

fn check(outcomes: &Outcomes, from: usize) {
    for outcome in outcomes.iter() {
        let expected = if (from + outcome.index).is_multiple_of(20) {
            404
        } else {
            200
        };
        let number = from + outcome.index;
        assert_eq!(
            outcome.status(),
            Some(expected),
            "request {number}: {:?}",
            outcome.result
        );
    }
}

/// The latency that so many percent of the requests do not exceed, with the pack
/// over without.
fn ratio(percent: usize, with: &Outcomes, without: &Outcomes) -> f64 {
    let micros = |outcomes: &Outcomes| {
        let mut all: Vec<u128> = outcomes.iter().map(|o| o.latency.as_micros()).collect();
        all.sort_unstable();
        all[(all.len() * percent).div_ceil(100) - 1] as f64
    };
    micros(with) / micros(without)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn resident_kib(envoy: &Envoy) -> u64 {
    let path = format!("/proc/{}/status", envoy.pid().expect("a process"));
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.trim().strip_suffix("kB"));
    number.expect("resident memory").trim().parse().unwrap()
}

async fn number_of_stats(envoy: &Envoy) -> usize {
    envoy.admin().stats().await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_sustained_load_nothing_fails_and_nothing_grows() {
    let services = Services::start().await.unwrap();
    for service in [&services.v1, &services.v2] {
        service.set(script());
    }
    let packed = composed(&config()).unwrap();
    let packed = proxy(packed, &services).concurrency(WORKERS).quiet();
    let packed = packed.start().await.unwrap();
    let plain = proxy(Vec::new(), &services).concurrency(WORKERS).quiet();
    let plain = plain.start().await.unwrap();
    let (client, other): (Client, Client) = (packed.client("in"), plain.client("in"));

    let whole = Duration::from_secs(seconds());
    let started = Instant::now();
    let mut sent = 0;
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    let mut warm = None;
    let quiet = |p99: &[f64]| p99.iter().any(|ratio| *ratio < SLOWER) || p99.len() > ROUNDS;
    while started.elapsed() < whole || warm.is_none() || !quiet(&p99) {
        let from = sent;
        let outcomes = client
            .load(PER_ROUND, CONNECTIONS, move |n| request(from + n))
            .await;
        check(&outcomes, from);
        sent += PER_ROUND;
        // The services' record of requests is the test's memory, not the proxy's.
        for service in [&services.v1, &services.v2, &services.collector] {
            service.forget();
        }
        // Neighbours in time, so that both meet the same disturbances.
        let served = |n: usize| request(20 * n + 2);
        let without = other.rate(RATE, RATED, served).await;
        let with = client.rate(RATE, RATED, served).await;
        for outcomes in [&without, &with] {
            assert_eq!(outcomes.with_status(200), outcomes.len());
        }
        sent += with.len();
        p50.push(ratio(50, &with, &without));
        p99.push(ratio(99, &with, &without));
        if warm.is_none() && started.elapsed() >= whole / 3 && sent > 2 * TENANTS {
            warm = Some((resident_kib(&packed), number_of_stats(&packed).await));
        }
    }
    let (warm_kib, warm_stats) = warm.expect("a warm proxy");
    let (kib, stats) = (resident_kib(&packed), number_of_stats(&packed).await);
    let rounds = p99.len();
    let least = p99.iter().copied().fold(f64::INFINITY, f64::min);
    let (p50, p99) = (median(p50), median(p99));
    println!(
        "{} s, {sent} requests, {rounds} rounds; resident {warm_kib} KiB warm, {kib} KiB at the end, {} KiB without a filter; {warm_stats} stats warm, {stats} at the end; p50 {p50:.2} and p99 {p99:.2} times that without a filter",
        started.elapsed().as_secs(),
        resident_kib(&plain),
    );
    assert_eq!(stats, warm_stats, "the number of stats grew");
    assert!(
        kib <= warm_kib + BREATH_KIB,
        "memory grew from {warm_kib} to {kib} KiB"
    );
    assert!(least < SLOWER, "p99 is {least} times that without a filter");
    // It was at work: retried, logged, bounded.
    let all = packed
        .admin()
        .stats_starting_with("wasmcustom.")
        .await
        .unwrap();
    for metric in [
        "meshpack_retry_retries_total",
        "meshpack_log_sent_total",
        "meshpack_telemetry_overflow_total",
    ] {
        let counted: u64 = all
            .iter()
            .filter(|(name, _)| name.contains(metric))
            .map(|(_, n)| n)
            .sum();
        assert!(counted > 0, "{metric}");
    }
    for never in ["meshpack_log_dropped_total", "meshpack_retry_denied_total"] {
        let counted: u64 = all
            .iter()
            .filter(|(name, _)| name.contains(never))
            .map(|(_, n)| n)
            .sum();
        assert_eq!(counted, 0, "{never}");
    }
}
