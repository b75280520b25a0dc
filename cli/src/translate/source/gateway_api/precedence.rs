//! Which rule of an HTTPRoute decides: the most specific, not the first.

use std::cmp::Reverse;

use crate::translate::model::traffic::{Match, PathMatch, Rule};

/// Sorts rules of one match each so that the first that matches decides: exact
/// paths, longer prefixes, a method, more headers, more query parameters; else
/// the order in which they were written. (Gateway API, HTTPRouteRule.matches.)
pub(super) fn sort(rules: &mut [Rule]) {
    rules.sort_by_key(|rule| rule.matches.first().map_or_else(none, key));
}

/// What orders rules by their paths and methods, before headers are counted.
pub(in crate::translate) fn of_path_and_method(one: &Match) -> (u8, Reverse<usize>, Reverse<bool>) {
    let (kind, length, method, ..) = key(one);
    (kind, length, method)
}

type Key = (
    u8,
    Reverse<usize>,
    Reverse<bool>,
    Reverse<usize>,
    Reverse<usize>,
);

fn none() -> Key {
    key(&Match::default())
}

fn key(one: &Match) -> Key {
    let (kind, length) = match &one.path {
        Some(PathMatch::Exact(path)) => (0, path.len()),
        // Implementations may place these anywhere; Istio does so before prefixes.
        Some(PathMatch::Regex(path)) => (1, path.len()),
        Some(PathMatch::Segments(path) | PathMatch::Prefix(path)) => {
            (2, path.trim_end_matches('/').len())
        }
        None => (2, 0),
    };
    (
        kind,
        Reverse(length),
        Reverse(!one.methods.is_empty()),
        Reverse(one.headers.len()),
        Reverse(one.query.len()),
    )
}
