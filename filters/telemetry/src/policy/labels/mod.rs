//! Label names: the standard ones, the pack's own, and the check that no name
//! can break the extraction of another.

mod check;
mod standard;

pub use check::{LabelProblem, MetricNameProblem, check_label, check_metric_name};
pub use standard::{GOLDEN_LABELS, GoldenLabel, MESSAGE_LABELS, PACK_LABELS};
