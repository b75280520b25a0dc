//! An OTLP/HTTP collector for tests: what it was sent, by the published schema.

use std::collections::BTreeMap;
use std::io::Read as _;

use meshpack_harness::{Behavior, Upstream};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;

/// An upstream that takes OTLP log exports.
pub(crate) async fn start() -> Upstream {
    Upstream::start_with("collector", Behavior::status(200))
        .await
        .unwrap()
}

/// The export requests a collector accepted.
pub(crate) fn requests(collector: &Upstream) -> Vec<ExportLogsServiceRequest> {
    collector
        .recorded()
        .iter()
        .map(|request| {
            assert_eq!(request.method, "POST");
            assert_eq!(request.path, "/v1/logs");
            assert_eq!(
                request.header_text("content-type"),
                Some("application/x-protobuf")
            );
            let body = request.body().expect("a whole body");
            let mut plain = Vec::new();
            match request.header_text("content-encoding") {
                Some("gzip") => {
                    flate2::read::GzDecoder::new(&body[..])
                        .read_to_end(&mut plain)
                        .unwrap();
                    assert!(body.len() < plain.len());
                }
                None => plain.extend_from_slice(body),
                other => panic!("content-encoding {other:?}"),
            }
            ExportLogsServiceRequest::decode(&plain[..]).unwrap()
        })
        .collect()
}

/// All records that a collector accepted.
pub(crate) fn records(collector: &Upstream) -> Vec<LogRecord> {
    requests(collector)
        .into_iter()
        .flat_map(|request| request.resource_logs)
        .flat_map(|resource| resource.scope_logs)
        .flat_map(|scope| scope.log_records)
        .collect()
}

/// Attributes as text.
pub(crate) fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    list.iter()
        .map(|attribute| {
            let value = match attribute.value.clone().and_then(|any| any.value) {
                Some(Value::StringValue(text)) => text,
                Some(Value::IntValue(number)) => number.to_string(),
                Some(Value::BoolValue(value)) => value.to_string(),
                other => panic!("{other:?}"),
            };
            (attribute.key.clone(), value)
        })
        .collect()
}

/// The JSON record in a body.
pub(crate) fn json(record: &LogRecord) -> serde_json::Value {
    match record.body.clone().and_then(|any| any.value) {
        Some(Value::StringValue(text)) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}
