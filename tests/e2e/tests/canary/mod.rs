//! canary_split in a stock Envoy.

mod abort;
mod assignment;
mod configuration;
mod examples;
mod hostile;
