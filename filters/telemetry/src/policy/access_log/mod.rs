//! The access log: records, the queue they wait in, and the bytes they become.

mod gzip;
mod json;
mod otlp;
mod queue;
mod record;

pub use gzip::gzip_from_zlib;
pub use json::timestamp;
pub use otlp::{Resource, encode_record, encode_request, rejected_records};
pub use queue::{Answer, Dropped, Queue};
pub use record::{FieldValue, Record, STANDARD_FIELDS, StandardField};
