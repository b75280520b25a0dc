//! The pack in a stock Envoy.

#[path = "../telemetry/collector.rs"]
mod collector;
mod denied;
mod equivalence;
mod examples;
mod observed;
mod soak;
mod start;
mod trap;
