//! Istio AuthorizationPolicy as an Envoy filter.
//!
//! [`config`] reads policies as written for kubectl, [`policy`] decides requests
//! without knowing a proxy, and [`AuthzPolicy`] puts both into Envoy.

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

pub use filter::AuthzPolicy;
pub use record::RECORD;

#[cfg(feature = "module")]
meshpack_sdk::module!(AuthzPolicy: request_headers);
