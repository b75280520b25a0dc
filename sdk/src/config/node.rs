//! A configuration tree that keeps the order and the repetition of keys.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

use super::{MAX_CONFIG_BYTES, Problem, protobuf_struct};

/// A JSON number. Integers stay exact; everything else is a double, as in JSON
/// readers everywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number that fits 64 bits.
    Integer(i64),
    /// Any other number.
    Double(f64),
}

/// A configuration value before it is given a meaning.
///
/// Unlike `serde_json::Value` it keeps object keys in document order (label
/// order is part of a metric's name) and keeps repeated keys, so that they can
/// be reported rather than silently dropped.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// An object, keys in document order, repeated keys kept.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Parses what Envoy hands a plugin: JSON text or a serialized
    /// `google.protobuf.Struct`. Empty input is an empty object.
    ///
    /// # Errors
    /// Says at which line and column the JSON is broken.
    pub fn from_plugin_configuration(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.len() > MAX_CONFIG_BYTES {
            let limit = MAX_CONFIG_BYTES / (1024 * 1024);
            return Err(Problem::new(
                "",
                format!("the configuration is larger than {limit} MiB: split it"),
            ));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::Object(Vec::new()));
        }
        // A serialized Struct starts with field 1, wire type 2 (0x0a), which is
        // also a line feed: text that parses as JSON is taken as JSON.
        match serde_json::from_slice(bytes) {
            Ok(node) => Ok(node),
            Err(_) if bytes.first() == Some(&0x0a) && protobuf_struct::is_struct(bytes) => {
                protobuf_struct::decode(bytes)
            }
            Err(error) => Err(Problem::new("", json_error(&error))),
        }
    }

    /// What kind of value this is, with an article, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

fn json_error(error: &serde_json::Error) -> String {
    format!("is not valid JSON: {error}")
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(Number::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(match i64::try_from(value) {
            Ok(integer) => Number::Integer(integer),
            Err(_) => Number::Double(value as f64),
        }))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(Number::Double(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = map.next_entry()? {
            object.push(entry);
        }
        Ok(Node::Object(object))
    }
}
