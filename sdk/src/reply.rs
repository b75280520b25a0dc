//! Answers that the proxy gives itself.

use crate::headers::{HeaderError, check_name, check_value};
use crate::host::{HostError, abi, encode_pairs};

/// A local reply. Headers are validated when they are added, because neither
/// Envoy nor the stock SDK stops a CR/LF from splitting the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    status: u16,
    details: String,
    body: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    grpc_status: Option<u8>,
}

impl LocalReply {
    /// A reply with this HTTP status and these response code details
    /// (`%RESPONSE_CODE_DETAILS%`; no spaces by convention).
    #[must_use]
    pub fn new(status: u16, details: impl Into<String>) -> Self {
        Self {
            status,
            details: details.into(),
            body: Vec::new(),
            headers: Vec::new(),
            grpc_status: None,
        }
    }

    /// Sets the body; gRPC clients get it as `grpc-message`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a response header.
    ///
    /// # Errors
    /// A name or value that would split the message.
    pub fn header(
        mut self,
        name: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> Result<Self, HeaderError> {
        let (name, value) = (name.into(), value.into());
        check_name(&name)?;
        check_value(&value)?;
        self.headers.push((name, value));
        Ok(self)
    }

    /// gRPC status for gRPC requests. Without it Envoy maps the HTTP status
    /// (403 to 7, 503 to 14 and so on).
    #[must_use]
    pub fn grpc_status(mut self, status: u8) -> Self {
        self.grpc_status = Some(status);
        self
    }

    pub(crate) fn send(&self) -> Result<(), HostError> {
        let pairs: Vec<(&[u8], &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
            .collect();
        abi::send_local_response(
            u32::from(self.status),
            self.details.as_bytes(),
            &self.body,
            &encode_pairs(&pairs),
            self.grpc_status.map_or(-1, i32::from),
        )
    }
}
