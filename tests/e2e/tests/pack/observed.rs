//! All that can be seen of a proxy after a run of requests, without what differs
//! from run to run: times, ports, and what was drawn at random.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use meshpack_e2e::canary::HEADER;
use meshpack_e2e::pack::traffic::{NUMBER, Sent};
use meshpack_e2e::pack::{Services, proxy};
use meshpack_harness::{ClientError, Envoy, Recorded, Response, WasmFilter};
use serde_json::{Value, json};

use crate::telemetry::collector;

/// Arms of the splits that choose at random.
const RANDOM_ARMS: [&str; 2] = ["red", "sky"];
/// How every trace id of the requests begins.
const SENT_TRACES: &str = "0af7651916cd43dd8448eb211c8031";
/// Timers of Envoy and the date.
const TIMES: [&str; 3] = [
    "date",
    "x-envoy-upstream-service-time",
    "x-envoy-expected-rq-timeout-ms",
];
/// Fields of a log record that two runs do not share.
const FIELDS_OF_A_RUN: [&str; 2] = ["start_time", "duration"];

/// How the lines of the decision log begin.
const DECISIONS: [&str; 3] = [
    "{\"decision\":\"allow\"",
    "{\"decision\":\"deny\"",
    "{\"decision\":\"audit\"",
];

/// What a run shows.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// What the client got, by request.
    pub(crate) answers: BTreeMap<usize, Value>,
    /// What the services got, by request: every attempt.
    pub(crate) attempts: BTreeMap<usize, Vec<Value>>,
    /// Access log records by request, from the collector and from Envoy's log.
    pub(crate) records: BTreeMap<String, Vec<Value>>,
    /// authz_policy's decision log.
    pub(crate) decisions: Vec<String>,
    /// How many denials and audits it left out, by the start of their lines: which
    /// ones hangs on the clock.
    left_out: BTreeMap<&'static str, u64>,
    /// Counters and gauges by stat name, histograms by series and bound.
    pub(crate) metrics: BTreeMap<String, u64>,
}

/// Sends the requests of a seed one after another through `filters`.
pub(crate) async fn run(
    filters: Vec<WasmFilter>,
    services: &Services,
    seed: u64,
    requests: usize,
) -> Observed {
    for service in [&services.v1, &services.v2, &services.collector] {
        service.forget();
    }
    let envoy = proxy(filters, services).quiet().start().await.unwrap();
    let (http1, http2) = (envoy.client("in"), envoy.client_http2("in"));
    let mut answers = BTreeMap::new();
    for number in 0..requests {
        let answer = Sent::nth(seed, number).by(&http1, &http2).await;
        answers.insert(number, answer_seen(answer));
    }
    let metrics = metrics(&envoy).await;
    let log = envoy.log();
    assert!(!log.contains("Function: proxy_on"), "a trap:\n{log}");
    let (decisions, left_out) = decisions(&log, envoy.address("in").port());
    Observed {
        answers,
        attempts: attempts(services),
        records: records(services, &log),
        decisions,
        left_out,
        metrics,
    }
}

impl Observed {
    /// Panics with the first difference.
    pub(crate) fn assert_equals(&self, other: &Self, what: &str) {
        same(&self.answers, &other.answers, &format!("{what}: answer"));
        same(
            &self.attempts,
            &other.attempts,
            &format!("{what}: attempts"),
        );
        same(
            &self.records,
            &other.records,
            &format!("{what}: log record"),
        );
        for kind in DECISIONS {
            let (chained, composed) = (self.decided(kind), other.decided(kind));
            let (left_out, other_left_out) = (self.left_out[kind], other.left_out[kind]);
            if left_out + other_left_out == 0 {
                for (number, (chained, composed)) in chained.iter().zip(&composed).enumerate() {
                    assert_eq!(chained, composed, "{what}: {kind} {number}");
                }
            }
            assert_eq!(
                chained.len() as u64 + left_out,
                composed.len() as u64 + other_left_out,
                "{what}: {kind}, logged and left out"
            );
        }
        same(&self.metrics, &other.metrics, &format!("{what}: metric"));
    }

    fn decided(&self, kind: &str) -> Vec<&String> {
        let lines = self.decisions.iter();
        lines.filter(|line| line.starts_with(kind)).collect()
    }

