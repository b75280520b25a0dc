//! The pack in a stock Envoy.

mod denied;
mod equivalence;
mod examples;
mod observed;
mod soak;
mod start;
mod trap;
