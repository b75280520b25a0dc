//! What the core may ask of the world, one question at a time, because in the
//! proxy each answer has its price.

use std::time::Duration;

/// The world around a request. Every method is asked only when the split's
/// configuration needs the answer.
pub trait Outside<'r> {
    /// Dynamic metadata, a serialized `envoy.config.core.v3.Metadata`.
    fn metadata(&mut self) -> Option<&'r [u8]>;

    /// Downstream remote address, `ip:port`.
    fn source_address(&mut self) -> Option<&'r [u8]>;

    /// Time since the Unix epoch.
    fn now(&mut self) -> Duration;

    /// Evenly distributed bits.
    fn random(&mut self) -> u32;

    /// Bits that a client can not predict, for an identifier.
    fn secure_random(&mut self) -> u64;

    /// Whether the abort of a split (its position) is latched.
    fn is_aborted(&mut self, split: usize) -> bool;
}
