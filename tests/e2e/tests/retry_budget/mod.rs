//! retry_budget in a stock Envoy.

mod chain;
mod exactness;
mod examples;
mod forged;
mod native;
mod per_attempt;
mod router;
mod settings;
mod tokens;
