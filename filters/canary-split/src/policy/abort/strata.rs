//! Requests counted apart by what is suspected of them.

use super::{Counts, Side, Tally};

/// Most strata that are told apart at a time.
pub(super) const MOST: usize = 32;

/// Counts by stratum ([`super::suspects::Suspected::stratum`]). Arms are compared
/// within a stratum only: what a client sends to one arm alone, a path that only
/// it asks for, a source of its own, says nothing about the arm.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Strata(Vec<(u32, Counts)>);

impl Strata {
    pub(super) fn from_entries(entries: Vec<(u32, Counts)>) -> Self {
        Self(entries)
    }

    pub(super) fn entries(&self) -> &[(u32, Counts)] {
        &self.0
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = &Counts> {
        self.0.iter().map(|(_, counts)| counts)
    }

    /// Adds requests and failures of one side.
    pub(super) fn add(&mut self, stratum: u32, side: Side, requests: u32, failures: u32) {
        if let Some((_, counts)) = self.0.iter_mut().find(|(key, _)| *key == stratum) {
            counts.side(side).add(requests, failures);
            return;
        }
        if self.0.len() >= MOST {
            self.forget_the_least();
        }
        let mut counts = Counts::default();
        counts.side(side).add(requests, failures);
        self.0.push((stratum, counts));
    }

    /// One that compares nothing goes first, then the smallest.
    fn forget_the_least(&mut self) {
        let worth = |counts: &Counts| {
            let requests = counts
                .canary
                .requests
                .saturating_add(counts.baseline.requests);
            (counts.compares(), requests)
        };
        let least = (0..)
            .zip(&self.0)
            .min_by_key(|(_, (_, counts))| worth(counts));
        if let Some((at, _)) = least {
            self.0.swap_remove(at);
        }
    }

    /// Whether there are requests of the baseline to compare this stratum's with.
    pub(super) fn has_baseline(&self, stratum: u32) -> bool {
        let mut entries = self.0.iter();
        entries.any(|(key, counts)| *key == stratum && counts.baseline.requests > 0)
    }

    /// The sum of those in which there is something to compare.
    pub(super) fn compared(&self) -> Counts {
        let mut sum = Counts::default();
        for counts in self.counts().filter(|counts| counts.compares()) {
            let Counts { canary, baseline } = *counts;
            sum.canary.add(canary.requests, canary.failures);
            sum.baseline.add(baseline.requests, baseline.failures);
        }
        sum
    }

    /// The baseline where it is compared, or all of it while the canary has no
    /// traffic at all.
    pub(super) fn baseline(&self) -> Tally {
        if self.counts().any(|counts| counts.canary.requests > 0) {
            return self.compared().baseline;
        }
        let mut sum = Tally::default();
        for counts in self.counts() {
            sum.add(counts.baseline.requests, counts.baseline.failures);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strata_of_one_arm_make_room_for_those_that_compare() {
        let mut strata = Strata::default();
        strata.add(7, Side::Canary, 1, 1);
        strata.add(7, Side::Baseline, 1, 0);
        for hostile in 0..1000 {
            strata.add(100 + hostile, Side::Canary, 50, 50);
        }
        assert_eq!(strata.entries().len(), MOST);
        assert!(strata.has_baseline(7));
        assert_eq!(strata.compared().canary.failures, 1);
    }
}
