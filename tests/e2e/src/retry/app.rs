//! An application behind a sidecar: it makes one call for each that it gets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meshpack_harness::{Client, Port, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// The path at which an application fails by itself, without calling anything.
const OWN_FAILURE: &str = "/own-failure";

/// A service that answers by calling the next one through its own sidecar and
/// hands on nothing but `x-request-id`, as tracing asks of applications. If the
/// call fails, it fails itself, with an answer of its own.
pub struct App {
    port: Port,
    requests: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl App {
    /// The path at which an application fails by itself.
    pub const OWN_FAILURE: &str = OWN_FAILURE;

    /// Starts an application at a port that its sidecar knows already; it calls `next`.
    ///
    /// # Errors
    /// Somebody listens there.
    pub fn start_at(port: Port, next: SocketAddr) -> std::io::Result<Self> {
        let listener = port.listen()?;
        let requests = Arc::new(AtomicU64::new(0));
        let (client, counter) = (Arc::new(Client::http1(next)), requests.clone());
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, client.clone(), counter.clone()));
            }
        });
        Ok(Self {
            port,
            requests,
            server,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Requests that reached it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Serves one connection; requests have no body here.
async fn serve(mut connection: TcpStream, client: Arc<Client>, requests: Arc<AtomicU64>) {
    let mut received = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = received.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            match connection.read_buf(&mut received).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        received.drain(..end);
        requests.fetch_add(1, Ordering::SeqCst);
        let answer = if answer(&client, &head).await {
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
        };
        if connection.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn answer(client: &Client, head: &str) -> bool {
    let path = head.split(' ').nth(1).unwrap_or("/");
    if path == OWN_FAILURE {
        return false;
    }
    let mut request = Request::get(path);
    for line in head.lines() {
        if let Some(("x-request-id", id)) = line.split_once(": ") {
            request = request.header("x-request-id", id);
        }
    }
    let answered = client.send(request).await;
    answered.is_ok_and(|answer| answer.status == 200)
}
