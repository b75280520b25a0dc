//! The same hash in every worker.

use std::hash::{DefaultHasher, Hasher};

/// 64 bits of SipHash with a fixed key: all workers run the same module, so the
/// same bytes hash alike in all of them.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
