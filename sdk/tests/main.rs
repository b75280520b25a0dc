//! The sdk's promises to a filter, on the mock host.

mod composition;
mod empty_streams;
mod late_counters;
mod readme;
mod room;
mod state;
mod untold;