    /// The sum of the metrics whose names contain all of `parts`.
    pub(crate) fn sum(&self, parts: &[&str]) -> u64 {
        let has = |name: &&String| parts.iter().all(|part| name.contains(part));
        let found = self.metrics.iter().filter(|(name, _)| has(name));
        found.map(|(_, value)| value).sum()
    }
}

fn same<K: Ord + Debug, V: PartialEq + Debug>(
    one: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
    what: &str,
) {
    for key in one.keys().chain(other.keys()) {
        let (chained, composed) = (one.get(key), other.get(key));
        assert_eq!(
            chained, composed,
            "{what} {key:?}: chained and composed differ"
        );
    }
}

fn answer_seen(answer: Result<Response, ClientError>) -> Value {
    match answer {
        Ok(answer) => json!({
            "status": answer.status,
            "headers": headers(answer.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes()))),
            "body": body(&answer.body),
            "trailers": answer.trailers.map(|trailers| {
                headers(trailers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())))
            }),
        }),
        Err(error) => json!(error.to_string()),
    }
}

/// Names and values, sorted: filters may write their headers in any order.
fn headers<'a>(list: impl Iterator<Item = (&'a str, &'a [u8])>) -> Value {
    let mut seen: Vec<(String, String)> = list
        .filter(|(name, _)| !TIMES.contains(name))
        .map(|(name, value)| (name.to_owned(), of_any_run(name, value)))
        .collect();
    seen.sort();
    json!(seen)
}

/// A header's value, or what is left of it when it was drawn.
fn of_any_run(name: &str, value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value).into_owned();
    match name {
        HEADER if RANDOM_ARMS.contains(&value.as_str()) => "drawn".to_owned(),
        "traceparent" if !value.contains(SENT_TRACES) => {
            let flags = value.rsplit('-').next().unwrap_or_default();
            format!("{} bytes, flags {flags}", value.len())
        }
        "set-cookie" => match value.split_once('=').zip(value.split_once(';')) {
            Some(((name, _), (_, attributes))) => format!("{name}=drawn;{attributes}"),
            None => value,
        },
        _ => value,
    }
}

/// An echo with its headers made comparable, or the text.
fn body(body: &[u8]) -> Value {
    let Ok(mut echo) = serde_json::from_slice::<Value>(body) else {
        return json!(String::from_utf8_lossy(body));
    };
    if let Some(list) = echo.get("headers").and_then(Value::as_array) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list: Vec<(String, String)> = list
            .iter()
            .map(|pair| (text(&pair[0]), text(&pair[1])))
            .collect();
        let pairs = list.iter().map(|(n, v)| (n.as_str(), v.as_bytes()));
        echo["headers"] = headers(pairs);
    }
    echo
}

fn attempts(services: &Services) -> BTreeMap<usize, Vec<Value>> {
    let mut seen: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
    for service in [&services.v1, &services.v2] {
        for request in service.recorded() {
            let number = request.header_text(NUMBER).and_then(|n| n.parse().ok());
            let attempt = attempt(service.name(), &request);
            seen.entry(number.unwrap()).or_default().push(attempt);
        }
    }
    seen
}

fn attempt(service: &str, request: &Recorded) -> Value {
    let pairs = request
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_slice()));
    json!({
        "service": service,
        "method": request.method,
        "path": request.path,
        "authority": request.authority,
        "headers": headers(pairs),
        "body": request.body().map(|body| body.len()),
    })
}

