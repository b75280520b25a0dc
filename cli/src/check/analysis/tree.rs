//! Looking into a configuration whose shape its filter has already accepted.

use meshpack_sdk::config::{Node, Number};

/// What is not there is null.
static NULL: Node = Node::Null;

/// The value under `key`; null if there is none.
pub(super) fn get<'n>(node: &'n Node, key: &str) -> &'n Node {
    let Node::Object(entries) = node else {
        return &NULL;
    };
    entries
        .iter()
        .find(|(name, _)| name == key)
        .map_or(&NULL, |(_, value)| value)
}

/// Whether there is something.
pub(super) fn is_given(node: &Node) -> bool {
    *node != Node::Null
}

/// The items of a list.
pub(super) fn items(node: &Node) -> &[Node] {
    match node {
        Node::List(items) => items,
        _ => &[],
    }
}

/// The entries of an object.
pub(super) fn entries(node: &Node) -> &[(String, Node)] {
    match node {
        Node::Object(entries) => entries,
        _ => &[],
    }
}

/// The text of a string.
pub(super) fn text(node: &Node) -> Option<&str> {
    match node {
        Node::String(text) => Some(text),
        _ => None,
    }
}

/// The strings of a list.
pub(super) fn texts(node: &Node) -> Vec<&str> {
    items(node).iter().filter_map(text).collect()
}

/// A number.
pub(super) fn number(node: &Node) -> Option<f64> {
    match node {
        Node::Number(Number::Integer(number)) => Some(*number as f64),
        Node::Number(Number::Double(number)) => Some(*number),
        _ => None,
    }
}
