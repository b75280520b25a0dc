//! The matches that all filters share: Istio's string forms, path templates,
//! hosts, and the request match of an entry.
//!
//! ```
//! use meshpack_sdk::config;
//! use meshpack_sdk::matching::{MatchIndex, RequestHead, RequestMatch};
//! use meshpack_sdk::{HeaderMap, encode_pairs};
//!
//! let json = br#"{"hosts": ["payments*"], "paths": ["/v1/{*}/refund"]}"#;
//! let index = MatchIndex::new(vec![config::parse(json, |v| RequestMatch::read(&v)).unwrap()]);
//!
//! let raw = encode_pairs(&[(b":authority", b"PAYMENTS:80"), (b":path", b"/v1/7/refund?x=1")]);
//! let headers = HeaderMap::decode(&raw).unwrap();
//! assert_eq!(index.first(&RequestHead::new(&headers)), Some(0));
//! ```

mod head;
mod index;
mod request;
mod template;
mod text;
mod texts;

pub use head::RequestHead;
pub use index::MatchIndex;
pub use request::RequestMatch;
pub use template::{PathTemplate, TemplateError};
pub use text::TextMatch;

#[cfg(test)]
mod tests;
