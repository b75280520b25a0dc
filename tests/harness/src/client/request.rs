//! A request, built header by header.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

use super::{ClientError, Protocol, Target};

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request that a [`Client`](super::Client) can send.
///
/// What cannot be written in HTTP at all is an error when it is sent; to send such
/// bytes, use a [`RawClient`](super::RawClient).
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    authority: Option<String>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Bytes,
}

impl Request {
    /// `method path`.
    pub fn new(method: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            authority: None,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// `GET path`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// `POST path` with a body.
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::new("POST", path).body(body)
    }

    /// Adds a header; repeated names are sent as several lines.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// The authority: `host` over HTTP/1.1, `:authority` over HTTP/2.
    pub fn authority(mut self, authority: impl Into<String>) -> Self {
        self.authority = Some(authority.into());
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn into_http(self, target: &Target) -> Result<http::Request<Body>, ClientError> {
        let bad = |what: &str| ClientError::Unwritable(what.to_owned());
        let authority = self.authority.as_deref().unwrap_or(&target.authority);
        let uri: Uri = match target.protocol {
            Protocol::Http1 => self.path.parse(),
            Protocol::Http2 => {
                let scheme = if target.tls.is_some() {
                    "https"
                } else {
                    "http"
                };
                format!("{scheme}://{authority}{}", self.path).parse()
            }
        }
        .map_err(|_| bad("path or authority"))?;
        let mut request = http::Request::new(Full::new(self.body).boxed_unsync());
        *request.method_mut() =
            Method::from_bytes(self.method.as_bytes()).map_err(|_| bad("method"))?;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        match target.protocol {
            Protocol::Http1 => {
                let host = HeaderValue::from_str(authority).map_err(|_| bad("authority"))?;
                headers.insert(http::header::HOST, host);
            }
            Protocol::Http2 => *request.version_mut() = Version::HTTP_2,
        }
        let headers = request.headers_mut();
        for (name, value) in self.headers {
            let name = HeaderName::from_bytes(&name).map_err(|_| bad("header name"))?;
            let value = HeaderValue::from_bytes(&value).map_err(|_| bad("header value"))?;
            headers
                .try_append(name, value)
                .map_err(|_| bad("number of headers"))?;
        }
        Ok(request)
    }
}
