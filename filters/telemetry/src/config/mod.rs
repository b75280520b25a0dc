//! The filter's configuration, checked and ready to be compiled.

mod expression;
mod labels;
mod overrides;
mod read;

pub use expression::{Expression, Source, Use};
pub use labels::{OWN_LABELS, histogram_buckets, label_names};
pub use read::{MAX_LABEL_NAMES, MAX_METRICS, MAX_TEMPLATES, parse, read};

use std::rc::Rc;
use std::time::Duration;

use crate::policy::labels::GoldenLabel;
use crate::policy::path_template::Operations;
use crate::policy::sample::Share;
use crate::policy::series::ValueList;
use crate::record::GOLDEN;

/// Names of the golden metrics: the four of every request, and the two message
/// counters of gRPC.
pub const GOLDEN_METRICS: [&str; 6] = {
    let [requests, duration, sent, received, up, down] = GOLDEN;
    [
        requests.name,
        duration.name,
        sent.name,
        received.name,
        up.name,
        down.name,
    ]
};

/// What the filter does.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it stands in the document; empty unless it is a part of a larger one.
    pub place: String,
    /// The golden metrics that are on, with their labels.
    pub golden: Vec<GoldenMetric>,
    /// Custom metrics, in the order given.
    pub metrics: Vec<Metric>,
    /// Names for paths.
    pub operations: Rc<Operations>,
    /// Bounds on labels.
    pub cardinality: Cardinality,
    /// Labels that have only the listed values.
    pub label_values: Vec<(String, ValueList)>,
    /// The access log, if any.
    pub access_log: Option<AccessLog>,
    /// Trace context handling, if any.
    pub trace: Option<Trace>,
}

/// A golden metric.
#[derive(Debug, Clone)]
pub struct GoldenMetric {
    /// Index into [`GOLDEN_METRICS`].
    pub which: usize,
    /// Its labels in order.
    pub labels: Vec<Label<GoldenSource>>,
}

/// A label and where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label<S> {
    /// The name.
    pub name: String,
    /// The value.
    pub source: S,
}

/// Where the value of a golden metric's label comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoldenSource {
    /// A standard label.
    Standard(GoldenLabel),
    /// An override.
    Expression(Expression),
}

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Adds its value at the end of each request.
    Counter,
    /// Records its value at the end of each request.
    Histogram,
    /// Adds its value when a request starts and takes it back at its end.
    Gauge,
}

/// A custom metric.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Name in Prometheus.
    pub name: String,
    /// Counter, histogram or gauge.
    pub kind: MetricKind,
    /// Value; `None` is 1.
    pub value: Option<Expression>,
    /// Condition; `None` is always.
    pub when: Option<Expression>,
    /// Labels in order.
    pub labels: Vec<Label<Expression>>,
    /// Bucket bounds of a histogram, for the generated Envoy settings only.
    pub buckets: Vec<f64>,
}

/// Bounds on labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cardinality {
    /// Most series of one metric, those with a value `other` included.
    pub max_series: usize,
    /// Most values of one label that clients choose, in one metric, `other` included.
    pub max_values: usize,
    /// Longest label value in bytes.
    pub max_value_length: usize,
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Envoy's application log, one JSON object a line.
    Stdout,
    /// An OpenTelemetry collector, OTLP over HTTP.
    OtlpHttp {
        /// Envoy cluster.
        cluster: String,
        /// Path of the logs endpoint.
        path: String,
        /// `:authority` of the calls.
        authority: String,
        /// How long one call may take.
        timeout: Duration,
    },
}

/// The access log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// Where records go.
    pub sink: Sink,
    /// Share of requests that are logged.
    pub share: Share,
    /// Requests that are logged in any case.
    pub always: Option<Expression>,
    /// Further fields.
    pub fields: Vec<Label<Expression>>,
    /// Most records in one call.
    pub max_records: usize,
    /// Longest time a record waits.
    pub interval: Duration,
    /// Most records that wait, per worker.
    pub max_queue: usize,
}

/// Trace context handling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Whether requests without a context get one.
    pub generate_when_missing: bool,
}
