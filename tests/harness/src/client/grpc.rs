//! gRPC calls without generated code: messages are bytes.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;

use super::{Client, ClientError, Request};

/// What came back from a gRPC call.
#[derive(Clone, Debug)]
pub struct GrpcReply {
    /// The HTTP status; 200 whenever gRPC got far enough to say more.
    pub http_status: u16,
    /// `grpc-status`, from the trailers or from a headers-only answer.
    pub status: Option<u32>,
    /// `grpc-message`, still percent-encoded.
    pub message: Option<String>,
    /// The messages.
    pub messages: Vec<Bytes>,
    /// The headers.
    pub headers: HeaderMap,
    /// The trailers, absent from a headers-only answer.
    pub trailers: Option<HeaderMap>,
}

impl Client {
    /// Calls `path` (`/package.Service/Method`) with the given messages and reads all
    /// that come back: unary with one message, streaming with more.
    pub async fn grpc(&self, path: &str, messages: &[&[u8]]) -> Result<GrpcReply, ClientError> {
        self.grpc_with(Request::new("POST", path), messages).await
    }

    /// Like [`Client::grpc`], with headers of your own on `request`.
    pub async fn grpc_with(
        &self,
        request: Request,
        messages: &[&[u8]],
    ) -> Result<GrpcReply, ClientError> {
        let request = request
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(frame_all(messages));
        let answer = self.send(request).await?;
        let end = answer.trailers.as_ref().unwrap_or(&answer.headers);
        let text = |name: &str| end.get(name).and_then(|value| value.to_str().ok());
        Ok(GrpcReply {
            http_status: answer.status,
            status: text("grpc-status").and_then(|status| status.parse().ok()),
            message: text("grpc-message").map(str::to_owned),
            messages: unframe(answer.body),
            headers: answer.headers,
            trailers: answer.trailers,
        })
    }
}

/// Length-prefixed messages, not compressed.
pub(crate) fn frame_all<M: AsRef<[u8]>>(messages: &[M]) -> Bytes {
    let mut framed = BytesMut::new();
    for message in messages.iter().map(AsRef::as_ref) {
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        framed.put_slice(message);
    }
    framed.freeze()
}

fn unframe(mut body: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while let Some(prefix) = body.first_chunk::<5>() {
        let [_, length @ ..] = *prefix;
        let end = 5 + u32::from_be_bytes(length) as usize;
        if body.len() < end {
            break;
        }
        messages.push(body.split_to(end).slice(5..));
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_framing() {
        let framed = frame_all(&["", "one", "two"]);
        assert_eq!(unframe(framed.clone()), ["", "one", "two"]);
        assert_eq!(unframe(framed.slice(..framed.len() - 1)), ["", "one"]);
    }
}
