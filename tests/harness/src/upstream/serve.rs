//! The server: connections, requests, answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::behavior::{Behavior, Content, End, Script};
use super::record::{Echo, Log, Recorded};
use super::socket::{Cutter, Socket};

/// Room for what tests send: more than Envoy lets through.
const MAX_HEADERS: usize = 2000;
const MAX_HEADER_BYTES: usize = 1 << 20;

type Body = UnsyncBoxBody<Bytes, Infallible>;
type Answer = Result<Response<Body>, StreamReset>;

/// The state that outlives connections and restarts.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) requests: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) log: Log,
    script: Mutex<(Script, u64)>,
}

impl Shared {
    pub(crate) fn new(name: String, script: Script) -> Self {
        Self {
            name,
            requests: AtomicU64::default(),
            connections: AtomicU64::default(),
            log: Log::default(),
            script: Mutex::new((script, 0)),
        }
    }

    pub(crate) fn set(&self, script: Script) {
        *self.script.lock().unwrap_or_else(|e| e.into_inner()) = (script, 0);
    }

    fn decide(&self, request: &Recorded) -> Behavior {
        let (script, n) = {
            let mut current = self.script.lock().unwrap_or_else(|e| e.into_inner());
            let n = current.1;
            current.1 += 1;
            (current.0.clone(), n)
        };
        script.decide(request, n)
    }
}

/// Serves until it is dropped, and with it every connection.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(serve(stream, peer, shared.clone()));
                }
                // Out of file descriptors: some will come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    // Fails only on a connection that is already gone.
    let _ = stream.set_nodelay(true);
    let cutter = Cutter::new();
    let socket = TokioIo::new(Socket::new(stream, cutter.clone()));
    let service = service_fn({
        let cutter = cutter.clone();
        move |request| answer(request, peer, shared.clone(), cutter.clone())
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES);
    server
        .http2()
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .max_concurrent_streams(1000);
    tokio::select! {
        // Clients hang up in the middle on purpose, so its errors are no news.
        _ = server.serve_connection(socket, service) => {}
        () = cutter.wanted() => {}
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    shared: Arc<Shared>,
    cutter: Cutter,
) -> Answer {
    let (head, body) = request.into_parts();
    let recorded = Arc::new(record(&head, peer));
    shared.requests.fetch_add(1, Ordering::SeqCst);
    shared.log.push(recorded.clone());
    let behavior = shared.decide(&recorded);
    let grpc = recorded
        .header("content-type")
        .is_some_and(|t| t.starts_with(b"application/grpc"));
    if grpc && matches!(behavior.content, Content::Echo) && behavior.end == End::Complete {
        tokio::time::sleep(behavior.delay).await;
        return Ok(grpc_echo(&shared.name, behavior, body));
    }
    match body.collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            // Nobody else sets it.
            let _ = recorded.body.set(body);
        }
        Err(_) => return Err(StreamReset),
    }
    if behavior.delay > Duration::ZERO {
        tokio::time::sleep(behavior.delay).await;
    }
    match behavior.end {
        End::Hang => {
            cutter.gone().await;
            Err(StreamReset)
        }
        End::ResetStream => Err(StreamReset),
        End::ResetConnection => {
            cutter.cut().await;
            Err(StreamReset)
        }
        End::Complete | End::ResetAfterBody | End::HangAfterBody => {
            Ok(respond(&shared.name, &recorded, behavior, cutter))
        }
    }
}

fn record(head: &http::request::Parts, peer: SocketAddr) -> Recorded {
    let host = head
        .headers
        .get(http::header::HOST)
        .map(|host| host.as_bytes());
    let authority = head
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes())
        .or(host);
    Recorded {
        method: head.method.to_string(),
        path: head
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        authority: String::from_utf8_lossy(authority.unwrap_or_default()).into_owned(),
        version: format!("{:?}", head.version),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        peer,
        arrived: SystemTime::now(),
        body: OnceLock::new(),
    }
}

