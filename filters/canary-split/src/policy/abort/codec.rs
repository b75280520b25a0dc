//! The state as bytes, for shared data.

use super::clients::REMEMBERED;
use super::places::Places;
use super::state::State;
use super::strata::{self, Strata};
use super::suspects::{self, Suspects};
use super::{Counts, Tally};

/// First byte; another number means bytes of another release.
const VERSION: u8 = 2;

impl State {
    /// The state as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (sudden, steady) = (&self.sudden, &self.steady);
        let burstiness = &steady.burstiness;
        let mut out = vec![VERSION];
        for time in [
            self.latched_until,
            sudden.slot_start,
            sudden.run_start,
            steady.block_start,
            self.places.succeeded,
        ] {
            out.extend_from_slice(&time.to_le_bytes());
        }
        let sums = [
            sudden.log,
            burstiness.blocks,
            burstiness.requests,
            burstiness.failures,
            burstiness.squares,
        ];
        for sum in sums.iter().chain(&steady.logs) {
            out.extend_from_slice(&sum.to_le_bytes());
        }
        for strata in [&sudden.slot, &steady.block] {
            let entries = strata.entries();
            out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
            for (stratum, counts) in entries {
                out.extend_from_slice(&stratum.to_le_bytes());
                for tally in [counts.canary, counts.baseline] {
                    out.extend_from_slice(&tally.requests.to_le_bytes());
                    out.extend_from_slice(&tally.failures.to_le_bytes());
                }
            }
        }
        let places = &self.places;
        for list in [
            self.suspects.entries(),
            &places.served,
            &places.shared,
            &places.heads,
        ] {
            for number in std::iter::once(&(list.len() as u32)).chain(list) {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        let (ring, added) = self.clients.parts();
        for number in [sudden.run, added] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for client in ring.iter().take(added as usize) {
            out.extend_from_slice(&client.to_le_bytes());
        }
        out
    }

    /// Reads what [`State::encode`] has written; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let mut reader = Reader(rest);
        let mut state = Self {
            latched_until: reader.u64()?,
            ..Self::default()
        };
        let (sudden, steady) = (&mut state.sudden, &mut state.steady);
        sudden.slot_start = reader.u64()?;
        sudden.run_start = reader.u64()?;
        steady.block_start = reader.u64()?;
        let succeeded = reader.u64()?;
        let burstiness = &mut steady.burstiness;
        for sum in [
            &mut sudden.log,
            &mut burstiness.blocks,
            &mut burstiness.requests,
            &mut burstiness.failures,
            &mut burstiness.squares,
        ] {
            *sum = reader.f64()?;
        }
        for log in &mut steady.logs {
            *log = reader.f64()?;
        }
        for strata in [&mut sudden.slot, &mut steady.block] {
            *strata = reader.strata()?;
        }
        state.suspects = Suspects::from_entries(reader.list(suspects::REMEMBERED)?);
        let [served, shared, heads] = Places::MOST;
        state.places = Places {
            succeeded,
            served: reader.list(served)?,
            shared: reader.list(shared)?,
            heads: reader.list(heads)?,
        };
        let sudden = &mut state.sudden;
        sudden.run = reader.u32()?;
        let added = reader.u32()?;
        let mut ring = [0; REMEMBERED];
        for client in ring.iter_mut().take(added as usize) {
            *client = reader.u32()?;
        }
        state.clients = super::clients::Clients::from_parts(ring, added);
        reader.0.is_empty().then_some(state)
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn u64(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    /// A finite number; anything else would poison every sum it enters.
    fn f64(&mut self) -> Option<f64> {
        Some(f64::from_bits(self.u64()?)).filter(|number| number.is_finite())
    }

    /// A list of at most so many numbers.
    fn list(&mut self, most: usize) -> Option<Vec<u32>> {
        let length = self.u32()? as usize;
        let mut numbers = (length <= most).then_some(0..length)?;
        numbers.try_fold(Vec::with_capacity(length), |mut list, _| {
            list.push(self.u32()?);
            Some(list)
        })
    }

    fn strata(&mut self) -> Option<Strata> {
        let length = self.u32()? as usize;
        let mut numbers = (length <= strata::MOST).then_some(0..length)?;
        let entries = numbers.try_fold(Vec::with_capacity(length), |mut list, _| {
            let stratum = self.u32()?;
            let canary = self.tally()?;
            let baseline = self.tally()?;
            list.push((stratum, Counts { canary, baseline }));
            Some(list)
        })?;
        Some(Strata::from_entries(entries))
    }

    fn tally(&mut self) -> Option<Tally> {
        Some(Tally {
            requests: self.u32()?,
            failures: self.u32()?,
        })
    }
}
