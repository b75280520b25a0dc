//! Envoy's retry conditions.

use meshpack_sdk::config::{Node, Number, Value};

/// Conditions of `x-envoy-retry-on`.
const HTTP: [&str; 11] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
];

/// Conditions of `x-envoy-retry-grpc-on`; they look at a gRPC status that stands
/// in the response headers.
const GRPC: [&str; 5] = [
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// When a request is retried, as values of Envoy's request headers; empty where
/// there is nothing to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetryOn {
    /// `x-envoy-retry-on`
    pub http: String,
    /// `x-envoy-retry-grpc-on`
    pub grpc: String,
    /// `x-envoy-retriable-status-codes`
    pub status_codes: String,
}

impl RetryOn {
    /// Reads a list of Envoy's conditions and of status codes, which may stand
    /// among them as in Istio's `retryOn`.
    #[must_use]
    pub fn read(value: &Value<'_>) -> Option<Self> {
        let mut read = Self::default();
        let conditions = value.non_empty_list_of(|item| match item.node() {
            Node::Number(Number::Integer(code)) => read.status_code(item, *code),
            _ => read.condition(item),
        })?;
        let codes = !read.status_codes.is_empty();
        if codes && !read.http.split(',').any(|c| c == "retriable-status-codes") {
            push(&mut read.http, "retriable-status-codes");
        }
        (!conditions.is_empty()).then_some(read)
    }

    fn condition(&mut self, item: &Value<'_>) -> Option<()> {
        let text = item.non_empty_string()?;
        if HTTP.contains(&text) {
            push(&mut self.http, text);
            Some(())
        } else if GRPC.contains(&text) {
            push(&mut self.grpc, text);
            Some(())
        } else if let Ok(code) = text.parse() {
            self.status_code(item, code)
        } else {
            let (http, grpc) = (HTTP.join(", "), GRPC.join(", "));
            item.problem(format!(
                "{text:?} is not a retry condition: use {http}, {grpc} or a status code"
            ))
        }
    }

    fn status_code(&mut self, item: &Value<'_>, code: i64) -> Option<()> {
        if !(100..600).contains(&code) {
            return item.problem(format!("{code} is not an HTTP status code"));
        }
        push(&mut self.status_codes, &code.to_string());
        Some(())
    }
}

fn push(list: &mut String, word: &str) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(word);
}
