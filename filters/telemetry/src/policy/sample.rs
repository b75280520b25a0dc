//! Sampling that every proxy decides alike.

/// A share of requests, from none to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// A hash below this is in; `None` is all.
    threshold: Option<u64>,
}

impl Share {
    /// `percent` from 0 to 100.
    #[must_use]
    pub fn percent(percent: f64) -> Self {
        let fraction = percent / 100.0;
        Self {
            threshold: (fraction < 1.0).then_some((fraction.max(0.0) * 2_f64.powi(64)) as u64),
        }
    }

    /// Whether a hash that is spread evenly over 64 bits is in.
    #[must_use]
    pub fn takes(self, hash: u64) -> bool {
        self.threshold.is_none_or(|threshold| hash < threshold)
    }

    /// Whether nothing can be in.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.threshold == Some(0)
    }
}

/// Spreads an identifier over 64 bits, the same in every proxy and version.
///
/// Trace ids should be random, but not all are, and a client may choose them;
/// so every bit of the id counts (FNV-1a, then the SplitMix64 finalizer).
#[must_use]
pub fn spread(id: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in id {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Share, spread};

    #[test]
    fn the_share_is_kept_for_counting_and_for_random_ids() {
        for percent in [1.0, 12.5, 50.0] {
            let share = Share::percent(percent);
            let taken = (0..100_000_u128)
                .filter(|id| share.takes(spread(&id.to_be_bytes())))
                .count() as f64;
            let expected = percent * 1000.0;
            // Five standard deviations of the binomial distribution.
            let tolerance = 5.0 * (expected * (1.0 - percent / 100.0)).sqrt();
            assert!((taken - expected).abs() < tolerance, "{percent}: {taken}");
        }
    }

    #[test]
    fn nothing_and_everything_are_exact() {
        assert!(!Share::percent(0.0).takes(0));
        assert!(Share::percent(0.0).is_none());
        assert!(Share::percent(100.0).takes(u64::MAX));
    }

    #[test]
    fn a_larger_share_contains_the_smaller_one() {
        let (small, large) = (Share::percent(3.0), Share::percent(7.0));
        for id in 0..10_000_u64 {
            let hash = spread(&id.to_le_bytes());
            assert!(!small.takes(hash) || large.takes(hash));
        }
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(spread(b""), 0xf52a_15e9_a9b5_e89b);
    }
}
