//! A request in words: for people who ask what policies would do with it, and
//! for tests.

use std::collections::HashMap;

use meshpack_sdk::config::{Node, Number};

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
        let Node::Object(filters) = filters else {
            return self;
        };
        let mut message = Vec::new();
        for (name, fields) in filters {
            let entry = [
                bytes_field(1, name.as_bytes()),
                bytes_field(2, &fields_of(fields)),
            ];
            message.extend(bytes_field(1, &entry.concat()));
        }
        self.attribute(Attribute::Metadata, message)
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

/// A serialized `google.protobuf.Struct`.
fn fields_of(object: &Node) -> Vec<u8> {
    let mut out = Vec::new();
    if let Node::Object(fields) = object {
        for (key, value) in fields {
            let entry = [
                bytes_field(1, key.as_bytes()),
                bytes_field(2, &value_of(value)),
            ];
            out.extend(bytes_field(1, &entry.concat()));
        }
    }
    out
}

/// A serialized `google.protobuf.Value`.
fn value_of(value: &Node) -> Vec<u8> {
    match value {
        Node::Null => vec![0x08, 0],
        Node::Bool(bit) => vec![0x20, u8::from(*bit)],
        Node::Number(number) => {
            let number = match number {
                Number::Integer(integer) => *integer as f64,
                Number::Double(double) => *double,
            };
            [&[0x11], number.to_le_bytes().as_slice()].concat()
        }
        Node::String(text) => bytes_field(3, text.as_bytes()),
        Node::Object(_) => bytes_field(5, &fields_of(value)),
        Node::List(items) => {
            let items: Vec<u8> = items
                .iter()
                .flat_map(|item| bytes_field(1, &value_of(item)))
                .collect();
            bytes_field(6, &items)
        }
    }
}

fn bytes_field(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length as u8 & 0x7f) | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}
