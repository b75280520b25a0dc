//! A client that sends whatever bytes a test likes, and hangs up when it likes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// One TCP connection without any HTTP.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
}

impl RawClient {
    /// Connects to `address`.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Sends `bytes`.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Reads until the peer closes or `limit` has passed; returns what came.
    pub async fn read_for(&mut self, limit: Duration) -> io::Result<Vec<u8>> {
        self.read_while(limit, |_| true).await
    }

    /// Reads until what came contains `end`, the peer closes, or `limit` has passed;
    /// returns what came.
    pub async fn read_until(
        &mut self,
        end: impl AsRef<[u8]>,
        limit: Duration,
    ) -> io::Result<Vec<u8>> {
        let end = end.as_ref();
        self.read_while(limit, |read| {
            !read.windows(end.len().max(1)).any(|part| part == end)
        })
        .await
    }

    async fn read_while(
        &mut self,
        limit: Duration,
        more: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + limit;
        let mut read = Vec::new();
        while more(&read) {
            match timeout_at(deadline, self.stream.read_buf(&mut read)).await {
                Ok(Ok(0)) | Err(_) => break,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
            }
        }
        Ok(read)
    }

    /// Says that nothing more will be sent, and keeps reading possible.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Hangs up at once: the peer sees a reset (RST), not an orderly end.
    pub fn abort(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Closes the connection in order (FIN), whatever the peer is doing.
    pub fn close(self) {}
}
