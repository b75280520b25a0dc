//! Clients: requests as a test writes them, answers as they came.

mod connection;
mod grpc;
mod load;
mod raw;
mod request;
mod response;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use connection::Connections;

pub use grpc::GrpcReply;
pub(crate) use grpc::frame_all;
pub use load::{Outcome, Outcomes};
pub use raw::RawClient;
pub use request::Request;
pub use response::{ClientError, Response};

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Where requests go and how.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    from: Option<IpAddr>,
    protocol: Protocol,
    tls: Option<(Arc<ClientConfig>, String)>,
    authority: String,
    timeout: Duration,
    reuse: bool,
}

/// An HTTP client for one address.
///
/// It keeps its connections (over HTTP/2 a single one) and opens another only when
/// all are busy. It never repeats a request, follows no redirect and adds no header
/// but `host` and `content-length`. Clones share connections.
#[derive(Clone)]
pub struct Client {
    target: Target,
    connections: Arc<Connections>,
}

impl Client {
    /// Speaks HTTP/1.1 with `address`.
    pub fn http1(address: SocketAddr) -> Self {
        Self::new(address, Protocol::Http1)
    }

    /// Speaks HTTP/2 with `address`, by prior knowledge.
    pub fn http2(address: SocketAddr) -> Self {
        Self::new(address, Protocol::Http2)
    }

    fn new(address: SocketAddr, protocol: Protocol) -> Self {
        Self {
            target: Target {
                address,
                from: None,
                protocol,
                tls: None,
                authority: "localhost".to_owned(),
                timeout: Duration::from_secs(30),
                reuse: true,
            },
            connections: Arc::default(),
        }
    }

    /// The authority (`host`) of requests that name none; `localhost` unless set.
    pub fn authority(mut self, authority: impl Into<String>) -> Self {
        self.target.authority = authority.into();
        self
    }

    /// How long an answer may take, body included; 30 s unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.target.timeout = timeout;
        self
    }

    /// Speaks TLS, expecting a certificate for `server_name`
    /// (see [`Certificates`](crate::Certificates)).
    pub fn tls(self, config: Arc<ClientConfig>, server_name: impl Into<String>) -> Self {
        let tls = Some((config, server_name.into()));
        self.separate(|target| target.tls = tls)
    }

    /// Connects from another address of this machine, such as `127.0.0.2`.
    pub fn from_ip(self, address: IpAddr) -> Self {
        self.separate(|target| target.from = Some(address))
    }

    /// Opens a connection for every request and closes it after.
    pub fn connection_per_request(self) -> Self {
        self.separate(|target| target.reuse = false)
    }

    /// A changed client that shares no connection with this one.
    fn separate(mut self, change: impl FnOnce(&mut Target)) -> Self {
        change(&mut self.target);
        self.connections = Arc::default();
        self
    }

    /// Sends `GET path`.
    pub async fn get(&self, path: &str) -> Result<Response, ClientError> {
        self.send(Request::get(path)).await
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// Dropping the future aborts the request: it resets the stream over HTTP/2 and
    /// closes the connection over HTTP/1.1.
    pub async fn send(&self, request: Request) -> Result<Response, ClientError> {
        let answer = self.connections.send(&self.target, request);
        match tokio::time::timeout(self.target.timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout(self.target.timeout)),
        }
    }
}
