//! Helpers shared by the end-to-end tests, and the demo.

pub mod authz;
pub mod canary;
pub mod demo;
pub mod pack;
pub mod retry;
pub mod shipped;
pub mod soak;
pub mod telemetry;
pub mod translate;
mod undisturbed;

pub use undisturbed::undisturbed;
