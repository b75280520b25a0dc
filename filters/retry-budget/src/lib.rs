//! Exact retry budgets as an Envoy filter.
//!
//! A retry budget says how many retries a number of requests pays for, so that
//! retries help while little fails and cannot multiply the load when all does.
//! [`policy`] is the budget itself and knows no proxy, [`config`] is what a user
//! writes, and [`RetryBudget`] is the filter that joins both to Envoy.

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

pub use filter::{RetryBudget, Stream, is_retry, router_headers};
pub use record::RECORD;

#[cfg(feature = "module")]
meshpack_sdk::module!(RetryBudget: request_headers, response_headers, done);
