//! canary_split in a stock Envoy.

#[path = "canary/abort.rs"]
mod abort;
#[path = "canary/assignment.rs"]
mod assignment;
#[path = "canary/configuration.rs"]
mod configuration;
#[path = "canary/examples.rs"]
mod examples;
#[path = "canary/hostile.rs"]
mod hostile;
