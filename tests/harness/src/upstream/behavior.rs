//! What an upstream does with a request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Recorded;
use crate::client::frame_all;

/// What is sent as the body.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// What was received.
    Echo,
    /// These bytes.
    Bytes(Bytes),
    /// Length-prefixed gRPC messages and a status in the trailers.
    Grpc { messages: Bytes, status: u32 },
}

/// How the answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    /// Nothing is ever sent.
    Hang,
    /// The connection is reset instead of an answer.
    ResetConnection,
    /// Over HTTP/2 the stream is reset instead of an answer; over HTTP/1.1 the
    /// connection is closed.
    ResetStream,
    /// The headers and the body are sent, then the connection is reset.
    ResetAfterBody,
    /// The headers and the body are sent, then nothing.
    HangAfterBody,
}

/// What an upstream does with one request.
#[derive(Clone, Debug)]
pub struct Behavior {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    pub(crate) content: Content,
    pub(crate) delay: Duration,
    pub(crate) pause_before_body: Duration,
    pub(crate) end: End,
}

impl Behavior {
    fn new(status: u16, content: Content) -> Self {
        Self {
            status,
            headers: Vec::new(),
            trailers: Vec::new(),
            content,
            delay: Duration::ZERO,
            pause_before_body: Duration::ZERO,
            end: End::Complete,
        }
    }

    /// Answers 200 with the request as JSON (see [`Echo`](super::Echo)); for gRPC,
    /// sends back each message as it comes and ends with status 0.
    pub fn echo() -> Self {
        Self::new(200, Content::Echo)
    }

    /// Answers with `status` and no body.
    pub fn status(status: u16) -> Self {
        Self::new(status, Content::Bytes(Bytes::new()))
    }

    /// Answers a gRPC call with `messages` and `status` in the trailers.
    pub fn grpc(messages: &[&[u8]], status: u32) -> Self {
        let messages = frame_all(messages);
        Self::new(200, Content::Grpc { messages, status })
            .header("content-type", "application/grpc")
    }

    /// Answers a gRPC call with `status` in the headers and nothing after them.
    pub fn grpc_error(status: u32) -> Self {
        Self::status(200)
            .header("content-type", "application/grpc")
            .header("grpc-status", status.to_string())
    }

    /// Resets the TCP connection instead of answering.
    pub fn reset() -> Self {
        Self::status(200).ending(End::ResetConnection)
    }

    /// Resets the stream (HTTP/2) or closes the connection (HTTP/1.1) instead of
    /// answering.
    pub fn reset_stream() -> Self {
        Self::status(200).ending(End::ResetStream)
    }

    /// Never answers.
    pub fn hang() -> Self {
        Self::status(200).ending(End::Hang)
    }

    /// Sends the headers and the body, then resets the connection without ending the
    /// answer.
    pub fn then_reset(self) -> Self {
        self.ending(End::ResetAfterBody)
    }

    /// Sends the headers and the body, then nothing, without ending the answer.
    pub fn then_hang(self) -> Self {
        self.ending(End::HangAfterBody)
    }

    /// Adds a response header; any byte that HTTP can carry.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Adds a trailer.
    pub fn trailer(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.trailers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Sends `body`.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.content = Content::Bytes(body.into());
        self
    }

    /// Waits before doing anything.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Waits between headers and body.
    pub fn pause_before_body(mut self, pause: Duration) -> Self {
        self.pause_before_body = pause;
        self
    }

    fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

type Decide = dyn Fn(&Recorded, u64) -> Behavior + Send + Sync;

/// Which behaviour each request meets.
#[derive(Clone)]
pub struct Script(Arc<Decide>);

impl Script {
    /// Asks `decide` for every request. It sees the request without its body, and
    /// its number under this script, from 0.
    pub fn new(decide: impl Fn(&Recorded, u64) -> Behavior + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// The first `count` requests meet `first`, the others `then`.
    pub fn first(count: u64, first: Behavior, then: Behavior) -> Self {
        Self::new(move |_, n| {
            if n < count {
                first.clone()
            } else {
                then.clone()
            }
        })
    }

    /// A share of the requests (0 to 1) meets `some`, the others `rest`. The same seed
    /// chooses the same requests by their number.
    pub fn fraction(share: f64, seed: u64, some: Behavior, rest: Behavior) -> Self {
        Self::new(move |_, n| {
            // 53 bits make every double in [0, 1) of that spacing equally likely.
            let uniform = (mix(seed ^ mix(n)) >> 11) as f64 / (1_u64 << 53) as f64;
            if uniform < share {
                some.clone()
            } else {
                rest.clone()
            }
        })
    }

    pub(crate) fn decide(&self, request: &Recorded, n: u64) -> Behavior {
        (self.0)(request, n)
    }
}

impl From<Behavior> for Script {
    fn from(behavior: Behavior) -> Self {
        Self::new(move |_, _| behavior.clone())
    }
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(script: &Script, requests: u64) -> Vec<u64> {
        let request = Recorded::default();
        (0..requests)
            .filter(|n| script.decide(&request, *n).status == 503)
            .collect()
    }

    #[test]
    fn the_first_requests_fail() {
        let script = Script::first(2, Behavior::status(503), Behavior::echo());
        assert_eq!(failures(&script, 10), [0, 1]);
    }

    #[test]
    fn a_fraction_fails_in_the_same_places_for_the_same_seed() {
        let script = |seed| Script::fraction(0.2, seed, Behavior::status(503), Behavior::echo());
        let failed = failures(&script(7), 10_000);
        assert!((1900..2100).contains(&failed.len()), "{}", failed.len());
        assert_eq!(failed, failures(&script(7), 10_000));
        assert_ne!(failed, failures(&script(8), 10_000));
    }
}
