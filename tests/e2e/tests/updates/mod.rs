//! Configurations that come and go while requests flow.

mod memory;
mod refused;
