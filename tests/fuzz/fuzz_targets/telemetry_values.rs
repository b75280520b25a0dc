//! What clients, the host and collectors hand to telemetry: values become
//! labels and records that hold together, encodings are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_sdk::metrics::label;
use meshpack_telemetry::policy::access_log::{
    FieldValue, Record, encode_record, gzip_from_zlib, rejected_records,
};
use meshpack_telemetry::policy::engine::split_list;
use meshpack_telemetry::policy::golden::Identity;

fuzz_target!(|bytes: &[u8]| {
    let mut spans = Vec::new();
    if split_list(
        bytes,
        usize::from(bytes.first().copied().unwrap_or(0)),
        &mut spans,
    ) {
        assert!(spans.into_iter().all(|span| bytes.get(span).is_some()));
    }
    let _ = rejected_records(bytes);
    let _ = gzip_from_zlib(bytes, bytes);
    let _ = Identity::from_endpoint(bytes);

    let mut value = String::new();
    label::push_value(&mut value, bytes, 100);
    assert!(value.len() <= 100 && !value.contains([';', '=']) && !value.ends_with('.'));

    let mut record = Record {
        start: 0,
        observed: 0,
        code: 200,
        trace: None,
        fields: Vec::new(),
    };
    record.set("field", FieldValue::text(bytes));
    let line = record.to_json();
    assert!(!line.contains('\n'));
    let read: serde_json::Value = serde_json::from_str(&line).expect("a record is JSON");
    assert_eq!(
        read["field"],
        serde_json::json!(match &record.fields[0].1 {
            FieldValue::Text(text) => text,
            other => panic!("{other:?}"),
        })
    );
    let _ = encode_record(record);
});
