//! The map from hashes to arms.

use super::Hash;

/// Size of the hash range.
const RANGE: u64 = 1 << 32;

/// An arm's part of the traffic, kept as a fraction so that boundaries are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Weight of the arm.
    pub part: u64,
    /// Sum of all weights; not zero.
    pub whole: u64,
}

impl Share {
    /// `part * scale / whole`, rounded down; at most `scale`.
    #[must_use]
    pub fn of(self, scale: u64) -> u64 {
        let scaled = u128::from(self.part) * u128::from(scale);
        let share = scaled.checked_div(u128::from(self.whole)).unwrap_or(0);
        u64::try_from(share).unwrap_or(scale).min(scale)
    }
}

/// Which hash belongs to which arm, for one set of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Ends (exclusive) of ranges, ascending, and their arms. The last end is 2^32.
    Ranges(Vec<(u64, usize)>),
    /// Unleash: the second arm takes `hash % 100 + 1 <= limit`.
    Percent { limit: u32 },
}

impl Allocation {
    /// Divides the hash range. `shares` are those of the arms behind the first,
    /// which gets what they leave.
    ///
    /// Each arm behind the first has its own slot of `2^32 / (arms - 1)` hashes
    /// and fills it from the top, so raising an arm at the expense of the first
    /// moves clients only from the first arm into it. With two arms the slot is
    /// the whole range and the boundary lies where flagd puts it: `hash * sum >=
    /// weight_1 * 2^32` is the second arm. What does not fit a slot (an arm above
    /// `1 / (arms - 1)`) goes to the bottom of the following ones.
    #[must_use]
    pub fn new(hash: Hash, shares: &[Share]) -> Self {
        if hash == Hash::Unleash {
            let limit = shares.first().map_or(0, |share| share.of(100));
            return Self(Kind::Percent {
                limit: limit as u32,
            });
        }
        Self(Kind::Ranges(ranges(shares)))
    }

    /// The arm of a hash.
    #[must_use]
    #[inline]
    pub fn arm(&self, hash: u32) -> usize {
        match &self.0 {
            Kind::Ranges(ranges) => ranges
                .iter()
                .find(|(end, _)| u64::from(hash) < *end)
                .map_or(0, |(_, arm)| *arm),
            Kind::Percent { limit } => usize::from(hash % 100 < *limit),
        }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
impl Allocation {
    /// How many hashes each arm has.
    pub(super) fn lengths(&self, arms: usize) -> Vec<u64> {
        let mut lengths = vec![0; arms];
        let mut start = 0;
        if let Kind::Ranges(ranges) = &self.0 {
            for (end, arm) in ranges {
                lengths[*arm] += end - start;
                start = *end;
            }
        }
        lengths
    }
}

struct Slot {
    /// Arms that overflowed into this slot, from its bottom.
    guests: Vec<(u64, usize)>,
    free: u64,
    own: u64,
}

fn ranges(shares: &[Share]) -> Vec<(u64, usize)> {
    let count = shares.len() as u64;
    let start = |slot: u64| (RANGE * slot).checked_div(count).unwrap_or(0);
    let mut slots: Vec<Slot> = Vec::with_capacity(shares.len());
    let mut overflow = Vec::new();
    for (index, share) in (0_u64..).zip(shares) {
        let size = start(index + 1) - start(index);
        let wanted = share.of(RANGE);
        let own = wanted.min(size);
        slots.push(Slot {
            guests: Vec::new(),
            free: size - own,
            own,
        });
        overflow.push(wanted - own);
    }
    for (index, mut rest) in overflow.into_iter().enumerate() {
        let (before, behind) = slots.split_at_mut(index);
        for slot in behind.iter_mut().chain(before) {
            let taken = rest.min(slot.free);
            slot.guests.push((taken, index + 1));
            slot.free -= taken;
            rest -= taken;
        }
    }
    let mut ends = Vec::new();
    let mut end = 0;
    for (index, slot) in slots.into_iter().enumerate() {
        let parts = slot.guests.into_iter();
        for (length, arm) in parts.chain([(slot.free, 0), (slot.own, index + 1)]) {
            if length > 0 {
                end += length;
                ends.push((end, arm));
            }
        }
    }
    ends
}
