//! What a plain scalar means.

use meshpack_sdk::config::{Node, Number};

/// Reads a plain scalar as kubectl and Envoy do: YAML 1.1 booleans, decimal,
/// `0x` and `0o` integers, floats; everything else is a string.
pub(crate) fn plain(text: &str) -> Node {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Node::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
            return Node::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
            return Node::Bool(false);
        }
        _ => {}
    }
    match number(text) {
        Some(number) => Node::Number(number),
        None => Node::String(text.to_owned()),
    }
}

fn number(text: &str) -> Option<Number> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let radix = match digits.get(..2) {
        Some("0x") => Some(16),
        Some("0o") => Some(8),
        _ => None,
    };
    if let Some(radix) = radix {
        let digits = digits.get(2..)?;
        let value = i64::from_str_radix(digits, radix).ok()?;
        return (!digits.starts_with(['+', '-'])).then_some(Number::Integer(sign * value));
    }
    if digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(value) = text.trim_start_matches('+').parse()
    {
        return Some(Number::Integer(value));
    }
    let written_as_float = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value: f64 = written_as_float.then(|| text.parse().ok())??;
    value.is_finite().then_some(Number::Double(value))
}
