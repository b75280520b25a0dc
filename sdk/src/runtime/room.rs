//! Whether there is memory for a configuration.
//!
//! An allocation that fails is a trap, and a trap while a worker loads a
//! configuration makes stock Envoy serve without the filter. So the memory is asked
//! for before, in a way that can say no.

use crate::host;

/// Memory that loading a configuration takes at most, for each of its bytes, the
/// former configurations not counted. A test of the pack holds every filter to it with
/// configurations of the most expensive kinds; the dearest, budgets of a name alone, take
/// 82 on 64 bits.
pub const MEMORY_PER_BYTE: usize = 96;

/// Beside it, for what does not depend on the configuration and for requests.
pub const MEMORY_BESIDE: usize = 1024 * 1024;

/// What a configuration of so many bytes may take.
pub(super) const fn needed_for(bytes: usize) -> usize {
    let wanted = bytes.saturating_mul(MEMORY_PER_BYTE);
    wanted.saturating_add(MEMORY_BESIDE)
}

/// Whether a configuration of so many bytes can be loaded without a trap.
pub(super) fn is_there_for(bytes: usize) -> bool {
    host::has_memory(needed_for(bytes))
}
