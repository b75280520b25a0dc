//! Envoy's own word on each request, by way of its access log.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::seen::Access;
use crate::verify::suite::traffic::NUMBER_HEADER;

/// The key by which a line of this log is known among others.
const MARK: &str = "meshpack_verify";

/// Makes every HTTP connection manager of a bootstrap say why it answered as it did.
pub(crate) fn add_to(bootstrap: &mut Value) {
    match bootstrap {
        Value::Object(fields) => {
            let manager = fields
                .get("@type")
                .and_then(Value::as_str)
                .is_some_and(|kind| kind.ends_with(".HttpConnectionManager"));
            if manager {
                let logs = fields.entry("access_log").or_insert_with(|| json!([]));
                if let Value::Array(logs) = logs {
                    logs.push(logger());
                }
            }
            fields.values_mut().for_each(add_to);
        }
        Value::Array(items) => items.iter_mut().for_each(add_to),
        _ => {}
    }
}

pub(crate) fn logger() -> Value {
    json!({
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": {
                MARK: format!("%REQ({})%", NUMBER_HEADER.to_uppercase()),
                "details": "%RESPONSE_CODE_DETAILS%",
                "flags": "%RESPONSE_FLAGS%",
            }},
        },
    })
}

/// The entries of a log by the numbers of their requests, and the log without them.
pub(crate) fn split(log: &str) -> (HashMap<usize, Access>, String) {
    let mut entries = HashMap::new();
    let mut rest = String::new();
    for line in log.lines() {
        match entry(line) {
            Some(Some((n, access))) => {
                entries.insert(n, access);
            }
            Some(None) => {}
            None => {
                rest.push_str(line);
                rest.push('\n');
            }
        }
    }
    (entries, rest)
}

/// `None` if the line is no entry; `Some(None)` if it is one of a foreign request.
fn entry(line: &str) -> Option<Option<(usize, Access)>> {
    if !line.starts_with('{') || !line.contains(MARK) {
        return None;
    }
    let entry: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| match entry[key].as_str() {
        None | Some("-") => String::new(),
        Some(text) => text.to_owned(),
    };
    let access = Access {
        details: text("details"),
        flags: text("flags"),
    };
    Some(text(MARK).parse().ok().map(|n| (n, access)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_from_the_log() {
        let log = "[info] a\n{\"meshpack_verify\":\"2\",\"details\":\"via_upstream\",\"flags\":\"-\"}\n{\"meshpack_verify\":null,\"details\":null}\n[info] b";
        let (entries, rest) = split(log);
        assert_eq!(rest, "[info] a\n[info] b\n");
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[&2].details, "via_upstream");
        assert_eq!(entries[&2].flags, "");
    }

    #[test]
    fn every_connection_manager_gets_a_logger() {
        let mut bootstrap = json!({"a": [{"@type": "x.HttpConnectionManager"},
            {"@type": "x.HttpConnectionManager", "access_log": [1]}]});
        add_to(&mut bootstrap);
        assert_eq!(bootstrap["a"][0]["access_log"].as_array().unwrap().len(), 1);
        assert_eq!(bootstrap["a"][1]["access_log"].as_array().unwrap().len(), 2);
    }
}
