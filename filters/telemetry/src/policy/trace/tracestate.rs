//! `tracestate` (W3C Trace Context, "tracestate Header").
//!
//! Keys follow the grammar of the recommendation's main branch, the most
//! permissive of its versions: `[0-9a-z][_0-9a-z\-*/@]{0,255}`.

/// Most list members; a longer list is dropped as a whole.
pub const MAX_MEMBERS: usize = 32;
/// Longest key and longest value.
const MAX_LENGTH: usize = 256;

/// Whether the headers, joined in order, hold a valid list. Empty members and
/// repeated keys are allowed.
pub fn is_valid<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut members = 0;
    for header in headers {
        for member in header.split(|b| *b == b',') {
            match trim(member) {
                [] => {}
                member if is_member(member) => members += 1,
                _ => return false,
            }
        }
    }
    members <= MAX_MEMBERS
}

fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|b| !blank(b))
        .map_or(start, |i| i + 1);
    bytes.get(start..end).unwrap_or(bytes)
}

fn is_member(member: &[u8]) -> bool {
    let Some(equals) = member.iter().position(|b| *b == b'=') else {
        return false;
    };
    match member.split_at_checked(equals) {
        Some((key, [_, value @ ..])) => is_key(key) && is_value(value),
        _ => false,
    }
}

fn is_key(key: &[u8]) -> bool {
    let begins = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let goes_on = |b: &u8| begins(b) || matches!(b, b'_' | b'-' | b'*' | b'/' | b'@');
    key.len() <= MAX_LENGTH && key.first().is_some_and(begins) && key.iter().all(goes_on)
}

/// Printable ASCII but `,` and `=`, not ending in a blank (already trimmed).
fn is_value(value: &[u8]) -> bool {
    let allowed = |b: &u8| matches!(b, 0x20..=0x7e) && !matches!(b, b',' | b'=');
    !value.is_empty() && value.len() <= MAX_LENGTH && value.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    /// The cases of the recommendation's own test suite (`test/test.py`,
    /// "TraceContextTest"), by its names.
    #[test]
    fn the_grammar_of_the_recommendation() {
        let key = |n: usize| "z".repeat(n);
        let list = |n: usize| {
            (0..n)
                .map(|i| format!("k{i}=1"))
                .collect::<Vec<_>>()
                .join(",")
        };
        for (headers, expected) in [
            // included, multiple_headers, empty_header
            (vec!["foo=1,bar=2".into()], true),
            (vec!["foo=1".into(), "bar=2".into()], true),
            (vec!["foo=1".into(), String::new()], true),
            (vec![String::new(), "foo=1".into()], true),
            // duplicated_keys: at least one is kept
            (vec!["foo=1,foo=1".into()], true),
            (vec!["foo=1,foo=2".into()], true),
            // all_allowed_characters
            (
                vec!["abcdefghijklmnopqrstuvwxyz0123456789_-*/=1".into()],
                true,
            ),
            (
                vec![format!(
                    "a={}",
                    (0x21..0x7f_u8)
                        .map(char::from)
                        .filter(|c| !",=".contains(*c))
                        .collect::<String>()
                )],
                true,
            ),
            // ows_handling
            (vec!["foo=1 \t , \t bar=2, \t baz=3".into()], true),
            (vec!["foo=1\t \t,\t \tbar=2,\t \tbaz=3".into()], true),
            (vec![" foo=1".into()], true),
            (vec!["foo=1 \t".into()], true),
            // key_illegal_characters
            (vec!["foo =1".into()], false),
            (vec!["FOO=1".into()], false),
            (vec!["foo.bar=1".into()], false),
            (vec!["@foo=1".into()], false),
            (vec!["-foo=1".into()], false),
            // multi-tenant keys
            (vec!["foo@bar=1".into()], true),
            (vec!["0foo=1".into()], true),
            // key_length_limit
            (vec![format!("{}=1", key(256))], true),
            (vec![format!("{}=1", key(257))], false),
            // member_count_limit
            (vec![list(32)], true),
            (vec![list(33)], false),
            (vec![list(20), list(13)], false),
            // values
            (vec!["foo=".into()], false),
            (vec!["foo".into()], false),
            (vec!["=1".into()], false),
            (vec!["foo=bar=baz".into()], false),
            (vec!["foo=b\u{e9}".into()], false),
            (vec!["foo=a\u{7f}".into()], false),
            (vec!["foo=a b".into()], true),
            (vec![format!("foo={}", key(256))], true),
            (vec![format!("foo={}", key(257))], false),
            (vec!["foo=1,,bar=2".into()], true),
        ] {
            let valid = is_valid(headers.iter().map(|h: &String| h.as_bytes()));
            assert_eq!(valid, expected, "{headers:?}");
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged(headers: Vec<Vec<u8>>) {
            let _ = is_valid(headers.iter().map(Vec::as_slice));
        }
    }
}
