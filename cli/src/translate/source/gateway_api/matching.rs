//! The matches of an HTTPRoute.

use crate::translate::ledger::Field;
use crate::translate::model::traffic::{Match, PathMatch, TextMatch};
use crate::translate::target::quote;

/// None for what cannot be said: no request follows it, rather than too many.
pub(in super::super) fn read(field: &Field<'_>) -> Option<Match> {
    let mut read = Match::default();
    if let Some(path) = field.get("path") {
        let value = path.text_at("value").unwrap_or("/").to_owned();
        read.path = match path.text_at("type").unwrap_or("PathPrefix") {
            "Exact" => Some(PathMatch::Exact(value)),
            "RegularExpression" => Some(PathMatch::Regex(value)),
            other if other != "PathPrefix" => {
                path.lost(format!(
                    "{other:?} is not a type of Gateway API: this match is left out"
                ));
                return None;
            }
            _ if value.trim_end_matches('/').is_empty() => None,
            _ => Some(PathMatch::Segments(value)),
        };
    }
    read.methods
        .extend(field.text_at("method").map(str::to_owned));
    read.headers = headers(field, "headers")?;
    read.query = headers(field, "queryParams")?;
    Some(read)
}

/// Conditions on headers, or on query parameters.
fn headers(field: &Field<'_>, key: &str) -> Option<Vec<(String, TextMatch)>> {
    let mut list = Vec::new();
    for entry in field.list(key) {
        let (Some(name), Some(value)) = (entry.text_at("name"), entry.text_at("value")) else {
            continue;
        };
        let value = match entry.text_at("type") {
            Some("RegularExpression") => TextMatch::Regex(value.to_owned()),
            Some(other) if other != "Exact" => {
                entry.lost(format!(
                    "{other:?} is not a type of Gateway API: this match is left out"
                ));
                return None;
            }
            _ => TextMatch::Exact(value.to_owned()),
        };
        list.push((name.to_ascii_lowercase(), value));
    }
    Some(list)
}

/// The match of a GRPCRoute: a call is a POST to `/SERVICE/METHOD`.
pub(in super::super) fn read_grpc(field: &Field<'_>) -> Option<Match> {
    let mut read = Match::default();
    if let Some(call) = field.get("method") {
        let (service, method) = (call.text_at("service"), call.text_at("method"));
        let regular = match call.text_at("type").unwrap_or("Exact") {
            "Exact" => false,
            "RegularExpression" => true,
            other => {
                call.lost(format!(
                    "{other:?} is not a type of Gateway API: this match is left out"
                ));
                return None;
            }
        };
        read.path = match (service, method, regular) {
            (Some(service), Some(method), false) => {
                Some(PathMatch::Exact(format!("/{service}/{method}")))
            }
            (Some(service), None, false) => Some(PathMatch::Prefix(format!("/{service}/"))),
            (None, Some(method), false) => {
                Some(PathMatch::Regex(format!("/[^/]+/{}", quote(method))))
            }
            (service, method, true) => Some(PathMatch::Regex(format!(
                "/{}/{}",
                service.unwrap_or("[^/]+"),
                method.unwrap_or("[^/]+")
            ))),
            (None, None, false) => None,
        };
    }
    read.headers = headers(field, "headers")?;
    Some(read)
}
