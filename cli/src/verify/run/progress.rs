//! How far a step is, for whoever waits at a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

/// Shows counts on a terminal; elsewhere it is silent, since logs keep every line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    /// Shows progress if the standard error is a terminal.
    pub(crate) fn on_terminal() -> Self {
        Self {
            shown: io::stderr().is_terminal(),
        }
    }

    /// Says what is being done now.
    pub(crate) fn say(&self, what: &str) {
        if self.shown {
            line(what);
        }
    }

    /// Removes what was said.
    pub(crate) fn clear(&self) {
        self.say("");
    }

    /// Shows a growing count until the returned value drops.
    pub(super) fn begin(&self, total: usize) -> Counting {
        let sent = Arc::new(AtomicUsize::new(0));
        let seen = sent.clone();
        let task = self.shown.then(|| {
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    let sent = seen.load(Ordering::Relaxed);
                    line(&format!("  {sent} of {total} requests"));
                }
            })
        });
        Counting { sent, task }
    }
}

pub(super) struct Counting {
    sent: Arc<AtomicUsize>,
    task: Option<JoinHandle<()>>,
}

impl Counting {
    /// What to call for each request.
    pub(super) fn counter(&self) -> impl Fn() + Send + Sync + 'static {
        let sent = self.sent.clone();
        move || {
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
            line("");
        }
    }
}

/// Replaces the terminal's current line; a terminal that is gone is no error.
fn line(text: &str) {
    let mut out = io::stderr().lock();
    let _ = write!(out, "\r\x1b[2K{text}");
    let _ = out.flush();
}
