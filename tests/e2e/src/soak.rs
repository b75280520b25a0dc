//! Long loads: how long, and what they leave in Envoy.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use meshpack_harness::{AdminError, Envoy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How an answer begins; the bodies of a soak test do not have it.
const STATUS_LINE: &[u8] = b"HTTP/1.1 ";

/// Requests of a soak test: `MESHPACK_SOAK_REQUESTS`, or the number that keeps
/// an ordinary run short.
///
/// # Panics
/// The variable is no number.
#[must_use]
pub fn requests(otherwise: usize) -> usize {
    std::env::var("MESHPACK_SOAK_REQUESTS").map_or(otherwise, |n| {
        n.parse().expect("MESHPACK_SOAK_REQUESTS is a number")
    })
}

/// What grows in a proxy that leaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Memory of the process in bytes, the modules' included; in a container,
    /// where the process cannot be asked, what Envoy's allocator gave out.
    pub memory: u64,
    /// Counters, gauges and histograms.
    pub stats: usize,
}

impl Footprint {
    /// Takes the footprint of an Envoy.
    ///
    /// # Errors
    /// The admin interface does not answer.
    pub async fn of(envoy: &Envoy) -> Result<Self, AdminError> {
        let admin = envoy.admin();
        let memory = match envoy.pid().and_then(resident) {
            Some(bytes) => bytes,
            None => admin.memory().await?["allocated"],
        };
        let stats = admin.get("/stats").await?.lines().count();
        Ok(Self { memory, stats })
    }
}

/// Resident memory of a process, from `/proc`.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Sends requests over `connections` of HTTP/1.1, each as soon as the one before
/// it is answered: a client that takes little beside Envoy, for loads that an
/// ordinary one would make slow. `request` writes request number `n`. Returns how
/// often each status came.
///
/// # Errors
/// A connection broke.
pub async fn load(
    address: SocketAddr,
    numbers: Range<usize>,
    connections: usize,
    request: fn(usize) -> Vec<u8>,
) -> io::Result<BTreeMap<u16, usize>> {
    let mut senders = JoinSet::new();
    for first in 0..connections {
        let numbers = numbers.clone().skip(first).step_by(connections);
        senders.spawn(send(address, numbers, request));
    }
    let mut total = BTreeMap::new();
    for statuses in senders.join_all().await {
        for (status, count) in statuses? {
            *total.entry(status).or_default() += count;
        }
    }
    Ok(total)
}

async fn send(
    address: SocketAddr,
    numbers: impl Iterator<Item = usize>,
    request: fn(usize) -> Vec<u8>,
) -> io::Result<BTreeMap<u16, usize>> {
    let mut connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let mut statuses = BTreeMap::new();
    let mut received = Vec::new();
    for number in numbers {
        connection.write_all(&request(number)).await?;
        while take_statuses(&mut received, &mut statuses) == 0 {
            if connection.read_buf(&mut received).await? == 0 {
                let after = format!("request {number} got no answer, after {statuses:?}");
                return Err(io::Error::other(after));
            }
        }
    }
    Ok(statuses)
}

/// Counts the answers that begin in `received` and leaves what may be the
/// beginning of another.
fn take_statuses(received: &mut Vec<u8>, statuses: &mut BTreeMap<u16, usize>) -> usize {
    let mut found = 0;
    let mut at = 0;
    while let Some(begin) = received[at..]
        .windows(STATUS_LINE.len() + 3)
        .position(|window| window.starts_with(STATUS_LINE))
    {
        let code = at + begin + STATUS_LINE.len();
        at = code + 3;
        let code = std::str::from_utf8(&received[code..at]).ok();
        let status = code.and_then(|code| code.parse().ok()).unwrap_or(0);
        *statuses.entry(status).or_default() += 1;
        found += 1;
    }
    let kept = received.len().saturating_sub(STATUS_LINE.len() + 2).max(at);
    received.drain(..kept);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_wherever_they_are_cut() {
        let answers = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 503 No\r\n\r\n";
        for cut in 0..answers.len() {
            let (mut received, mut statuses) = (answers[..cut].to_vec(), BTreeMap::new());
            let first = take_statuses(&mut received, &mut statuses);
            received.extend_from_slice(&answers[cut..]);
            assert_eq!(
                first + take_statuses(&mut received, &mut statuses),
                2,
                "{cut}"
            );
            assert_eq!(statuses, BTreeMap::from([(200, 1), (503, 1)]), "{cut}");
        }
    }
}
