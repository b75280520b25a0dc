//! What of a configuration makes an experiment.

use meshpack_sdk::config::{Node, Number};

use crate::policy::assign::siphash;
use crate::policy::push_text;

/// Digest of a `match` as written.
pub(super) fn digest(node: Option<&Node>) -> u64 {
    let mut bytes = Vec::new();
    if let Some(node) = node {
        push_node(&mut bytes, node);
    }
    siphash([0, 0], &bytes)
}

fn push_node(bytes: &mut Vec<u8>, node: &Node) {
    match node {
        Node::Null => bytes.push(0),
        Node::Bool(bit) => bytes.extend_from_slice(&[1, u8::from(*bit)]),
        Node::Number(number) => {
            let number = match number {
                Number::Integer(number) => *number as f64,
                Number::Double(number) => *number,
            };
            bytes.push(2);
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        Node::String(text) => {
            bytes.push(3);
            push_text(bytes, text);
        }
        Node::List(items) => {
            bytes.push(4);
            bytes.extend_from_slice(&(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| push_node(bytes, item));
        }
        Node::Object(entries) => {
            bytes.push(5);
            bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes());
            for (key, value) in entries {
                push_text(bytes, key);
                push_node(bytes, value);
            }
        }
    }
}
