//! The filters, the pack and what is shipped with them, in a stock Envoy.
//!
//! One program: what every file needs is linked once. `cargo test -p meshpack-e2e
//! authz::bypasses` runs the tests of one file.

mod authz;
mod canary;
mod istio_manifests;
mod observability;
mod pack;
mod retry_budget;
mod sdk;
mod telemetry;
mod translate;
mod updates;
