//! Sticky, salted, monotone traffic splits as an Envoy filter.
//!
//! [`assign`] maps a client to an arm, [`request`] decides a request, [`abort`]
//! takes a failing canary out, [`config`] reads the configuration. None of them
//! knows a proxy: time, randomness and attributes come through
//! [`request::Outside`].

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
