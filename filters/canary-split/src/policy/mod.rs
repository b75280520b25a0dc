//! The policy itself: which client is in which arm, and when a canary is out.
//!
//! It knows neither a proxy nor the form of a configuration: time, randomness and
//! attributes come through [`request::Outside`].

pub mod abort;
pub mod assign;
pub mod request;
mod split;

pub(crate) use split::push_text;
pub use split::{Force, Secret, Split};
