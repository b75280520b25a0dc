//! A thread in the network of a pod: what runs there connects and listens there.

use std::fs::File;
use std::future::Future;
use std::os::fd::AsRawFd;
use std::sync::mpsc;

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Handle};

/// Runs futures inside a network namespace, clients and servers of the harness alike.
///
/// Its thread lives as long as the process: what a future has started goes on there.
#[derive(Clone)]
pub(crate) struct Inside(Handle);

impl Inside {
    /// A thread in the network called `name` (`ip netns`).
    pub(crate) fn enter(name: &str) -> Result<Self> {
        let path = format!("/run/netns/{name}");
        let network = File::open(&path).context(path)?;
        let (tell, told) = mpsc::channel();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let runtime = move_to(&network)
                    .and_then(|()| Ok(Builder::new_current_thread().enable_all().build()?));
                match runtime {
                    Ok(runtime) => {
                        let _ = tell.send(Ok(runtime.handle().clone()));
                        runtime.block_on(std::future::pending::<()>());
                    }
                    Err(error) => {
                        let _ = tell.send(Err(error));
                    }
                }
            })?;
        let handle = told.recv().context("the thread ended")??;
        Ok(Self(handle))
    }

    /// Runs a future there and waits for what it returns.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        self.0.spawn(future).await.context("a task in a pod")
    }
}

/// Moves the calling thread, and no other, into a network namespace.
fn move_to(network: &File) -> Result<()> {
    // SAFETY: the descriptor is open; nothing in memory changes.
    let moved = unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) };
    if moved != 0 {
        return Err(std::io::Error::last_os_error()).context("setns");
    }
    Ok(())
}
