//! Which arm a client belongs to: a hash of salt and id, and a map from hashes
//! to arms that only moves the clients it must when weights change.

mod allocation;
mod hash;
mod salt;
mod schedule;
mod siphash;

pub use allocation::{Allocation, Share};
pub use hash::{Hash, hash};
pub use salt::Salt;
pub use schedule::{Interpolation, Ramp, Schedule, Step};

pub(crate) use siphash::siphash;

#[cfg(test)]
mod tests;
