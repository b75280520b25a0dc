//! Bounded metrics, access logs and trace context as an Envoy filter.
//!
//! The core knows no proxy: [`config`] reads what is wanted, [`cel`] what an
//! expression is, [`engine`] asks for many values at once, [`golden`] and
//! [`labels`] say what Istio's standard labels are, [`series`] bounds them,
//! [`access_log`] makes records and queues them, [`trace`] judges trace headers.
//! [`Telemetry`] is the thin layer that connects them to Envoy.

#![deny(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

pub mod access_log;
pub mod cel;
pub mod config;
pub mod engine;
mod filter;
pub mod golden;
pub mod labels;
pub mod path_template;
mod record;
pub mod sample;
pub mod series;
pub mod trace;

pub use filter::Telemetry;
pub use record::RECORD;

#[cfg(feature = "module")]
meshpack_sdk::module!(Telemetry: request_headers, log, http_call_response, done);
