use std::time::Duration;

use super::time::{parse_duration, parse_timestamp};
use super::{Node, Number, Problem, Value, parse};

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn problems_of(text: &str, read: impl FnOnce(Value<'_>) -> Option<()>) -> Vec<String> {
    parse(text.as_bytes(), read).map_or_else(|p| lines(&p), |()| Vec::new())
}

#[test]
fn all_problems_are_reported_with_their_paths() {
    let found = problems_of(
        r#"{"a": [{"b": 1}, {"b": "x", "c.d": 2}], "a": 3}"#,
        |value| {
            let mut fields = value.object()?;
            fields.get("a")?.list_of(|item| {
                let mut fields = item.object()?;
                fields.required("b")?.string().map(|_| ())
            })?;
            Some(())
        },
    );
    assert_eq!(
        found,
        [
            "a[0].b: is a number, must be a string",
            "a[1][\"c.d\"]: unknown key; known keys here: b",
            "a: stands more than once: keep one",
        ]
    );
}

#[test]
fn broken_json_says_where() {
    let found = problems_of("{\"a\": \n tru}", |_| Some(()));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("line 2 column"), "{found:?}");
}

#[test]
fn empty_configuration_is_an_empty_object() {
    assert_eq!(
        Node::from_plugin_configuration(b" \n"),
        Ok(Node::Object(vec![]))
    );
}

#[test]
fn deep_nesting_is_an_error_not_a_stack_overflow() {
    let text = "[".repeat(100_000);
    assert!(Node::from_plugin_configuration(text.as_bytes()).is_err());
    let mut bytes = Vec::new();
    for _ in 0..5_000 {
        let mut outer = vec![0x32];
        let inner = {
            let mut list = vec![0x0a];
            push_varint(&mut list, bytes.len());
            list.extend_from_slice(&bytes);
            list
        };
        push_varint(&mut outer, inner.len());
        outer.extend_from_slice(&inner);
        bytes = outer;
    }
    let message = entry("a", &bytes);
    assert!(Node::from_plugin_configuration(&message).is_err());
}

fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn entry(key: &str, value: &[u8]) -> Vec<u8> {
    let mut inner = vec![0x0a];
    push_varint(&mut inner, key.len());
    inner.extend_from_slice(key.as_bytes());
    inner.push(0x12);
    push_varint(&mut inner, value.len());
    inner.extend_from_slice(value);
    let mut out = vec![0x0a];
    push_varint(&mut out, inner.len());
    out.extend_from_slice(&inner);
    out
}

#[test]
fn a_protobuf_struct_reads_like_its_json() {
    let mut number = vec![0x11];
    number.extend_from_slice(&20.0_f64.to_le_bytes());
    let mut message = entry("percent", &number);
    message.extend(entry("name", &[0x1a, 2, b'a', b'b']));
    message.extend(entry("on", &[0x20, 1]));
    message.extend(entry("list", &[0x32, 4, 0x0a, 2, 0x08, 0]));
    assert_eq!(
        Node::from_plugin_configuration(&message),
        Ok(Node::Object(vec![
            ("list".into(), Node::List(vec![Node::Null])),
            ("name".into(), Node::String("ab".into())),
            ("on".into(), Node::Bool(true)),
            ("percent".into(), Node::Number(Number::Integer(20))),
        ]))
    );
}

#[test]
fn durations_have_units_and_are_exact() {
    let ms = Duration::from_millis;
    for (text, expected) in [
        ("250ms", ms(250)),
        ("10s", ms(10_000)),
        ("5m", ms(300_000)),
        ("1h30m", ms(5_400_000)),
        ("1.5s", ms(1_500)),
        ("0s", ms(0)),
    ] {
        assert_eq!(parse_duration(text), Some(expected), "{text}");
    }
    for text in [
        "",
        "10",
        "s",
        "-1s",
        "1 s",
        "1d",
        "1.2.3s",
        "999999999999999999999999h",
    ] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn timestamps_follow_rfc_3339() {
    let s = Duration::from_secs;
    for (text, expected) in [
        ("1970-01-01T00:00:00Z", s(0)),
        ("2026-11-20T10:00:00Z", s(1_795_168_800)),
        ("2026-11-20T11:30:00+01:30", s(1_795_168_800)),
        (
            "2024-02-29T00:00:00.5Z",
            Duration::from_millis(1_709_164_800_500),
        ),
    ] {
        assert_eq!(parse_timestamp(text), Some(expected), "{text}");
    }
    for text in [
        "2026-11-20",
        "2026-13-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2026-11-20T10:00:00",
        "2026-11-20T24:00:00Z",
        "1969-12-31T23:59:59Z",
    ] {
        assert_eq!(parse_timestamp(text), None, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_parse_or_fail_without_a_panic(bytes: Vec<u8>) {
        let _ = Node::from_plugin_configuration(&bytes);
        let mut as_struct = vec![0x0a];
        as_struct.extend(bytes);
        let _ = Node::from_plugin_configuration(&as_struct);
    }
}
