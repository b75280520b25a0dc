//! What is known of the filter without running it.

use meshpack_sdk::metrics::Kind;
use meshpack_sdk::record::{FailurePolicy, Metric, Record};

/// The golden metrics: the four of every request, and the two message counters of gRPC.
pub(crate) const GOLDEN: [Metric; 6] = [
    Metric::configured("meshpack_requests_total", Kind::Counter, "requests"),
    Metric::configured(
        "meshpack_request_duration_milliseconds",
        Kind::Histogram,
        "`request.duration`",
    ),
    Metric::configured(
        "meshpack_request_bytes",
        Kind::Histogram,
        "`request.total_size`",
    ),
    Metric::configured(
        "meshpack_response_bytes",
        Kind::Histogram,
        "`response.total_size`",
    ),
    Metric::configured(
        "meshpack_request_messages_total",
        Kind::Counter,
        "gRPC messages to the server, where the filter `grpc_stats` runs behind this one with \
         `emit_filter_state`",
    ),
    Metric::configured(
        "meshpack_response_messages_total",
        Kind::Counter,
        "gRPC messages to the client, likewise",
    ),
];

pub(crate) const RECORDS: Metric =
    Metric::counter("meshpack_log_records_total", &[], "log records made");

pub(crate) const SENT: Metric = Metric::counter(
    "meshpack_log_sent_total",
    &[],
    "log records that the collector took",
);

pub(crate) const DROPPED: Metric = Metric::counter(
    "meshpack_log_dropped_total",
    &["drop_reason"],
    "log records lost: `queue_full`, `rejected`, `expired`, `shutdown`",
);

pub(crate) const EXPORT_FAILURES: Metric = Metric::counter(
    "meshpack_log_export_failures_total",
    &[],
    "exports that failed, repeated ones included",
);

pub(crate) const QUEUED: Metric = Metric::gauge(
    "meshpack_log_queue_records",
    &[],
    "log records that wait, all workers",
);

pub(crate) const EXPRESSION_ERRORS: Metric = Metric::counter(
    "meshpack_telemetry_expression_errors_total",
    &["failed_expression"],
    "evaluations that failed, by what the expression is for",
);

pub(crate) const OVERFLOW: Metric = Metric::counter(
    "meshpack_telemetry_overflow_total",
    &["overflowed_metric"],
    "requests that went into the series `other` of a metric that is full",
);

/// The filter.
pub const RECORD: Record = Record {
    name: "telemetry",
    part: "telemetry",
    description: "Metrics, access logs and trace context from a proxy-wasm filter",
    keys: &[
        "golden",
        "metrics",
        "tagOverrides",
        "pathTemplates",
        "cardinality",
        "accessLog",
        "trace",
    ],
    // After everything that may refuse a request.
    istio_phase: Some("STATS"),
    on_trap: FailurePolicy::Open,
    on_trap_because: "without it there are no metrics",
    metrics: {
        let [requests, duration, sent, received, up, down] = GOLDEN;
        &[
            requests,
            duration,
            sent,
            received,
            up,
            down,
            RECORDS,
            SENT,
            DROPPED,
            EXPORT_FAILURES,
            QUEUED,
            EXPRESSION_ERRORS,
            OVERFLOW,
        ]
    },
};
