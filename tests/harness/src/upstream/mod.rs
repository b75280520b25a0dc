//! Upstreams: servers in the test's own process that echo, record, and misbehave on
//! request.

mod behavior;
mod record;
mod serve;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use behavior::{Behavior, Script};
pub use record::{Echo, Recorded};

use crate::port::Port;
use serve::Shared;

/// The response header that carries an upstream's name.
pub(crate) const NAME_HEADER: &str = "x-upstream";

/// A server on a free port of 127.0.0.1 that speaks HTTP/1.1, HTTP/2 and gRPC.
///
/// It answers every request with what it received, as JSON (see [`Echo`]), or for
/// gRPC with the messages it received, until [`Upstream::set`] says otherwise. It ends
/// when it is dropped.
pub struct Upstream {
    /// Held while the upstream is stopped, too.
    port: Port,
    shared: Arc<Shared>,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Upstream {
    /// Starts an upstream; its name is in the response header `x-upstream`.
    pub async fn start(name: impl Into<String>) -> io::Result<Self> {
        Self::start_with(name, Behavior::echo()).await
    }

    /// Starts an upstream that follows `script`.
    pub async fn start_with(
        name: impl Into<String>,
        script: impl Into<Script>,
    ) -> io::Result<Self> {
        Self::start_at(Port::hold()?, name, script).await
    }

    /// Starts an upstream on a port that is held.
    pub async fn start_at(
        port: Port,
        name: impl Into<String>,
        script: impl Into<Script>,
    ) -> io::Result<Self> {
        let listener = port.listen()?;
        let shared = Arc::new(Shared::new(name.into(), script.into()));
        let server = tokio::spawn(serve::accept(listener, shared.clone()));
        Ok(Self {
            port,
            shared,
            server: Mutex::new(Some(server)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Follows `script` from the next request on, counting requests anew for it.
    pub fn set(&self, script: impl Into<Script>) {
        self.shared.set(script.into());
    }

    /// How many requests have arrived since the start.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// How many connections have been accepted since the start.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The requests that arrived, oldest first; of more than 100,000 the newest.
    pub fn recorded(&self) -> Vec<Arc<Recorded>> {
        self.shared.log.all()
    }

    /// The newest request.
    pub fn last(&self) -> Option<Arc<Recorded>> {
        self.shared.log.last()
    }

    /// Forgets the recorded requests; the counters go on.
    pub fn forget(&self) {
        self.shared.log.clear();
    }

    /// Waits until `count` requests have arrived; false if they have not within `limit`.
    pub async fn wait_for_requests(&self, count: u64, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.requests() < count {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Stops listening and cuts every connection, so that connecting is refused.
    pub async fn stop(&self) {
        let server = self.take_server();
        if let Some(server) = server {
            server.abort();
            // A cancelled task is the purpose; nothing else can be learned here.
            let _ = server.await;
        }
    }

    /// Listens again, on the same port.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop().await;
        let listener = self.port.listen()?;
        let server = tokio::spawn(serve::accept(listener, self.shared.clone()));
        *self.server.lock().unwrap_or_else(|e| e.into_inner()) = Some(server);
        Ok(())
    }

    fn take_server(&self) -> Option<JoinHandle<()>> {
        self.server.lock().unwrap_or_else(|e| e.into_inner()).take()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(server) = self.take_server() {
            server.abort();
        }
    }
}
