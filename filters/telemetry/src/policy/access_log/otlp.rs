//! Records as an OTLP export request (opentelemetry-proto, `logs/v1`).
//!
//! Each record is encoded when it is made, so that what waits in the queue is
//! small and an export only frames it: a nested message and a bytes field look
//! the same on the wire, which lets [`ScopeLogs`] take records as bytes.

use prost::Message;

use super::record::{FieldValue, Record};

/// `opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest`
#[derive(Clone, PartialEq, Message)]
struct ExportLogsServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

/// `opentelemetry.proto.logs.v1.ResourceLogs`
#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceMessage>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

/// `opentelemetry.proto.resource.v1.Resource`
#[derive(Clone, PartialEq, Message)]
struct ResourceMessage {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

/// `opentelemetry.proto.logs.v1.ScopeLogs`
#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    /// Encoded [`LogRecord`]s.
    #[prost(bytes = "vec", repeated, tag = "2")]
    log_records: Vec<Vec<u8>>,
}

/// `opentelemetry.proto.common.v1.InstrumentationScope`
#[derive(Clone, PartialEq, Message)]
struct InstrumentationScope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

/// `opentelemetry.proto.logs.v1.LogRecord`
#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
    #[prost(fixed32, tag = "8")]
    flags: u32,
    #[prost(bytes = "vec", tag = "9")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    span_id: Vec<u8>,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
}

/// `opentelemetry.proto.common.v1.KeyValue`
#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

/// `opentelemetry.proto.common.v1.AnyValue`
#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
}

/// `opentelemetry.proto.collector.logs.v1.ExportLogsServiceResponse`
#[derive(Clone, PartialEq, Message)]
struct ExportLogsServiceResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<ExportLogsPartialSuccess>,
}

/// `opentelemetry.proto.collector.logs.v1.ExportLogsPartialSuccess`
#[derive(Clone, PartialEq, Message)]
struct ExportLogsPartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
}

/// How many records of an accepted request the collector refused all the same.
#[must_use]
pub fn rejected_records(response: &[u8]) -> u64 {
    let response = ExportLogsServiceResponse::decode(response).unwrap_or_default();
    let rejected = response
        .partial_success
        .map_or(0, |partial| partial.rejected_log_records);
    u64::try_from(rejected).unwrap_or(0)
}

/// What sends the records: attributes of the proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// Names and values; values that are not known are left out by the maker.
    pub attributes: Vec<(String, String)>,
}

fn text(value: impl Into<String>) -> Option<AnyValue> {
    Some(AnyValue {
        value: Some(Value::Text(value.into())),
    })
}

/// Severity number and text of an HTTP status: what is the server's fault is an
/// error, what is the client's a warning.
fn severity(code: i64) -> (i32, &'static str) {
    match code {
        0 | 500.. => (17, "ERROR"),
        400..=499 => (13, "WARN"),
        _ => (9, "INFO"),
    }
}

/// Encodes one record.
#[must_use]
pub fn encode_record(record: Record) -> Vec<u8> {
    let body = text(record.to_json());
    let (severity_number, severity_text) = severity(record.code);
    let attributes = record
        .fields
        .into_iter()
        .map(|(key, value)| KeyValue {
            key,
            value: Some(AnyValue {
                value: Some(match value {
                    FieldValue::Text(text) => Value::Text(text),
                    FieldValue::Int(number) => Value::Int(number),
                    FieldValue::Bool(value) => Value::Bool(value),
                }),
            }),
        })
        .collect();
    let trace = record.trace;
    LogRecord {
        time_unix_nano: record.start,
        severity_number,
        severity_text: severity_text.to_owned(),
        body,
        attributes,
        flags: trace.map_or(0, |trace| u32::from(trace.flags())),
        trace_id: trace
            .map(|trace| trace.trace_id().to_vec())
            .unwrap_or_default(),
        span_id: trace
            .map(|trace| trace.parent_id().to_vec())
            .unwrap_or_default(),
        observed_time_unix_nano: record.observed,
    }
    .encode_to_vec()
}

