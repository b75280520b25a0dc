//! From salt and id to 32 bits.

use std::hash::Hasher as _;

use mur3::Hasher32;

/// Whose bucketing a split follows, so that a feature-flag service computes the
/// same arm for the same salt and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hash {
    /// OpenFeature flagd's `fractional` (its integer bucketing, "v2"):
    /// `murmur3_x86_32(salt + id, seed 0)`, scaled by multiply-shift.
    #[default]
    Flagd,
    /// Unleash's gradual rollout: `murmur3_x86_32(salt + ":" + id, seed 0) % 100 + 1`.
    Unleash,
}

/// The 32-bit hash of a client in a split.
#[must_use]
pub fn hash(kind: Hash, salt: &str, id: &[u8]) -> u32 {
    let mut hasher = Hasher32::with_seed(0);
    hasher.write(salt.as_bytes());
    if kind == Hash::Unleash {
        hasher.write(b":");
    }
    hasher.write(id);
    hasher.finish32()
}
