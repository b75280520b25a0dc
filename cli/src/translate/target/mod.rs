//! From the model to files.

mod budget;
pub(crate) mod envoy;
mod http_route;
mod matching;
mod placement;
mod split;
pub(crate) mod virtual_service;
pub(crate) mod wasm_plugin;

pub(crate) use matching::paths;
pub(crate) use virtual_service::{quote, text_match};

use std::time::Duration;

use meshpack_sdk::config::{Node, Number};

/// Header by which the canary filter tells the route which arm was chosen.
pub(crate) const STEERING_HEADER: &str = "x-meshpack-subset";

pub(crate) fn text(text: impl Into<String>) -> Node {
    Node::String(text.into())
}

pub(crate) fn integer(value: impl Into<i64>) -> Node {
    Node::Number(Number::Integer(value.into()))
}

/// A number, written as a whole one where it is one.
pub(crate) fn number(value: f64) -> Node {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        integer(value as i64)
    } else {
        Node::Number(Number::Double(value))
    }
}

/// A duration as all these systems write it: `10s`, `250ms`.
pub(crate) fn duration(value: Duration) -> Node {
    text(if value.subsec_nanos() == 0 {
        format!("{}s", value.as_secs())
    } else {
        format!("{}ms", value.as_millis())
    })
}

/// A duration as Envoy's JSON has it: seconds, perhaps with a fraction.
pub(crate) fn seconds(value: Duration) -> Node {
    text(format!("{}s", value.as_secs_f64()))
}

pub(crate) fn texts<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Node {
    Node::List(values.into_iter().map(text).collect())
}
