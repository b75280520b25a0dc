//! Decoder for a serialized `google.protobuf.Struct`.
//!
//! Envoy hands a plugin whose `configuration` is a `Struct` the protobuf bytes,
//! not JSON. The message is small and frozen (`google/protobuf/struct.proto`),
//! so a reader of its five fields is cheaper in bytes than a protobuf runtime.

use std::cmp::Ordering;

use super::{Node, Number, Problem};
use crate::protobuf::{Content, Malformed, Reader};
use crate::sort::sort;

/// Nesting allowed, the same as the JSON reader's.
const MAX_DEPTH: usize = 128;

/// Shape of the first entry: field 1 (`fields`), whose entry starts with its key.
pub(super) fn is_struct(bytes: &[u8]) -> bool {
    decode_struct(bytes, 0).is_ok()
}

/// Decodes a `Struct`. Keys are sorted, because the order of a protobuf map on
/// the wire means nothing and changes between runs.
pub(super) fn decode(bytes: &[u8]) -> Result<Node, Problem> {
    decode_struct(bytes, 0).map_err(|Malformed| {
        Problem::new(
            "",
            "is neither JSON nor a google.protobuf.Struct: give the configuration as StringValue or Struct",
        )
    })
}

fn decode_struct(bytes: &[u8], depth: usize) -> Result<Node, Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed);
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((field, content)) = reader.next_field()? {
        match (field, content) {
            (1, Content::Bytes(entry)) => {
                let (key, node) = decode_entry(entry, depth)?;
                let place = entries.len();
                entries.push(Entry { key, place, node });
            }
            _ => return Err(Malformed),
        }
    }
    sort(&mut entries);
    let entries = entries.into_iter().map(|entry| (entry.key, entry.node));
    Ok(Node::Object(entries.collect()))
}

/// An entry, ordered by its key and then by its place on the wire.
struct Entry {
    key: String,
    place: usize,
    node: Node,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.key, self.place).cmp(&(&other.key, other.place))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

fn decode_entry(bytes: &[u8], depth: usize) -> Result<(String, Node), Malformed> {
    let (mut key, mut value) = (String::new(), Node::Null);
    let mut reader = Reader::new(bytes);
    while let Some((field, content)) = reader.next_field()? {
        match (field, content) {
            (1, Content::Bytes(text)) => key = utf8(text)?,
            (2, Content::Bytes(inner)) => value = decode_value(inner, depth + 1)?,
            _ => return Err(Malformed),
        }
    }
    Ok((key, value))
}

fn decode_value(bytes: &[u8], depth: usize) -> Result<Node, Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed);
    }
    let mut value = Node::Null;
    let mut reader = Reader::new(bytes);
    while let Some((field, content)) = reader.next_field()? {
        value = match (field, content) {
            (1, Content::Varint(_)) => Node::Null,
            (2, Content::Fixed64(bits)) => Node::Number(number(f64::from_bits(bits))),
            (3, Content::Bytes(text)) => Node::String(utf8(text)?),
            (4, Content::Varint(bit)) => Node::Bool(bit != 0),
            (5, Content::Bytes(inner)) => decode_struct(inner, depth + 1)?,
            (6, Content::Bytes(inner)) => decode_list(inner, depth + 1)?,
            _ => return Err(Malformed),
        };
    }
    Ok(value)
}

fn decode_list(bytes: &[u8], depth: usize) -> Result<Node, Malformed> {
    let mut list = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((field, content)) = reader.next_field()? {
        match (field, content) {
            (1, Content::Bytes(inner)) => list.push(decode_value(inner, depth)?),
            _ => return Err(Malformed),
        }
    }
    Ok(Node::List(list))
}

/// A `Struct` knows doubles only; whole ones become integers again, within the
/// range in which a double is exact.
fn number(value: f64) -> Number {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        Number::Integer(value as i64)
    } else {
        Number::Double(value)
    }
}

fn utf8(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}
