//! Findings as SARIF 2.1.0, which code hosts show beside the changed lines.

use serde_json::{Value, json};

use super::code::{self, Severity};
use super::finding::Finding;

/// Where the page of the codes is.
const PAGE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/check.md");

/// The log of one run.
pub(super) fn log(findings: &[Finding]) -> Value {
    let rules: Vec<Value> = code::ALL.iter().map(|code| rule(code)).collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "meshpack check",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": PAGE,
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &code::Code) -> Value {
    json!({
        "id": code.to_string(),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.effect},
        "help": {"text": code.remedy},
        "helpUri": PAGE,
        "defaultConfiguration": {"level": level(code.severity)},
    })
}

fn result(finding: &Finding) -> Value {
    let place = if finding.path.is_empty() {
        String::new()
    } else {
        format!("{}: ", finding.path)
    };
    json!({
        "ruleId": finding.code.to_string(),
        "level": level(finding.code.severity),
        "message": {"text": format!("{place}{}", finding.message)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&finding.file)},
            "region": {
                "startLine": finding.position.line,
                "startColumn": finding.position.column,
            },
        }}],
    })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Hint => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// A file's name as a relative URI.
fn uri(file: &str) -> String {
    let mut out = String::with_capacity(file.len());
    for byte in file.strip_prefix("./").unwrap_or(file).bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
