//! Dynamic metadata from a tree, for requests that no proxy has seen.

use crate::config::{Node, Number};

/// The serialized `envoy.config.core.v3.Metadata` of an object of filters, each an
/// object; empty for anything else.
#[must_use]
pub fn encode(filters: &Node) -> Vec<u8> {
    let Node::Object(filters) = filters else {
        return Vec::new();
    };
    let mut message = Vec::new();
    for (name, fields) in filters {
        let entry = [
            bytes_field(1, name.as_bytes()),
            bytes_field(2, &fields_of(fields)),
        ];
        message.extend(bytes_field(1, &entry.concat()));
    }
    message
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
