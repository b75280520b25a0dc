//! What arrived.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How many requests an upstream remembers: a long load must not eat the memory.
const REMEMBERED: usize = 100_000;

/// A request as it arrived, to the byte.
#[derive(Debug)]
pub struct Recorded {
    /// The method.
    pub method: String,
    /// The path with its query, as received.
    pub path: String,
    /// `:authority` or `host`.
    pub authority: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Names and values in the order received (equal names together).
    pub headers: Vec<(String, Vec<u8>)>,
    /// Where it came from, which also tells connections apart.
    pub peer: SocketAddr,
    /// When its headers arrived.
    pub arrived: SystemTime,
    pub(crate) body: OnceLock<Bytes>,
}

impl Recorded {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.header_values(name).into_iter().next()
    }

    /// The first value of a header, if it is text.
    pub fn header_text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.header(name)?).ok()
    }

    /// Every value of a header.
    pub fn header_values(&self, name: &str) -> Vec<&[u8]> {
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(|(n, _)| same(n))
            .map(|(_, v)| v.as_slice())
            .collect()
    }

    /// The body; `None` while it has not arrived completely, and for gRPC.
    pub fn body(&self) -> Option<&Bytes> {
        self.body.get()
    }

    /// Since the Unix epoch, when its headers arrived.
    pub fn arrived_at(&self) -> Duration {
        self.arrived
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }
}

impl Default for Recorded {
    /// `GET /` without headers, for trying a [`Script`](super::Script).
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            authority: "localhost".to_owned(),
            version: "HTTP/1.1".to_owned(),
            headers: Vec::new(),
            peer: SocketAddr::from(([127, 0, 0, 1], 0)),
            arrived: SystemTime::UNIX_EPOCH,
            body: OnceLock::new(),
        }
    }
}

/// The JSON that an upstream answers with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Echo {
    /// The upstream's name.
    pub upstream: String,
    /// The method received.
    pub method: String,
    /// The path received, with its query.
    pub path: String,
    /// The authority received.
    pub authority: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The headers received; bytes outside printable ASCII stand as `\xNN` (exact
    /// bytes are in [`Recorded`]).
    pub headers: Vec<(String, String)>,
    /// The body received, bytes that are not UTF-8 replaced.
    pub body: String,
}

impl Echo {
    pub(crate) fn of(upstream: &str, request: &Recorded) -> Self {
        let body = request
            .body()
            .map(|body| String::from_utf8_lossy(body).into_owned());
        Self {
            upstream: upstream.to_owned(),
            method: request.method.clone(),
            path: request.path.clone(),
            authority: request.authority.clone(),
            version: request.version.clone(),
            headers: request
                .headers
                .iter()
                .map(|(n, v)| (n.clone(), printable(v)))
                .collect(),
            body: body.unwrap_or_default(),
        }
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).into_iter().next()
    }

    /// Every value of a header.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(|(n, _)| same(n))
            .map(|(_, v)| v.as_str())
            .collect()
    }
}

fn printable(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for &byte in value {
        match byte {
            b' '..=b'~' => text.push(byte.into()),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text
}

/// The newest requests.
#[derive(Default)]
pub(crate) struct Log(Mutex<VecDeque<Arc<Recorded>>>);

impl Log {
    pub(crate) fn push(&self, request: Arc<Recorded>) {
        let mut requests = self.lock();
        if requests.len() == REMEMBERED {
            requests.pop_front();
        }
        requests.push_back(request);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Recorded>> {
        self.lock().iter().cloned().collect()
    }

    pub(crate) fn last(&self) -> Option<Arc<Recorded>> {
        self.lock().back().cloned()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Recorded>>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_shows_bytes_that_are_not_text() {
        let request = Recorded {
            headers: vec![
                ("x".to_owned(), b"a\xff".to_vec()),
                ("x".to_owned(), b"b".to_vec()),
            ],
            ..Recorded::default()
        };
        let echo = Echo::of("v1", &request);
        assert_eq!(echo.header_values("X"), [r"a\xff", "b"]);
        assert_eq!(request.header("x"), Some(b"a\xff".as_slice()));
    }

    #[test]
    fn only_the_newest_requests_are_kept() {
        let log = Log::default();
        for n in 0..=REMEMBERED {
            log.push(Arc::new(Recorded {
                path: n.to_string(),
                ..Recorded::default()
            }));
        }
        assert_eq!(log.all().len(), REMEMBERED);
        assert_eq!(log.all()[0].path, "1");
    }
}
