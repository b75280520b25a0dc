//! A record as one line of JSON.

use std::fmt::Write as _;

use meshpack_sdk::text::push_json;

use super::record::{FieldValue, Record};

impl Record {
    /// One JSON object on one line. What would act on a terminal is escaped.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(512);
        out.push_str("{\"start_time\":");
        push_json(&mut out, &timestamp(self.start));
        for (name, value) in &self.fields {
            out.push(',');
            push_json(&mut out, name);
            out.push(':');
            match value {
                FieldValue::Text(text) => push_json(&mut out, text),
                FieldValue::Int(number) => {
                    let _ = write!(out, "{number}");
                }
                FieldValue::Bool(value) => {
                    let _ = write!(out, "{value}");
                }
            }
        }
        if let Some(trace) = &self.trace {
            out.push_str(",\"trace_id\":\"");
            push_hex(&mut out, trace.trace_id());
            out.push_str("\",\"span_id\":\"");
            push_hex(&mut out, trace.parent_id());
            let _ = write!(out, "\",\"trace_sampled\":{}", trace.sampled());
        }
        out.push('}');
        out
    }
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

/// RFC 3339 in UTC with milliseconds, as Envoy's `%START_TIME%`.
#[must_use]
pub fn timestamp(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let millis = nanos / 1_000_000 % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Date of a day since 1970 in the Gregorian calendar (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::trace::TraceContext;

    #[test]
    fn a_record_is_one_line_of_valid_json() {
        let record = Record {
            start: 1_795_255_201_123_456_789,
            observed: 0,
            code: 200,
            trace: TraceContext::new([0x0a; 16], [0x0b; 8], 1),
            fields: vec![
                (
                    "path".into(),
                    FieldValue::Text("/a\"\\\n\u{1}\u{7f}é".into()),
                ),
                ("response_code".into(), FieldValue::Int(200)),
                ("tls".into(), FieldValue::Bool(true)),
            ],
        };
        let line = record.to_json();
        assert!(!line.contains('\n'));
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["start_time"], "2026-11-21T10:00:01.123Z");
        assert_eq!(parsed["path"], "/a\"\\\n\u{1}\u{7f}é");
        assert_eq!(parsed["response_code"], 200);
        assert_eq!(parsed["tls"], true);
        assert_eq!(parsed["trace_id"], "0a".repeat(16));
        assert_eq!(parsed["span_id"], "0b".repeat(8));
        assert_eq!(parsed["trace_sampled"], true);
    }

    #[test]
    fn times_are_written_as_envoy_writes_them() {
        for (nanos, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_399_999_000_000, "2100-02-28T23:59:59.999Z"),
        ] {
            assert_eq!(timestamp(nanos), expected);
        }
    }
}
