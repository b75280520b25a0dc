//! The sort of the sdk, which is small.

pub(crate) use meshpack_sdk::sort::{sort, sort_and_dedup};
