//! The canary that fails more often than its baseline, but not always: caught
//! when several blocks of time agree.

use super::Side;
use super::burstiness::Burstiness;
use super::evidence::Hypothesis;
use super::strata::Strata;

/// How bad the canary may be, evenly believed in.
const HYPOTHESES: [Hypothesis; COUNT] = [
    Hypothesis::Broken { r: 200.0, s: 0.5 },
    Hypothesis::Rate { times: 1.5 },
    Hypothesis::Rate { times: 2.5 },
    Hypothesis::Rate { times: 5.0 },
    Hypothesis::Rate { times: 15.0 },
    Hypothesis::Rate { times: 100.0 },
];
pub(super) const COUNT: usize = 6;

/// Length of a block, milliseconds: longer than the bursts that matter (a
/// client's retries, a restarting pod).
const BLOCK_MILLIS: u64 = 10_000;

/// One block can give at most this part of what an abort needs, so that one
/// burst, however large, decides nothing.
const BLOCKS_NEEDED: f64 = 3.0;

/// Logs of the e-values, from block to block. They never fall below the floor,
/// as in [`super::sudden::Sudden`]. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Steady {
    pub(super) logs: [f64; COUNT],
    pub(super) block_start: u64,
    pub(super) block: Strata,
    pub(super) burstiness: Burstiness,
}

/// What the steady test is to hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demands {
    /// Log of the e-value that decides, `ln(1/alpha)`.
    pub(super) threshold: f64,
    /// Tolerated ratio of failure rates.
    pub(super) min_effect: f64,
}

impl Steady {
    /// Closes the block if it is over.
    pub(super) fn advance(&mut self, now: u64, demands: Demands) {
        if now.abs_diff(self.block_start) < BLOCK_MILLIS {
            return;
        }
        self.logs = self
            .logs_with_block(demands)
            .map(|log| log.max(floor(demands)));
        let block = std::mem::take(&mut self.block);
        self.burstiness.learn(block.baseline());
        self.block_start = now;
    }

    pub(super) fn successes(&mut self, stratum: u32, canary: u32, baseline: u32) {
        for (side, requests) in [(Side::Canary, canary), (Side::Baseline, baseline)] {
            if requests > 0 {
                self.block.add(stratum, side, requests, 0);
            }
        }
    }

    pub(super) fn failure(&mut self, stratum: u32, side: Side) {
        self.block.add(stratum, side, 1, 1);
    }

    /// Log of the mixed e-value.
    pub(super) fn verdict(&self, demands: Demands) -> f64 {
        let logs = self.logs_with_block(demands);
        let mixed: f64 = logs.iter().map(|log| log.min(600.0).exp()).sum();
        (mixed / COUNT as f64).ln()
    }

    fn logs_with_block(&self, demands: Demands) -> [f64; COUNT] {
        let discount = self.burstiness.discount();
        let most = demands.threshold / BLOCKS_NEEDED + (COUNT as f64).ln() / BLOCKS_NEEDED;
        let mut logs = self.logs;
        for (log, hypothesis) in logs.iter_mut().zip(HYPOTHESES) {
            let strata = self.block.counts();
            let gain: f64 = strata
                .map(|counts| hypothesis.gain(counts, demands.min_effect))
                .sum();
            *log += (gain / discount).min(most);
        }
        logs
    }
}

/// With the evidence divided by at least 2, independent failures lift a log from
/// `-c` to the threshold `ln(1/alpha)` with probability at most
/// `alpha^2 exp(-2c)`, and a new attempt starts with every block, 8640 a day. So
/// `c = max(0, ln(8640 alpha) / 2)` keeps a day's attempts below alpha.
fn floor(demands: Demands) -> f64 {
    -((8640.0_f64.ln() - demands.threshold) / 2.0).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_pays_for_looking_all_day() {
        let floor_for = |alpha: f64| {
            floor(Demands {
                threshold: -alpha.ln(),
                min_effect: 2.0,
            })
        };
        assert_eq!(floor_for(1e-6), 0.0);
        let day = 8640.0 * (2.0 * floor_for(0.01)).exp() * 0.01_f64.powi(2);
        assert!((day - 0.01).abs() < 1e-9, "{day}");
    }

    #[test]
    fn one_block_never_decides() {
        let demands = Demands {
            threshold: 13.8,
            min_effect: 2.0,
        };
        let mut steady = Steady::default();
        steady.successes(0, 0, 100_000);
        for _ in 0..100_000 {
            steady.failure(0, Side::Canary);
        }
        assert!(steady.verdict(demands) < demands.threshold);
    }
}
