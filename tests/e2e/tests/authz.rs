//! authz_policy in a stock Envoy.

#[path = "authz/answers.rs"]
mod answers;
#[path = "authz/attributes.rs"]
mod attributes;
#[path = "authz/bypasses.rs"]
mod bypasses;
#[path = "authz/configuration.rs"]
mod configuration;
#[path = "authz/differential.rs"]
mod differential;
#[path = "authz/examples.rs"]
mod examples;
#[path = "authz/hostile.rs"]
mod hostile;
