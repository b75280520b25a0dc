//! What a filter author needs between a policy and the proxy-wasm ABI.
//!
//! A filter is a value that implements [`Filter`]; [`module!`] makes a wasm
//! module of it and [`compose!`] makes one filter of several. The header map is
//! read once per callback and borrowed as bytes ([`HeaderMap`]); attributes are
//! typed ([`attributes`]); host errors are results, never panics
//! ([`HostError`]); [`config`] reports every problem of a configuration with
//! its path; [`metrics`] have labels and a bound on series; [`shared`] is state
//! that all workers of a proxy have in common. [`mock`] runs a filter in native
//! tests.

#![deny(
    unsafe_code,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

pub mod attributes;
mod callout;
pub mod clock;
pub mod config;
mod cx;
mod filter;
mod headers;
mod host;
mod log_limit;
mod logger;
pub mod matching;
pub mod metadata;
pub mod metrics;
#[cfg(not(target_arch = "wasm32"))]
pub mod mock;
mod module;
pub mod protobuf;
pub mod record;
mod reply;
mod runtime;
pub mod shared;
pub mod sort;
mod streams;
pub mod text;
pub mod texts;

pub use callout::{Callout, CalloutId};
pub use cx::{
    CalloutResponse, Log, OpenStream, RequestHeaders, ResponseHeaders, ResponseTrailers,
    call_foreign_function, with_foreign_function,
};
pub use filter::{Filter, Flow, Shutdown, done};
pub use headers::{Header, HeaderError, HeaderMap, check_name, check_value};
#[cfg(target_arch = "wasm32")]
pub use host::run_constructors;
pub use host::{HostError, encode_pairs, memory_allocate};
pub use log_limit::{LeftOut, LogLimit};
pub use module::PartTicks;
pub use reply::LocalReply;
pub use runtime::{MEMORY_BESIDE, MEMORY_PER_BYTE, Runtime};
