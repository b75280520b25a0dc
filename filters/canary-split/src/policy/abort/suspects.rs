//! What failures had in common lately.

use meshpack_sdk::sort::sort;

use super::units::{Unit, Units};

/// How many units of failed requests are remembered.
pub(super) const REMEMBERED: usize = 256;

/// Units of failed requests, the one seen longest ago first. A unit whose lowest
/// bit is set has failed at least twice and is *suspected*: from then on what it
/// is a part of is compared with its like only ([`super::strata`]). Two and not
/// one, because a canary whose requests have nothing in common still has to be
/// caught.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Suspects(Vec<u32>);

impl Suspects {
    pub(super) fn from_entries(entries: Vec<u32>) -> Self {
        Self(entries)
    }

    pub(super) fn entries(&self) -> &[u32] {
        &self.0
    }

    /// Notes the units of a failed request.
    pub(super) fn note(&mut self, units: &Units) {
        for unit in units.iter() {
            let known = self.0.iter().position(|entry| entry & !1 == unit.get());
            let entry = match known {
                Some(at) => self.0.remove(at) | 1,
                None => unit.get(),
            };
            if self.0.len() >= REMEMBERED {
                self.0.remove(0);
            }
            self.0.push(entry);
        }
    }

    /// The stratum of a request, as [`Suspected::stratum`].
    pub(super) fn stratum(&self, units: &Units) -> u32 {
        stratum(units, |unit| self.0.contains(&(unit.get() | 1)))
    }

    /// Those that failed twice, in a form that is quick to ask.
    pub(super) fn suspected(&self) -> Suspected {
        let mut sorted: Vec<u32> = self
            .0
            .iter()
            .filter(|entry| **entry & 1 == 1)
            .copied()
            .collect();
        sort(&mut sorted);
        Suspected(sorted)
    }
}

/// Suspected units, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suspected(Vec<u32>);

impl Suspected {
    /// The stratum of a request: which suspected units it has. 0 without any.
    ///
    /// It depends on earlier requests only and not on how this one ends, so the
    /// tests stay valid in every stratum by itself.
    pub(super) fn stratum(&self, units: &Units) -> u32 {
        if self.0.is_empty() {
            return 0;
        }
        stratum(units, |unit| {
            self.0.binary_search(&(unit.get() | 1)).is_ok()
        })
    }
}

fn stratum(units: &Units, is_suspected: impl Fn(Unit) -> bool) -> u32 {
    let suspected = units.iter().filter(|unit| is_suspected(*unit));
    suspected.fold(0, |key: u32, unit| {
        (key.rotate_left(5) ^ unit.get()).wrapping_mul(0x9e37_79b1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(host: &str, path: &str) -> Units {
        Units::for_test(b"10.0.0.1", host, path)
    }

    #[test]
    fn what_failed_twice_is_a_stratum_of_its_own() {
        let mut suspects = Suspects::default();
        let (failing, good) = (units("shop", "/fail/1"), units("shop", "/"));
        suspects.note(&failing);
        assert_eq!(suspects.stratum(&failing), 0, "once is nothing");
        suspects.note(&units("SHOP:80", "/fail/2?x"));
        assert_ne!(suspects.stratum(&failing), suspects.stratum(&good));
        let third = units("shop", "/fail/3");
        assert_eq!(suspects.stratum(&failing), suspects.stratum(&third));
        for each in [&failing, &good, &third] {
            assert_eq!(suspects.stratum(each), suspects.suspected().stratum(each));
        }
    }

    #[test]
    fn what_keeps_failing_is_remembered_beside_any_number_of_others() {
        let mut suspects = Suspects::default();
        for number in 0..5000 {
            suspects.note(&units("shop", &format!("/fail/{number}")));
        }
        assert_eq!(suspects.entries().len(), REMEMBERED);
        let (next, good) = (units("shop", "/fail/next"), units("shop", "/good"));
        assert_ne!(suspects.stratum(&next), suspects.stratum(&good));
    }

    #[test]
    fn longer_and_shorter_paths_meet_at_their_common_part() {
        let mut suspects = Suspects::default();
        suspects.note(&units("a", "/fail"));
        suspects.note(&units("b", "/fail/x/y/z/more"));
        let (failing, good) = (units("c", "/fail/else"), units("c", "/failed"));
        assert_ne!(suspects.stratum(&failing), suspects.stratum(&good));
    }
}
