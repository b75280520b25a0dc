//! The golden metrics: Istio's standard labels and where their values are from.
//!
//! Most labels never change while a connection lives, so they are looked up once
//! per connection and remembered; per request only what can differ is read.

mod expiring;
pub mod flags;
mod grpc;
mod labels;
mod peer;
mod service;

pub use expiring::Expiring;
pub use grpc::is_grpc;
pub use labels::{Components, Facts, Reporter};
pub use peer::{Connection, Identity, PEER_FIELDS, inbound_field, outbound_field};
pub use service::{Service, ServiceSource};
