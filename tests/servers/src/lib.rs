//! Real servers behind a stock Envoy: the judge of what a path means to an upstream.
//!
//! `authz_policy` in hardened mode promises that a guarded resource cannot be reached
//! by writing its path differently. Whether a path reaches it is not for the filter's
//! author to say: every server reads paths in its own way. So the servers are started
//! here, each with a public area and a guarded one whose answers carry a secret, and
//! generated disguises are sent through Envoy to each of them. What brings the secret
//! back without the filter must not bring it back with it.
//!
//! - [`servers`] starts what is installed, and names what is not.
//! - [`disguise`] makes disguised paths from a seed, [`ordinary`] everyday ones.
//! - [`Proxy`] is the Envoy in front of all of them; [`round`] tries and counts.
//! - [`table`] prints.

pub mod disguise;
pub mod ordinary;
mod proxy;
mod rng;
pub mod round;
pub mod servers;
pub mod table;
mod wire;

pub use proxy::{Normalization, Proxy, Through};
pub use rng::Rng;
pub use wire::Answer;
