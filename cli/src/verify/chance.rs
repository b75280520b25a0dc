//! What chance alone does to a share.

/// How often chance may go beyond the range that is allowed for it: one run in a
/// thousand, both ends together.
const BEYOND: f64 = 0.001;

/// The standard normal quantile of `1 - BEYOND / 2`.
const QUANTILE: f64 = 3.290_527;

/// How many of `draws` chance gives something of probability `p`: all but
/// [`BEYOND`] of the time from the first to the second number, both included
/// (exact binomial quantiles).
pub(crate) fn range(draws: u64, p: f64) -> (u64, u64) {
    if p <= 0.0 || draws == 0 {
        return (0, 0);
    }
    if p >= 1.0 {
        return (draws, draws);
    }
    // In logarithms, because (1 - p)^draws is below the smallest double.
    let mut term = draws as f64 * (1.0 - p).ln();
    let odds = (p / (1.0 - p)).ln();
    let mut below = 0.0;
    let mut low = None;
    for k in 0..=draws {
        let upto = below + term.exp();
        if low.is_none() && upto > BEYOND / 2.0 {
            low = Some(k);
        }
        if upto >= 1.0 - BEYOND / 2.0 {
            return (low.unwrap_or(k), k);
        }
        below = upto;
        term += odds + ((draws - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    (low.unwrap_or(draws), draws)
}

/// The share in percent that [`range`] comes to.
pub(crate) fn percent_range(draws: u64, percent: f64) -> (f64, f64) {
    let (low, high) = range(draws, percent / 100.0);
    let share = |count: u64| 100.0 * count as f64 / draws.max(1) as f64;
    (share(low), share(high))
}

/// How many draws it takes until chance stays within `tolerance` percentage points
/// of `percent` (normal approximation, rounded up to two digits).
pub(crate) fn draws_for(percent: f64, tolerance: f64) -> u64 {
    let p = percent / 100.0;
    let needed = p * (1.0 - p) * (QUANTILE / (tolerance / 100.0)).powi(2);
    let scale = 10_f64.powf((needed.log10().floor() - 1.0).max(0.0));
    ((needed / scale).ceil() * scale) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_binomial_distribution() {
        // scipy.stats.binom.ppf([0.0005, 0.9995], n, p)
        for (draws, p, expected) in [
            (1000, 0.05, (29, 74)),
            (100, 0.5, (34, 66)),
            (20_000, 0.95, (18_897, 19_100)),
            (10, 0.0, (0, 0)),
            (10, 1.0, (10, 10)),
        ] {
            assert_eq!(range(draws, p), expected, "{draws} {p}");
        }
    }

    #[test]
    fn the_draws_asked_for_suffice() {
        let draws = draws_for(5.0, 1.0);
        assert_eq!(draws, 5200);
        let (low, high) = percent_range(draws, 5.0);
        assert!(low >= 3.95 && high <= 6.05, "{low} {high}");
    }
}
