//! What a handful of requests says about the canary.
//!
//! A hypothesis "the canary fails r times and succeeds s times as often as the
//! baseline" has an e-value: with the canary's share of the requests `p`, a
//! failed request multiplies it by `r / (p r + 1 - p)` if it was the canary's and
//! by `1 / (p r + 1 - p)` if it was the baseline's, a successful one likewise
//! with s. If both arms fail alike, the expected product is at most 1, whatever
//! r, s and the failure rate are (by the inequality of arithmetic and geometric
//! means), so by Ville's inequality the chance that it ever reaches 1/alpha is at
//! most alpha, however often one looks. This is the e-value for two Bernoulli
//! streams of Turner, Ly and Grünwald, "Generic E-variables for exact sequential
//! k-sample tests that allow for optional stopping" (2024).

use super::Counts;

/// A hypothesis about the canary.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hypothesis {
    /// It fails `times` as often as the worst that is tolerated (`minEffect`);
    /// says nothing about successes.
    Rate { times: f64 },
    /// Failures `r` times, successes `s` times as likely as the baseline's.
    Broken { r: f64, s: f64 },
}

impl Hypothesis {
    /// Log of the factor by which these requests multiply the e-value.
    pub(super) fn gain(self, seen: &Counts, min_effect: f64) -> f64 {
        let (canary, baseline) = (&seen.canary, &seen.baseline);
        if canary.requests == 0 || baseline.requests == 0 {
            return 0.0;
        }
        let requests = f64::from(canary.requests) + f64::from(baseline.requests);
        let p = f64::from(canary.requests) / requests;
        let failed_canary = f64::from(canary.failures);
        let failed = failed_canary + f64::from(baseline.failures);
        match self {
            Self::Rate { times } => {
                let tolerated = min_effect * p + 1.0 - p;
                let claimed = min_effect * times * p + 1.0 - p;
                failed_canary * times.ln() + failed * (tolerated / claimed).ln()
            }
            Self::Broken { r, s } => {
                let ok_canary = f64::from(canary.requests) - failed_canary;
                let ok = requests - failed;
                failed_canary * r.ln() - failed * (r * p + 1.0 - p).ln() + ok_canary * s.ln()
                    - ok * (s * p + 1.0 - p).ln()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tally;
    use super::*;

    const HYPOTHESES: [Hypothesis; 5] = [
        Hypothesis::Rate { times: 1.5 },
        Hypothesis::Rate { times: 5.0 },
        Hypothesis::Rate { times: 100.0 },
        Hypothesis::Broken { r: 200.0, s: 0.5 },
        Hypothesis::Broken { r: 1000.0, s: 0.02 },
    ];

    fn seen(canary: (u32, u32), baseline: (u32, u32)) -> Counts {
        let tally = |(requests, failures)| Tally { requests, failures };
        Counts {
            canary: tally(canary),
            baseline: tally(baseline),
        }
    }

    /// E[exp(gain)] over both arms' failures, computed exactly.
    fn expectation(hypothesis: Hypothesis, n: (u32, u32), rate: f64, min_effect: f64) -> f64 {
        let binomial = |n: u32, k: u32| {
            let choose: f64 = (0..k)
                .map(|i| f64::from(n - i) / f64::from(i + 1))
                .product();
            choose * rate.powi(k as i32) * (1.0 - rate).powi((n - k) as i32)
        };
        let mut sum = 0.0;
        for a in 0..=n.0 {
            for b in 0..=n.1 {
                let factor = hypothesis.gain(&seen((n.0, a), (n.1, b)), min_effect).exp();
                sum += binomial(n.0, a) * binomial(n.1, b) * factor;
            }
        }
        sum
    }

    #[test]
    fn equal_arms_never_gain_on_average() {
        for hypothesis in HYPOTHESES {
            for n in [(1, 1), (1, 20), (5, 5), (20, 1), (10, 40)] {
                for rate in [0.0, 0.001, 0.1, 0.5, 0.9, 1.0] {
                    for min_effect in [1.0, 2.0, 10.0] {
                        let mean = expectation(hypothesis, n, rate, min_effect);
                        assert!(mean <= 1.0 + 1e-9, "{hypothesis:?} {n:?} {rate}: {mean}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_arm_alone_proves_nothing() {
        for hypothesis in HYPOTHESES {
            assert_eq!(hypothesis.gain(&seen((50, 50), (0, 0)), 2.0), 0.0);
            assert_eq!(hypothesis.gain(&seen((0, 0), (50, 0)), 2.0), 0.0);
        }
    }
}
