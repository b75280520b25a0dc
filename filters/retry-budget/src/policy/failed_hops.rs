//! Which requests failed further down the call chain.

use super::hash::hash;
use super::{Micros, Store};

/// Values in the store; with [`ENTRIES`] each, 8192 requests are remembered.
const BUCKETS: u64 = 1024;
/// Requests remembered under one value; the oldest makes room.
const ENTRIES: usize = 8;
const ENTRY_BYTES: usize = 16;

/// What is kept of an `x-request-id`: enough to tell requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// The id in this header value; `None` for an empty one, which tells nothing.
    #[must_use]
    pub fn new(header: &[u8]) -> Option<Self> {
        (!header.is_empty()).then(|| Self(hash(header)))
    }
}

/// Remembers, for all workers of a proxy, the requests that a hop further down
/// failed after its retries were used up or refused.
///
/// Only failures are written and only failures look anything up. The memory is
/// bounded: a fixed number of buckets, in which a new entry displaces the oldest.
/// What was displaced is merely not known to have failed, so the hop above may
/// then retry within its own budget.
pub struct FailedHops<'a> {
    store: &'a dyn Store,
}

impl<'a> FailedHops<'a> {
    /// The failures that `store` remembers.
    #[must_use]
    pub fn new(store: &'a dyn Store) -> Self {
        Self { store }
    }

    /// Remembers that a hop failed for the request with this id.
    pub fn record(&self, request: RequestId, now: Micros) {
        let RequestId(id) = request;
        // A store that refuses costs the hop above a retry, nothing else.
        let _ = self.store.update(&bucket(id), &mut |bytes| {
            let mut entries: Vec<(u64, Micros)> = entries(bytes).collect();
            entries.retain(|(other, _)| *other != id);
            if entries.len() >= ENTRIES {
                let oldest = entries.iter().enumerate().min_by_key(|(_, (_, at))| *at);
                if let Some((index, _)) = oldest {
                    entries.swap_remove(index);
                }
            }
            entries.push((id, now));
            let mut out = Vec::with_capacity(entries.len() * ENTRY_BYTES);
            for (id, at) in entries {
                out.extend_from_slice(&id.to_le_bytes());
                out.extend_from_slice(&at.0.to_le_bytes());
            }
            Some(out)
        });
    }

    /// Whether a hop failed for this request since `since`, the moment at which
    /// the request came in. Ids live on across attempts, so an older failure is
    /// that of an earlier attempt and says nothing of this one.
    #[must_use]
    pub fn failed_since(&self, request: RequestId, since: Micros) -> bool {
        let RequestId(id) = request;
        let mut found = false;
        let read = self.store.update(&bucket(id), &mut |bytes| {
            found = entries(bytes).any(|(other, at)| other == id && at >= since);
            None
        });
        read.is_ok() && found
    }
}

fn bucket(id: u64) -> String {
    format!("failed.{}", id % BUCKETS)
}

fn entries(bytes: Option<&[u8]>) -> impl Iterator<Item = (u64, Micros)> {
    let bytes = bytes.unwrap_or_default();
    bytes.chunks_exact(ENTRY_BYTES).filter_map(|entry| {
        let (id, at) = entry.split_first_chunk::<8>()?;
        let at = u64::from_le_bytes(at.try_into().ok()?);
        Some((u64::from_le_bytes(*id), Micros(at)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::MemoryStore;

    fn id(header: &[u8]) -> RequestId {
        RequestId::new(header).unwrap()
    }

    #[test]
    fn a_failure_is_known_to_all_by_its_request_id() {
        let store = MemoryStore::default();
        let hops = FailedHops::new(&store);
        hops.record(id(b"4f1e"), Micros(50));
        assert!(FailedHops::new(&store).failed_since(id(b"4f1e"), Micros(50)));
        assert!(!hops.failed_since(id(b"4f1f"), Micros(0)));
    }

    #[test]
    fn the_failure_of_an_earlier_attempt_does_not_count() {
        let store = MemoryStore::default();
        let hops = FailedHops::new(&store);
        hops.record(id(b"a"), Micros(50));
        assert!(!hops.failed_since(id(b"a"), Micros(51)));
        hops.record(id(b"a"), Micros(60));
        assert!(hops.failed_since(id(b"a"), Micros(51)));
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_newest() {
        let store = MemoryStore::default();
        let hops = FailedHops::new(&store);
        for n in 0..100_000_u64 {
            hops.record(id(&n.to_le_bytes()), Micros(n));
        }
        assert_eq!(store.len() as u64, BUCKETS);
        for n in 0..BUCKETS {
            let bytes = store.get(&bucket(n)).map_or(0, |bytes| bytes.len());
            assert!(bytes <= ENTRIES * ENTRY_BYTES);
        }
        // A few thousand later ones leave nearly all of the newest in place.
        let known = (98_000..100_000_u64)
            .filter(|n| hops.failed_since(id(&n.to_le_bytes()), Micros(0)))
            .count();
        assert!(known > 1990, "{known}");
    }
}
