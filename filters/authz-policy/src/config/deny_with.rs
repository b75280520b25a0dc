//! `denyWith`: an answer of one's own.

use meshpack_sdk::config::Value;

use super::header_name;
use crate::policy::model::DenyWith;

/// Largest accepted body: it is copied to the proxy on each denial.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Headers that the proxy writes itself, or that would change how the answer
/// is framed.
const RESERVED: [&str; 5] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "grpc-status",
    "grpc-message",
];

pub(super) fn read(value: &Value<'_>) -> Option<DenyWith> {
    let mut fields = value.object()?;
    let status = fields
        .get("status")
        .map_or(Some(403), |v| v.integer(300..=599));
    let body = fields.get("body").map(|v| {
        let body = v.string()?;
        if body.len() > MAX_BODY_BYTES {
            return v.problem(format!(
                "is longer than {} KiB: keep the answer small",
                MAX_BODY_BYTES / 1024
            ));
        }
        Some(body.to_owned())
    });
    let headers = fields
        .get("headers")
        .map_or(Some(Vec::new()), |v| read_headers(&v));
    Some(DenyWith {
        status: u16::try_from(status?).ok()?,
        body: match body {
            None => None,
            Some(body) => Some(body?),
        },
        headers: headers?,
    })
}

fn read_headers(value: &Value<'_>) -> Option<Vec<(String, String)>> {
    let entries = value.entries()?;
    let headers: Vec<Option<(String, String)>> = entries
        .into_iter()
        .map(|(name, content)| {
            let name = read_name(name, &content);
            let text = content.string()?;
            if !text.bytes().all(|b| b == b'\t' || !b.is_ascii_control()) {
                return content.problem("has a control character, which no header can hold");
            }
            Some((name?, text.to_owned()))
        })
        .collect();
    headers.into_iter().collect()
}

fn read_name(name: &str, place: &Value<'_>) -> Option<String> {
    let node = meshpack_sdk::config::Node::String(name.to_owned());
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) {
        return place.problem(format!("{lower} is written by the proxy: remove it"));
    }
    let valid = meshpack_sdk::config::read_node(&node, |value| header_name(&value));
    valid
        .ok()
        .or_else(|| place.problem(format!("{name:?} is not a header name")))
}
