//! Scenes for retry_budget, shared by its tests and the demo.

mod app;
mod chain;
mod scene;

pub use app::App;
pub use chain::{Chain, Protection, Shape};
pub use scene::{Stats, attempt, cluster, filter, hop, is_retry, virtual_host};
