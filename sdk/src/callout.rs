//! HTTP callouts to an Envoy cluster.

use std::time::Duration;

use crate::headers::{HeaderError, check_name, check_value};
use crate::host::{abi, encode_pairs};

/// Identifies the callout an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CalloutId(pub(crate) u32);

/// An HTTP request that the proxy makes itself.
///
/// The answer reaches [`crate::Filter::on_http_call_response`] of the root, so a
/// callout outlives the stream that caused it; send it from the tick where it
/// can wait.
#[derive(Debug, Clone)]
pub struct Callout<'a> {
    /// Name of the Envoy cluster.
    pub cluster: &'a str,
    /// Request headers; `:method`, `:path` and `:authority` are required.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// Body.
    pub body: &'a [u8],
    /// Time until Envoy answers with an empty response.
    pub timeout: Duration,
}

impl Callout<'_> {
    /// Sends the request.
    ///
    /// # Errors
    /// A header that would split the message; an unknown cluster or missing
    /// pseudo headers ([`crate::HostError::BadArgument`]); what else the host answers.
    pub fn send(&self) -> Result<CalloutId, HeaderError> {
        for (name, value) in self.headers {
            check_name(name)?;
            check_value(value)?;
        }
        let headers = encode_pairs(self.headers);
        Ok(
            abi::http_call(self.cluster.as_bytes(), &headers, self.body, self.timeout)
                .map(CalloutId)?,
        )
    }
}
