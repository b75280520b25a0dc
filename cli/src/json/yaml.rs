//! Writing YAML that every reader takes for the same tree.
//!
//! kubectl and Envoy read YAML 1.1, in which `on` and `no` are booleans, and
//! dates are dates; serde's YAML writers think of 1.2 and leave such strings
//! without quotes.

use std::fmt::Write as _;

use meshpack_sdk::config::{Node, Number};

/// A tree in block style, with a line feed at its end.
pub(super) fn document(node: &Node) -> String {
    let mut out = String::new();
    write(&mut out, node, 0);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Writes a value that begins a line at `indent`, or stands behind its key.
fn write(out: &mut String, node: &Node, indent: usize) {
    match node {
        Node::List(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    pad(out, indent);
                }
                out.push_str("- ");
                write(out, item, indent + 2);
                end_line(out);
            }
        }
        Node::Object(entries) if !entries.is_empty() => {
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    pad(out, indent);
                }
                out.push_str(&one_line(key));
                out.push(':');
                below(out, value, indent);
                end_line(out);
            }
        }
        Node::String(text) if is_block(text) => block(out, text, indent),
        other => out.push_str(&scalar(other)),
    }
}

/// Writes a value behind its key.
fn below(out: &mut String, value: &Node, indent: usize) {
    let nested = match value {
        Node::List(items) if !items.is_empty() => Some(indent),
        Node::Object(entries) if !entries.is_empty() => Some(indent + 2),
        _ => None,
    };
    match nested {
        Some(indent) => {
            out.push('\n');
            pad(out, indent);
            write(out, value, indent);
        }
        None => {
            out.push(' ');
            write(out, value, indent + 2);
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn end_line(out: &mut String) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

fn scalar(node: &Node) -> String {
    match node {
        Node::Null => "null".to_owned(),
        Node::Bool(value) => value.to_string(),
        Node::Number(Number::Integer(value)) => value.to_string(),
        Node::Number(Number::Double(_)) => super::text(node),
        Node::String(text) => one_line(text),
        Node::List(_) => "[]".to_owned(),
        Node::Object(_) => "{}".to_owned(),
    }
}

/// A text without quotes where nobody could take it for something else.
fn one_line(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else {
        super::text(&Node::String(text.to_owned()))
    }
}

fn is_plain(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '/' || c == '_';
    let rest = |c: char| c.is_ascii_alphanumeric() || "/_.-@,%+ ".contains(c) || c == ':';
    let starts_well = text.starts_with(first) || is_duration(text);
    starts_well
        && text.chars().all(rest)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && crate::yaml::plain(text) == Node::String(text.to_owned())
}

/// `10s`, `250ms`, `5xx`: the only texts with a digit first that need no quotes.
fn is_duration(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < text.len() && ["ms", "s", "m", "h", "xx"].contains(&unit)
}

/// Whether a text is for people to read line by line: JSON in a string.
fn is_block(text: &str) -> bool {
    let shown = |c: char| c == '\n' || (!c.is_control() && c != '\u{feff}');
    text.contains('\n')
        && text.chars().all(shown)
        && !text.starts_with([' ', '\n'])
        && !text.ends_with('\n')
        && text.lines().all(|line| !line.ends_with(' '))
}

fn block(out: &mut String, text: &str, indent: usize) {
    out.push_str("|-\n");
    for line in text.lines() {
        if !line.is_empty() {
            pad(out, indent);
            let _ = write!(out, "{line}");
        }
        out.push('\n');
    }
}
