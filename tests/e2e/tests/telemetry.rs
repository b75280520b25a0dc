//! The telemetry filter in a stock Envoy.

#[path = "telemetry/cardinality.rs"]
mod cardinality;
#[path = "telemetry/collector.rs"]
mod collector;
#[path = "telemetry/configs.rs"]
mod configs;
#[path = "telemetry/counts.rs"]
mod counts;
#[path = "telemetry/files.rs"]
mod files;
#[path = "telemetry/labels.rs"]
mod labels;
#[path = "telemetry/logs.rs"]
mod logs;
#[path = "telemetry/shutdown.rs"]
mod shutdown;
#[path = "telemetry/traces.rs"]
mod traces;
