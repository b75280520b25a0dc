//! The telemetry filter in a stock Envoy.

mod cardinality;
pub(crate) mod collector;
mod configs;
mod counts;
mod files;
mod labels;
mod logs;
mod shutdown;
mod traces;
