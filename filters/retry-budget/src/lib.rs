//! Exact retry budgets as an Envoy filter.
//!
//! A retry budget says how many retries a number of requests pays for, so that
//! retries help while little fails and cannot multiply the load when all does.
//! [`core`] is the budget itself and knows no proxy, [`config`] is what a user
//! writes, and [`RetryBudget`] is the filter that joins both to Envoy.

#![deny(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod amplification;
pub mod config;
pub mod core;
mod filter;
mod metrics;
mod outbound;
mod record;
mod response;
mod retry_on;
mod server;
mod shared;
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
mod timekeeper;

pub use filter::{RetryBudget, Stream};
pub use outbound::router_headers;
pub use record::RECORD;
pub use retry_on::RetryOn;
pub use server::is_retry;

#[cfg(feature = "module")]
meshpack_sdk::module!(RetryBudget: request_headers, response_headers, done);
