//! Sticky, salted, monotone traffic splits as an Envoy filter.
//!
//! [`policy`] decides requests and takes a failing canary out without knowing a proxy,
//! [`config`] reads the configuration, and [`CanarySplit`] puts both into Envoy.

#![deny(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

pub mod config;
mod filter;
pub mod policy;
mod record;

pub use filter::{CanarySplit, Stream};
pub use record::RECORD;

#[cfg(feature = "module")]
meshpack_sdk::module!(CanarySplit: request_headers, response_headers, response_trailers);
