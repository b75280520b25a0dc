//! A server's process and what it says.

use std::fs::{self, File};
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use meshpack_harness::Process;

use super::Address;

/// Java on two busy cores is slow to start; nothing is measured by this.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running program, killed on drop and with this process.
pub(crate) struct ServerProcess {
    process: Process,
    log: PathBuf,
}

impl ServerProcess {
    /// Runs `command`, its output in a file of `folder`.
    pub(crate) fn start(command: Command, folder: &Path, name: &str) -> io::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let process = Process::start(command, File::create(&log)?)?;
        Ok(Self { process, log })
    }

    /// What it has printed.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until `look` finds something in what it printed.
    pub(crate) fn wait_for<T>(&self, look: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.process.exited()?;
            let output = self.output();
            if let Some(found) = look(&output) {
                return Ok(found);
            }
            if let Some(status) = ended {
                bail!("it ended ({status}):\n{output}");
            }
            if Instant::now() > deadline {
                bail!("it was not ready after {PATIENCE:?}:\n{output}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `address` takes connections.
    pub(crate) fn wait_for_address(&self, address: &Address) -> Result<()> {
        self.wait_for(|_| {
            match address {
                Address::Tcp(address) => TcpStream::connect(address).is_ok(),
                Address::Unix(path) => UnixStream::connect(path).is_ok(),
            }
            .then_some(())
        })
    }
}
