//! What makes a split the experiment that it is.

use meshpack_sdk::config::{Node, Number};

use super::{AbortConfig, Split};
use crate::policy::assign::siphash;

impl Split {
    /// Tells experiments apart: those of one identity share their abort, in all
    /// workers, listeners and configurations of a proxy, and others touch nothing
    /// of it. It covers who is asked (`match`), who goes where (salt, secret,
    /// hash, the names of the arms that abort compares) and by which header.
    ///
    /// Weights, keys and limits may change without giving a bad canary a new
    /// chance.
    #[must_use]
    pub fn identity(&self, steering: &str, abort: &AbortConfig) -> u64 {
        let arm = |at: usize| self.arms.get(at).map_or("", String::as_str);
        let mut bytes = self.traffic.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.salt.fingerprint().to_le_bytes());
        bytes.push(self.hash as u8);
        for text in [
            &self.name,
            self.salt.text(),
            arm(abort.arm),
            arm(abort.baseline),
            steering,
        ] {
            push(&mut bytes, text);
        }
        siphash([0, 0], &bytes)
    }
}

/// Digest of a `match` as written.
pub(super) fn digest(node: Option<&Node>) -> u64 {
    let mut bytes = Vec::new();
    if let Some(node) = node {
        push_node(&mut bytes, node);
    }
    siphash([0, 0], &bytes)
}

fn push(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
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
            push(bytes, text);
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
                push(bytes, key);
                push_node(bytes, value);
            }
        }
    }
}
