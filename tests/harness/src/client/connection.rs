//! Connections, kept for the next request.

use std::fmt::Display;
use std::sync::Mutex;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::request::{Body, Request};
use super::{ClientError, Protocol, Response, Target};

/// Room for what tests send: far more than Envoy's own limits.
const MAX_HEADERS: usize = 2000;
const MAX_HEADER_BYTES: usize = 1 << 20;

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// The connections of one client.
#[derive(Default)]
pub(crate) struct Connections {
    idle: Mutex<Vec<http1::SendRequest<Body>>>,
    shared: tokio::sync::Mutex<Option<http2::SendRequest<Body>>>,
}

impl Connections {
    pub(crate) async fn send(
        &self,
        target: &Target,
        request: Request,
    ) -> Result<Response, ClientError> {
        let request = request.into_http(target)?;
        match target.protocol {
            Protocol::Http1 => {
                let mut sender = match self.take_idle().await {
                    Some(sender) => sender,
                    None => match dial(target).await? {
                        Sender::Http1(sender) => sender,
                        Sender::Http2(_) => return Err(no_answer("wrong protocol")),
                    },
                };
                let answer = sender.send_request(request).await;
                let answer = read(answer).await?;
                if target.reuse {
                    self.idle
                        .lock()
                        .unwrap_or_else(|e| e.into_inner())
                        .push(sender);
                }
                Ok(answer)
            }
            Protocol::Http2 => {
                let mut sender = self.shared_http2(target).await?;
                sender
                    .ready()
                    .await
                    .map_err(|error| no_answer(ClientError::reason(&error)))?;
                read(sender.send_request(request).await).await
            }
        }
    }

    async fn take_idle(&self) -> Option<http1::SendRequest<Body>> {
        loop {
            let mut sender = self.idle.lock().unwrap_or_else(|e| e.into_inner()).pop()?;
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    async fn shared_http2(&self, target: &Target) -> Result<http2::SendRequest<Body>, ClientError> {
        let mut shared = self.shared.lock().await;
        if target.reuse
            && let Some(sender) = shared.as_ref()
            && !sender.is_closed()
        {
            return Ok(sender.clone());
        }
        match dial(target).await? {
            Sender::Http2(sender) => Ok(shared.insert(sender).clone()),
            Sender::Http1(_) => Err(no_answer("wrong protocol")),
        }
    }
}

async fn dial(target: &Target) -> Result<Sender, ClientError> {
    let failed = |reason: String| ClientError::Connect {
        address: target.address.to_string(),
        reason,
    };
    let stream = connect(target)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let Some((config, name)) = &target.tls else {
        return handshake(target, stream).await;
    };
    let mut config = rustls::ClientConfig::clone(config);
    config.alpn_protocols = match target.protocol {
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    let name = ServerName::try_from(name.clone()).map_err(|error| failed(error.to_string()))?;
    let stream = TlsConnector::from(std::sync::Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| failed(error.to_string()))?;
    handshake(target, stream).await
}

async fn connect(target: &Target) -> std::io::Result<TcpStream> {
    let socket = if target.address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_nodelay(true)?;
    if let Some(from) = target.from {
        socket.bind((from, 0).into())?;
    }
    socket.connect(target.address).await
}

async fn handshake<S>(target: &Target, stream: S) -> Result<Sender, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    let failed = |error: hyper::Error| ClientError::Connect {
        address: target.address.to_string(),
        reason: ClientError::reason(&error),
    };
    match target.protocol {
        Protocol::Http1 => {
            let (sender, connection) = http1::Builder::new()
                .max_headers(MAX_HEADERS)
                .max_buf_size(MAX_HEADER_BYTES)
                .handshake(stream)
                .await
                .map_err(failed)?;
            tokio::spawn(connection);
            Ok(Sender::Http1(sender))
        }
        Protocol::Http2 => {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .max_header_list_size(MAX_HEADER_BYTES as u32)
                .handshake(stream)
                .await
                .map_err(failed)?;
            tokio::spawn(connection);
            Ok(Sender::Http2(sender))
        }
    }
}

async fn read(
    answer: Result<http::Response<Incoming>, hyper::Error>,
) -> Result<Response, ClientError> {
    let (head, mut body) = answer
        .map_err(|error| no_answer(ClientError::reason(&error)))?
        .into_parts();
    let status = head.status.as_u16();
    let mut received = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ClientError::Truncated {
            status,
            received: Bytes::copy_from_slice(&received),
            reason: ClientError::reason(&error),
        })?;
        match frame.into_data() {
            Ok(data) => received.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Response {
        status,
        headers: head.headers,
        body: received.freeze(),
        trailers,
    })
}

fn no_answer(reason: impl Display) -> ClientError {
    ClientError::NoAnswer(reason.to_string())
}
