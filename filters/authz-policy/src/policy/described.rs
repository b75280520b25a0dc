//! A request in words: for people who ask what policies would do with it, and
//! for tests.

use std::collections::HashMap;

use meshpack_sdk::config::Node;
use meshpack_sdk::metadata::encode;

use super::request::{Attribute, Attributes};
use super::value::Reading;

/// A request that no proxy has seen.
#[derive(Debug, Clone, Default)]
pub struct Described {
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    attributes: HashMap<Attribute, Vec<u8>>,
}

impl Described {
    /// Adds a header; pseudo headers too (`:path`).
    pub fn header(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        let name = name.to_ascii_lowercase().into_bytes();
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    /// Sets what the proxy would know.
    pub fn attribute(&mut self, attribute: Attribute, value: impl AsRef<[u8]>) -> &mut Self {
        self.attributes.insert(attribute, value.as_ref().to_vec());
        self
    }

    /// Sets the dynamic metadata: an object of filters, each an object.
    pub fn metadata(&mut self, filters: &Node) -> &mut Self {
        self.attribute(Attribute::Metadata, encode(filters))
    }

    /// The headers in the host's encoding, for
    /// [`HeaderMap::decode`](meshpack_sdk::HeaderMap::decode).
    #[must_use]
    pub fn encoded_headers(&self) -> Vec<u8> {
        let pairs: Vec<(&[u8], &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
            .collect();
        meshpack_sdk::encode_pairs(&pairs)
    }
}

impl Attributes for Described {
    fn read(&self, attribute: Attribute) -> Reading<Vec<u8>> {
        self.attributes.get(&attribute).cloned().into()
    }
}
