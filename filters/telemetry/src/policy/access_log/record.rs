//! One access log record.

use meshpack_sdk::text;

use crate::policy::engine::ResultType;
use crate::policy::trace::TraceContext;

/// Longest text of a field, in bytes; longer ones are cut.
const MAX_TEXT: usize = 1024;

/// A field that every record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandardField {
    /// Its name.
    pub name: &'static str,
    /// CEL that gives it, with an empty text where it is missing.
    pub cel: &'static str,
    /// Form of the result.
    pub result: ResultType,
}

const fn field(name: &'static str, cel: &'static str, result: ResultType) -> StandardField {
    StandardField { name, cel, result }
}

use ResultType::{Int, Nanoseconds, Text};

/// The fields of every record beside its time and trace, named as in Istio's
/// default access log. Missing ones are left out of the record.
pub const STANDARD_FIELDS: &[StandardField] = &[
    field(
        "method",
        "has(request.method) ? request.method : \"\"",
        Text,
    ),
    field("path", "has(request.path) ? request.path : \"\"", Text),
    field("authority", "has(request.host) ? request.host : \"\"", Text),
    field(
        "protocol",
        "has(request.protocol) ? request.protocol : \"\"",
        Text,
    ),
    field(
        "response_code",
        "has(response.code) ? response.code : 0",
        Int,
    ),
    field(
        "response_code_details",
        "has(response.code_details) ? response.code_details : \"\"",
        Text,
    ),
    field(
        "duration",
        "has(request.duration) ? request.duration : \"\"",
        Nanoseconds,
    ),
    field("bytes_received", "request.size", Int),
    field("bytes_sent", "response.size", Int),
    field(
        "user_agent",
        "has(request.useragent) ? request.useragent : \"\"",
        Text,
    ),
    field("request_id", "has(request.id) ? request.id : \"\"", Text),
    field(
        "upstream_host",
        "has(upstream.address) ? upstream.address : \"\"",
        Text,
    ),
    field(
        "upstream_cluster",
        "has(xds.cluster_name) ? xds.cluster_name : \"\"",
        Text,
    ),
    field(
        "route_name",
        "has(xds.route_name) ? xds.route_name : \"\"",
        Text,
    ),
    field(
        "downstream_remote_address",
        "has(source.address) ? source.address : \"\"",
        Text,
    ),
];

/// Value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// Text; each byte that is not UTF-8 became `\xff`.
    Text(String),
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
}

impl FieldValue {
    /// A text, cut to the longest length.
    #[must_use]
    pub fn text(bytes: &[u8]) -> Self {
        let mut text = text::from_bytes(bytes.get(..MAX_TEXT + 3).unwrap_or(bytes));
        if text.len() > MAX_TEXT {
            let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or(0));
        }
        Self::Text(text)
    }
}

/// One access log record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When the request began, nanoseconds since 1970.
    pub start: u64,
    /// When the record was made, nanoseconds since 1970.
    pub observed: u64,
    /// HTTP status, 0 without a response.
    pub code: i64,
    /// The trace, if the request belongs to one.
    pub trace: Option<TraceContext>,
    /// Fields in order; a later one of the same name replaced the earlier.
    pub fields: Vec<(String, FieldValue)>,
}

impl Record {
    /// Adds a field, or replaces it.
    pub fn set(&mut self, name: &str, value: FieldValue) {
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FieldValue;

    #[test]
    fn texts_are_cut_between_characters() {
        for (bytes, length) in [
            (vec![b'a'; 5000], 1024),
            ("é".repeat(2000).into_bytes(), 1024),
            ("a€".repeat(1000).into_bytes(), 1024),
            (vec![0xff; 5000], 1024),
            (b"short".to_vec(), 5),
        ] {
            let FieldValue::Text(text) = FieldValue::text(&bytes) else {
                panic!("a text")
            };
            assert_eq!(text.len(), length);
        }
    }
}
