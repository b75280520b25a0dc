//! canary_split in a stock Envoy.

mod abort;
mod assignment;
mod attacks;
mod configuration;
mod examples;
mod hostile;
mod identity;
mod tokens;
