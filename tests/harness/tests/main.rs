//! What the harness promises to a test.

mod failures;
mod parallel;
mod protocols;
mod setup;
mod swap;
mod traffic;
