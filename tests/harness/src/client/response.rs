//! An answer, and the ways of not getting one.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde::de::DeserializeOwned;

use crate::upstream::Echo;

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, repeated ones included.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers, if there were any.
    pub trailers: Option<HeaderMap>,
}

impl Response {
    /// The first value of a header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Every value of a header, as bytes.
    pub fn header_values(&self, name: &str) -> Vec<&[u8]> {
        self.headers
            .get_all(name)
            .iter()
            .map(http::HeaderValue::as_bytes)
            .collect()
    }

    /// The body as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// What an [`Upstream`](crate::Upstream) echoed: the request as it arrived there.
    pub fn echo(&self) -> Result<Echo, serde_json::Error> {
        self.json()
    }

    /// The name of the [`Upstream`](crate::Upstream) that answered; `None` if Envoy did.
    pub fn upstream(&self) -> Option<&str> {
        self.header(crate::upstream::NAME_HEADER)
    }
}

/// No complete answer came.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The request is not HTTP.
    #[error("the request's {0} cannot be written in HTTP; send it with a RawClient")]
    Unwritable(String),
    /// Nobody listens, or TLS failed.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// The address tried.
        address: String,
        /// What the system or TLS said.
        reason: String,
    },
    /// The connection or stream ended before the headers came.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The answer broke off after its headers.
    #[error("answer {status} broke off after {} body bytes: {reason}", received.len())]
    Truncated {
        /// The status that came.
        status: u16,
        /// The part of the body that came.
        received: Bytes,
        /// How it ended.
        reason: String,
    },
    /// It took too long.
    #[error("no complete answer within {0:?}")]
    Timeout(Duration),
}

impl ClientError {
    /// An error with all its causes, which hyper's own text leaves out.
    pub(crate) fn reason(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}
