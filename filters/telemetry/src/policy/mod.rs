//! What is measured, logged and passed on, in plain types.
//!
//! It knows no proxy: [`cel`] says what an expression is, [`engine`] asks for many values
//! at once, [`golden`] and [`labels`] say what Istio's standard labels are, [`series`]
//! bounds them, [`path_template`] names paths, [`sample`] draws, [`access_log`] makes
//! records and queues them, [`trace`] judges trace headers.

pub mod access_log;
pub mod cel;
pub mod engine;
pub mod golden;
pub mod labels;
pub mod path_template;
pub mod sample;
pub mod series;
pub mod trace;
