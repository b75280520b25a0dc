//! The policy engine: knows AuthorizationPolicy and requests, but no proxy.

pub(crate) mod bytes;
pub mod cidr;
pub mod described;
pub mod engine;
pub mod explain;
pub mod host;
pub mod identity;
pub(crate) mod index;
pub mod metadata;
pub mod model;
#[cfg(test)]
mod oracle;
pub(crate) mod parameters;
pub mod path;
pub mod readings;
pub mod regex;
pub mod request;
pub mod rule;
pub(crate) mod sort;
#[cfg(test)]
pub(crate) mod testing;
pub mod value;
