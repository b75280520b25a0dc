//! Trees as text. Keys keep their order: the order of labels is part of a
//! metric's name, and people read what comes out.

mod yaml;

use meshpack_sdk::config::{Node, Number};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// A tree as compact JSON.
#[must_use]
pub fn text(node: &Node) -> String {
    serde_json::to_string(&Ordered(node)).unwrap_or_default()
}

/// A tree as JSON for people.
#[must_use]
pub fn pretty(node: &Node) -> String {
    serde_json::to_string_pretty(&Ordered(node)).unwrap_or_default()
}

/// A tree for [`serde_json`].
#[must_use]
pub fn value(node: &Node) -> serde_json::Value {
    serde_json::to_value(Ordered(node)).unwrap_or_default()
}

/// A tree as YAML that kubectl and Envoy read back as the same tree.
#[must_use]
pub fn yaml(node: &Node) -> String {
    yaml::document(node)
}

/// An object from its entries.
#[must_use]
pub fn object<K: Into<String>>(entries: impl IntoIterator<Item = (K, Node)>) -> Node {
    Node::Object(
        entries
            .into_iter()
            .map(|(key, node)| (key.into(), node))
            .collect(),
    )
}

/// A list from its items.
#[must_use]
pub fn list<N: Into<Node>>(items: impl IntoIterator<Item = N>) -> Node {
    Node::List(items.into_iter().map(Into::into).collect())
}

struct Ordered<'a>(&'a Node);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Node::Null => serializer.serialize_unit(),
            Node::Bool(value) => serializer.serialize_bool(*value),
            Node::Number(Number::Integer(value)) => serializer.serialize_i64(*value),
            Node::Number(Number::Double(value)) => serializer.serialize_f64(*value),
            Node::String(text) => serializer.serialize_str(text),
            Node::List(items) => serializer.collect_seq(items.iter().map(Ordered)),
            Node::Object(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, node) in entries {
                    map.serialize_entry(key, &Ordered(node))?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_read_back_as_the_same_tree() {
        let tricky = [
            "on",
            "No",
            "y",
            "n",
            "Y",
            "yes",
            "off",
            "true",
            "null",
            "~",
            "",
            " a",
            "12",
            "1e3",
            "0x10",
            "0o17",
            "1_000",
            ".5",
            "-",
            "- a",
            "a: b",
            "#a",
            "a #b",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a`",
            "'",
            "\"",
            "a\nb",
            "a\n",
            "\ta",
            "é",
            "\u{1}",
            "{a}",
            "[a]",
            "10s",
            "5xx",
            "2026-11-20",
            "<<",
            "=",
            "?",
        ];
        let values = list(tricky.map(|text| Node::String(text.to_owned())));
        let keys = object(tricky.map(|text| (text, Node::Bool(true))));
        let numbers = list([
            Node::Number(Number::Integer(-3)),
            Node::Number(Number::Double(0.25)),
            Node::Null,
        ]);
        let tree = object([("values", values), ("numbers", numbers)]);
        let text = yaml(&tree);
        let read = crate::yaml::parse(&text).unwrap();
        assert_eq!(read[0].root().node(), &tree, "{text}");
        // An empty key, and one that merges, are not for these formats.
        let Node::Object(keys) = keys else { panic!() };
        let keys = keys
            .into_iter()
            .filter(|(key, _)| !key.is_empty() && key != "<<");
        let keys = Node::Object(keys.collect());
        let text = yaml(&keys);
        assert_eq!(
            crate::yaml::parse(&text).unwrap()[0].root().node(),
            &keys,
            "{text}"
        );
    }
}
