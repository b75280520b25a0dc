//! What `make demo` shows: each filter at work in a stock Envoy, as numbers.

mod authz;
mod canary;
mod retry;
mod table;
mod telemetry;

pub use authz::authz;
pub use canary::canary;
pub use retry::retry;
pub use table::Table;
pub use telemetry::telemetry_demo as telemetry;
