//! Bounded metrics, access logs and trace context as an Envoy filter.
//!
//! [`policy`] knows neither a proxy nor the form of a configuration, [`config`] reads
//! what is wanted, and [`Telemetry`] is the thin layer that connects them to Envoy.

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

pub use filter::Telemetry;
pub use record::RECORD;

#[cfg(feature = "module")]
meshpack_sdk::module!(Telemetry: request_headers, log, http_call_response, done);