/// Encodes an export request of encoded records.
#[must_use]
pub fn encode_request(resource: &Resource, records: Vec<Vec<u8>>) -> Vec<u8> {
    let attributes = resource
        .attributes
        .iter()
        .map(|(key, value)| KeyValue {
            key: key.clone(),
            value: text(value.clone()),
        })
        .collect();
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(ResourceMessage { attributes }),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope {
                    name: "meshpack.telemetry".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                }),
                log_records: records,
            }],
        }],
    }
    .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::trace::TraceContext;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest as Published;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as PublishedValue;

    fn record() -> Record {
        Record {
            start: 1_795_255_201_123_456_789,
            observed: 1_795_255_202_000_000_000,
            code: 503,
            trace: TraceContext::new([0x0a; 16], [0x0b; 8], 3),
            fields: vec![
                ("path".into(), FieldValue::Text("/é".into())),
                ("response_code".into(), FieldValue::Int(503)),
                ("negative".into(), FieldValue::Int(-1)),
                ("tls".into(), FieldValue::Bool(true)),
            ],
        }
    }

    /// The published schema is the judge: the crate is generated from it.
    #[test]
    fn a_request_reads_the_same_by_the_published_schema() {
        let resource = Resource {
            attributes: vec![("service.name".into(), "shop".into())],
        };
        let json = record().to_json();
        let records = vec![encode_record(record()), encode_record(record())];
        let bytes = encode_request(&resource, records);
        let request = Published::decode(&bytes[..]).unwrap();

        let [logs] = &request.resource_logs[..] else {
            panic!("one resource")
        };
        let attributes = &logs.resource.as_ref().unwrap().attributes;
        assert_eq!(attributes[0].key, "service.name");
        let [scope] = &logs.scope_logs[..] else {
            panic!("one scope")
        };
        assert_eq!(scope.scope.as_ref().unwrap().name, "meshpack.telemetry");
        assert_eq!(scope.log_records.len(), 2);
        let read = &scope.log_records[0];
        assert_eq!(read.time_unix_nano, 1_795_255_201_123_456_789);
        assert_eq!(read.observed_time_unix_nano, 1_795_255_202_000_000_000);
        assert_eq!(
            (read.severity_number, read.severity_text.as_str()),
            (17, "ERROR")
        );
        assert_eq!(read.trace_id, [0x0a; 16]);
        assert_eq!(read.span_id, [0x0b; 8]);
        assert_eq!(read.flags, 3);
        let body = read.body.clone().unwrap().value.unwrap();
        assert_eq!(body, PublishedValue::StringValue(json));
        let values: Vec<_> = read
            .attributes
            .iter()
            .map(|a| (a.key.as_str(), a.value.clone().unwrap().value.unwrap()))
            .collect();
        assert_eq!(
            values,
            [
                ("path", PublishedValue::StringValue("/é".into())),
                ("response_code", PublishedValue::IntValue(503)),
                ("negative", PublishedValue::IntValue(-1)),
                ("tls", PublishedValue::BoolValue(true)),
            ]
        );
        // Nothing was lost or added: the published encoder writes the same bytes.
        assert_eq!(request.encode_to_vec(), bytes);
    }

    #[test]
    fn records_that_were_refused_are_known_from_the_answer() {
        use opentelemetry_proto::tonic::collector::logs::v1::{
            ExportLogsPartialSuccess, ExportLogsServiceResponse,
        };
        let answer = ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: 3,
                error_message: "too old".to_owned(),
            }),
        };
        assert_eq!(rejected_records(&answer.encode_to_vec()), 3);
        assert_eq!(rejected_records(b""), 0);
        assert_eq!(rejected_records(b"<html>"), 0);
    }

    #[test]
    fn severity_tells_whose_fault_it_was() {
        for (code, expected) in [(200, 9), (302, 9), (404, 13), (500, 17), (0, 17)] {
            assert_eq!(severity(code).0, expected, "{code}");
        }
    }
}
