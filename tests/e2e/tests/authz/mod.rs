//! authz_policy in a stock Envoy.

mod advisories;
mod answers;
mod attributes;
mod bypasses;
mod configuration;
mod differential;
mod examples;
mod expressions;
mod hostile;
