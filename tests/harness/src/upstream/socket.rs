//! A connection that can be reset from inside a request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// To be reset as soon as the connection's task gets to it.
    Cut,
    Gone,
}

/// Resets one connection.
#[derive(Clone)]
pub(crate) struct Cutter(watch::Sender<State>);

impl Cutter {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(State::Open))
    }

    /// Asks for the reset, and waits until the connection is gone.
    pub(crate) async fn cut(&self) {
        self.0.send_if_modified(|state| {
            let open = *state == State::Open;
            *state = if open { State::Cut } else { *state };
            open
        });
        self.gone().await;
    }

    /// Ends once the reset is asked for.
    pub(crate) async fn wanted(&self) {
        self.until(|state| state != State::Open).await;
    }

    /// Ends once the connection has ended, by whoever's will.
    pub(crate) async fn gone(&self) {
        self.until(|state| state == State::Gone).await;
    }

    async fn until(&self, condition: impl Fn(State) -> bool) {
        // Fails only without a sender, and this is one.
        let _ = self.0.subscribe().wait_for(|state| condition(*state)).await;
    }
}

/// A TCP stream that ends with RST rather than FIN if it was cut.
pub(crate) struct Socket {
    stream: TcpStream,
    cutter: Cutter,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, cutter: Cutter) -> Self {
        Self { stream, cutter }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.cutter.0.send_replace(State::Gone) == State::Cut {
            // Fails only on a socket that is already gone, which is as good.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