fn records(services: &Services, log: &str) -> BTreeMap<String, Vec<Value>> {
    let mut seen: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut add = |record: Value| {
        let number = record["n"].as_str().expect("a number").to_owned();
        seen.entry(number).or_default().push(record);
    };
    for record in collector::records(&services.collector) {
        let attributes = collector::attributes(&record.attributes);
        let mut seen = comparable(json!(attributes));
        seen["severity"] = json!(record.severity_text);
        seen["body"] = comparable(collector::json(&record));
        seen["trace"] = json!(trace(&hex(&record.trace_id)));
        add(seen);
    }
    for line in json_lines(log, "{\"start_time\"") {
        add(comparable(serde_json::from_str(line).unwrap()));
    }
    seen
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn trace(id: &str) -> &str {
    if id.is_empty() || id.starts_with(SENT_TRACES) {
        id
    } else {
        "drawn"
    }
}

fn comparable(mut record: Value) -> Value {
    let fields = record.as_object_mut().expect("an object");
    fields.retain(|name, _| !FIELDS_OF_A_RUN.contains(&name.as_str()));
    let text = |fields: &serde_json::Map<String, Value>, name: &str| {
        fields.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    if let Some(id) = text(fields, "trace_id")
        && trace(&id) == "drawn"
    {
        fields.insert("trace_id".to_owned(), json!("drawn"));
        fields.insert("span_id".to_owned(), json!("drawn"));
    }
    // How much of a body came before an answer that did not wait for it.
    if text(fields, "response_code_details").is_none_or(|details| details != "via_upstream") {
        fields.remove("bytes_received");
    }
    // The client's port.
    if let Some(address) = text(fields, "downstream_remote_address") {
        let ip = address.rsplit_once(':').map_or("", |(ip, _)| ip);
        fields.insert("downstream_remote_address".to_owned(), json!(ip));
    }
    if text(fields, "arm").is_some_and(|arm| RANDOM_ARMS.contains(&arm.as_str())) {
        fields.insert("arm".to_owned(), json!("drawn"));
    }
    record
}

/// The lines, and how many were left out. Reasons may name the port that the listener
/// got in this run.
fn decisions(log: &str, port: u16) -> (Vec<String>, BTreeMap<&'static str, u64>) {
    const LEFT_OUT: &str = ",\"left_out\":";
    let named = format!("destination port {port} ");
    let mut left_out = BTreeMap::from(DECISIONS.map(|kind| (kind, 0)));
    let mut add = |line: &str, count: &str| {
        let kind = DECISIONS.iter().find(|kind| line.starts_with(**kind));
        *left_out.get_mut(kind.unwrap()).unwrap() += count.parse::<u64>().unwrap();
    };
    let mut lines = Vec::new();
    for line in json_lines(log, "{\"decision\"") {
        let line = match line.rsplit_once(LEFT_OUT) {
            Some((start, count)) => {
                add(line, count.trim_end_matches('}'));
                format!("{start}}}")
            }
            None => line.to_owned(),
        };
        lines.push(line.replace(&named, "destination port of the listener "));
    }
    // What no line said, the tick does.
    for line in log.lines() {
        for (what, kind) in [("denials", DECISIONS[1]), ("audits", DECISIONS[2])] {
            if let Some((before, _)) = line.split_once(&format!(" {what} were left out of the log"))
            {
                add(kind, before.rsplit(' ').next().unwrap());
            }
        }
    }
    (lines, left_out)
}

/// What Envoy's log has from `start` on, of the lines that have it.
fn json_lines<'a>(log: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    log.lines()
        .filter_map(move |line| Some(&line[line.find(start)?..]))
}

/// Once nothing changes any more and no record waits.
async fn metrics(envoy: &Envoy) -> BTreeMap<String, u64> {
    // Counters reach Envoy once a second.
    let step = Duration::from_millis(1500);
    tokio::time::sleep(step).await;
    let mut before = snapshot(envoy).await;
    for _ in 0..40 {
        tokio::time::sleep(step).await;
        let now = snapshot(envoy).await;
        let waiting = now.get("wasmcustom.meshpack_log_queue_records");
        if now == before && waiting.is_none_or(|waiting| *waiting == 0) {
            return now;
        }
        before = now;
    }
    panic!("the metrics do not settle");
}

async fn snapshot(envoy: &Envoy) -> BTreeMap<String, u64> {
    let stats = envoy.admin().stats_starting_with("wasmcustom.").await;
    let mut seen = BTreeMap::new();
    for (name, value) in stats.unwrap() {
        *seen.entry(series_of_any_run(name)).or_default() += value;
    }
    for sample in envoy.admin().prometheus().await.unwrap().iter() {
        // The golden histograms measure times, and sizes that hang on how much of a
        // body came before an answer; of these the number is the same.
        let own = sample.name.starts_with("shop_") && sample.name.ends_with("_bucket");
        let golden = sample.name.starts_with("meshpack_") && sample.name.ends_with("_count");
        if own || golden {
            let series = format!("{} {:?}", sample.name, sample.labels);
            seen.insert(series, sample.value as u64);
        }
    }
    seen
}

fn series_of_any_run(name: String) -> String {
    RANDOM_ARMS.iter().fold(name, |name, arm| {
        name.replace(&format!("arm=.={arm};"), "arm=.=drawn;")
            .replace(&format!("arm_sent=.={arm};"), "arm_sent=.=drawn;")
    })
}
