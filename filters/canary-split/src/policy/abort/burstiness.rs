//! How bursty failures are, measured on the baseline.

use super::Tally;

/// Weight that old blocks keep when a new one closes: half after about 6 minutes.
const KEPT: f64 = 0.98;

/// What is assumed before the baseline has shown how its failures come, and how
/// many blocks that assumption is worth.
const PRIOR: f64 = 8.0;
const PRIOR_WEIGHT: f64 = 5.0;

/// The discount covers at least the two failures that one client may contribute
/// ([`super::clients`]), and is bounded, because a bad canary must be caught
/// however bursty its baseline is.
const BOUNDS: (f64, f64) = (2.0, 64.0);

/// Running sums over blocks of the baseline, old ones fading.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Burstiness {
    pub(super) blocks: f64,
    pub(super) requests: f64,
    pub(super) failures: f64,
    /// Sum of failures^2 / requests.
    pub(super) squares: f64,
}

impl Burstiness {
    /// Takes in a finished block.
    pub(super) fn learn(&mut self, block: Tally) {
        if block.requests == 0 {
            return;
        }
        let (requests, failures) = (f64::from(block.requests), f64::from(block.failures));
        for sum in [
            &mut self.blocks,
            &mut self.requests,
            &mut self.failures,
            &mut self.squares,
        ] {
            *sum *= KEPT;
        }
        self.blocks += 1.0;
        self.requests += requests;
        self.failures += failures;
        self.squares += failures * failures / requests;
    }

    /// Variance over mean of the failures per block: Pearson's chi-square over
    /// its degrees of freedom, `sum((k - n p)^2 / (n p)) / (blocks - 1)` with the
    /// pooled rate `p`. 1 for independent failures, about the burst size for
    /// bursts. `None` before there is anything to measure. Beside it, the number
    /// of blocks that said something: those without a failure do not.
    fn measured(&self) -> Option<(f64, f64)> {
        let freedom = self.blocks - 1.0;
        if freedom <= 0.0 || self.failures <= 0.0 {
            return None;
        }
        let rate = self.failures / self.requests;
        let index = (self.squares / rate - self.failures) / freedom;
        Some((index, freedom.min(self.failures)))
    }

    /// By how much evidence from partial failures is divided.
    pub(super) fn discount(&self) -> f64 {
        let (index, telling) = self.measured().unwrap_or((PRIOR, 0.0));
        let pooled = (index * telling + PRIOR * PRIOR_WEIGHT) / (telling + PRIOR_WEIGHT);
        pooled.clamp(BOUNDS.0, BOUNDS.1)
    }

    /// By how much evidence from an unbroken run of failures is divided: half of
    /// what was measured, because a burst rarely leaves no success at all.
    pub(super) fn discount_of_runs(&self) -> f64 {
        let index = self.measured().map_or(0.0, |(index, _)| index);
        (index / 2.0).clamp(1.3, BOUNDS.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(blocks: impl IntoIterator<Item = (u32, u32)>) -> Burstiness {
        let mut burstiness = Burstiness::default();
        for (requests, failures) in blocks {
            burstiness.learn(Tally { requests, failures });
        }
        burstiness
    }

    #[test]
    fn even_failures_lower_the_discount_with_time() {
        assert_eq!(after([]).discount(), PRIOR);
        assert_eq!(after([(1000, 0); 100]).discount(), PRIOR);
        assert!(after([(1000, 10); 10]).discount() < PRIOR);
        assert_eq!(after([(1000, 10); 200]).discount(), BOUNDS.0);
    }

    #[test]
    fn bursts_raise_the_discount_to_about_their_size() {
        let bursts = (0..100).map(|block| (1000, if block % 10 == 0 { 10 } else { 0 }));
        let discount = after(bursts).discount();
        assert!((7.0..13.0).contains(&discount), "{discount}");
        let flood = (0..300).map(|block| (10_000, if block % 50 == 0 { 5000 } else { 0 }));
        assert_eq!(after(flood).discount(), BOUNDS.1);
    }
}