fn respond(name: &str, request: &Recorded, behavior: Behavior, cutter: Cutter) -> Response<Body> {
    let (mut headers, mut trailers) = match fields(&behavior) {
        Ok(fields) => fields,
        Err(problem) => return unwritable(name, problem),
    };
    let body = match &behavior.content {
        Content::Bytes(body) => body.clone(),
        Content::Grpc { messages, status } => {
            trailers.insert("grpc-status", HeaderValue::from(*status));
            messages.clone()
        }
        Content::Echo => {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            serde_json::to_vec(&Echo::of(name, request))
                .unwrap_or_default()
                .into()
        }
    };
    let simple = behavior.end == End::Complete
        && behavior.pause_before_body == Duration::ZERO
        && trailers.is_empty();
    let body = if simple {
        Full::new(body).boxed_unsync()
    } else {
        let (sender, channel) = Channel::new(2);
        tokio::spawn(send_slowly(
            sender,
            body,
            trailers,
            behavior.clone(),
            cutter,
        ));
        channel.boxed_unsync()
    };
    with_head(name, behavior.status, headers, body)
}

async fn send_slowly(
    mut sender: Sender<Bytes>,
    body: Bytes,
    trailers: HeaderMap,
    behavior: Behavior,
    cutter: Cutter,
) {
    tokio::time::sleep(behavior.pause_before_body).await;
    // Sending fails when the client has gone; then there is nothing left to do.
    if !body.is_empty() && sender.send_data(body).await.is_err() {
        return;
    }
    match behavior.end {
        End::ResetAfterBody => {
            // The connection's task must have written what was sent before it dies.
            tokio::time::sleep(Duration::from_millis(50)).await;
            cutter.cut().await;
        }
        End::HangAfterBody => cutter.gone().await,
        _ if trailers.is_empty() => {}
        _ => {
            let _ = sender.send_trailers(trailers).await;
        }
    }
}

/// Sends back each frame as it comes, so that streaming calls see theirs at once.
fn grpc_echo(name: &str, behavior: Behavior, mut request: Incoming) -> Response<Body> {
    let (mut headers, mut trailers) = match fields(&behavior) {
        Ok(fields) => fields,
        Err(problem) => return unwritable(name, problem),
    };
    let (mut sender, channel) = Channel::new(2);
    trailers
        .entry("grpc-status")
        .or_insert(HeaderValue::from(0));
    tokio::spawn(async move {
        while let Some(Ok(frame)) = request.frame().await {
            if let Ok(data) = frame.into_data()
                && sender.send_data(data).await.is_err()
            {
                return;
            }
        }
        let _ = sender.send_trailers(trailers).await;
    });
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    with_head(name, behavior.status, headers, channel.boxed_unsync())
}

fn with_head(name: &str, status: u16, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = headers;
    if let Ok(name) = HeaderValue::from_str(name) {
        response.headers_mut().insert(super::NAME_HEADER, name);
    }
    response
}

/// The headers and trailers of a scripted answer.
fn fields(behavior: &Behavior) -> Result<(HeaderMap, HeaderMap), String> {
    Ok((
        header_map(&behavior.headers)?,
        header_map(&behavior.trailers)?,
    ))
}

fn header_map(headers: &[(String, Vec<u8>)]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let bad =
            || format!("this upstream's script has a header that HTTP cannot carry: {name:?}");
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        map.append(key, HeaderValue::from_bytes(value).map_err(|_| bad())?);
    }
    Ok(map)
}

/// A mistake in a script must show in the test that made it.
fn unwritable(name: &str, problem: String) -> Response<Body> {
    with_head(
        name,
        500,
        HeaderMap::new(),
        Full::new(problem.into()).boxed_unsync(),
    )
}

/// Makes hyper reset the stream, or close an HTTP/1.1 connection.
#[derive(Debug, thiserror::Error)]
#[error("the upstream resets the stream")]
struct StreamReset;
