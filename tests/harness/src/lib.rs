//! A stock Envoy under test: started from a configuration, driven with traffic, asked
//! what it did.
//!
//! A filter is right when the real proxy says so. Mocks of Envoy agree with their
//! author; this crate makes the real one cheap enough to be the judge of every test:
//! it starts in a fraction of a second on ports of its own, and nothing of it is left
//! when the test ends, however it ends.
//!
//! ```no_run
//! use meshpack_harness::{Behavior, Cluster, Envoy, Listener, Request, Route, Upstream};
//! use meshpack_harness::{WasmFilter, wasm_module};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let upstream = Upstream::start("v1").await?;
//!     let filter = WasmFilter::new("my_filter", wasm_module("my_filter")?)
//!         .config(&serde_json::json!({"answer": 42}));
//!     let envoy = Envoy::builder()
//!         .listener(Listener::new("in").filter(filter).route(Route::to("v1")))
//!         .cluster(Cluster::new("v1").endpoint(upstream.address()))
//!         .start()
//!         .await?;
//!
//!     let client = envoy.client("in");
//!     let answer = client.send(Request::get("/a").header("x-user-id", b"\xff")).await?;
//!     assert_eq!((answer.status, answer.upstream()), (200, Some("v1")));
//!     assert_eq!(upstream.last().unwrap().header("x-user-id"), Some(b"\xff".as_slice()));
//!
//!     upstream.set(Behavior::reset());
//!     let outcomes = client.load(1000, 8, |n| Request::get(format!("/{n}"))).await;
//!     assert_eq!(outcomes.with_status(503), 1000);
//!     assert_eq!(envoy.stat("wasm.my_filter.vm_reload").await?.unwrap_or(0), 0);
//!     Ok(())
//! }
//! ```
//!
//! Tests need a Tokio runtime with more than one thread
//! (`#[tokio::test(flavor = "multi_thread")]`), because upstreams run in the test's
//! own process.
//!
//! - [`Envoy`] runs as a binary or a container ([`Source`]), from pieces
//!   ([`Listener`], [`Route`], [`Cluster`], [`WasmFilter`]) or from a literal bootstrap
//!   ([`Envoy::from_bootstrap`]). [`Admin`] reads its stats and configuration.
//! - [`Upstream`] answers, records, fails, delays and resets as a [`Script`] says.
//! - [`Client`] sends requests, single or as a load; [`RawClient`] sends any bytes.
//! - [`Port`] is a port that is known before its server starts.
//! - [`Certificates`] makes what mutual TLS needs.

pub mod admin;
mod beside;
mod certificates;
pub mod client;
pub mod config;
mod download;
pub mod envoy;
mod port;
pub mod prometheus;
pub mod resolve;
pub mod upstream;
mod version;

pub use admin::{Admin, AdminError};
pub use certificates::{CertificateError, Certificates, Identity};
pub use client::{Client, ClientError, GrpcReply, Outcome, Outcomes, RawClient, Request, Response};
pub use config::{
    Cluster, Codec, FailurePolicy, HttpFilter, Listener, Route, ServerTls, WasmFilter, wasm_module,
};
pub use download::DownloadError;
pub use envoy::{Envoy, EnvoyBuilder, Process, StartError, Swap};
pub use port::Port;
pub use prometheus::{Sample, Samples};
pub use resolve::{ResolveError, Source, versions};
pub use upstream::{Behavior, Echo, Recorded, Script, Upstream};
pub use version::{DEFAULT_VERSION, EnvoyVersion, MATRIX, VersionError};
