//! Text that somebody else wrote, on its way into a log.
//!
//! A log is read in terminals, by line and by eye. So what acts instead of being
//! shown is escaped, also beyond ASCII: C1 controls (0x9B begins a terminal
//! sequence as ESC [ does), the line ends U+0085, U+2028 and U+2029, the marks that
//! turn the direction of writing, and characters that take no place at all.

use std::fmt::Write as _;

/// Whether a character acts on a terminal, a line or the text around it instead of
/// being shown: Unicode's categories Cc, Zl and Zp, and of Cf those that order,
/// join, hide or tag.
#[must_use]
pub const fn acts(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f'
        | '\x7f'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Whether all of a text is printable ASCII, as nearly every line is.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|b| matches!(b, b' '..=b'~'))
}

/// A line for a log: what [`acts`] is written as `\u{9b}`.
#[cold]
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if acts(c) {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        } else {
            out.push(c);
        }
    }
    out
}

/// A line for a log, see [`escaped`].
#[must_use]
pub fn one_line(text: String) -> String {
    if is_plain(text.as_bytes()) {
        text
    } else {
        escaped(&text)
    }
}

/// Bytes as text: each byte that is not UTF-8 becomes `\xff`, so that a reader sees
/// which it was.
#[must_use]
pub fn from_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Appends a JSON string, quotes included, in which nothing [`acts`]; its
/// value is the text as it is.
pub fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        let mut units = [0; 2];
        match c {
            _ if acts(c) => {
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
                continue;
            }
            '"' | '\\' => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::{acts, from_bytes, one_line, push_json};

    /// What a terminal, a pager or an editor would act on, of each range its ends.
    const ACTING: &[char] = &[
        '\0',
        '\x07',
        '\x08',
        '\n',
        '\r',
        '\x1b',
        '\x1f',
        '\x7f',
        '\u{80}',
        '\u{85}',
        '\u{90}',
        '\u{9b}',
        '\u{9d}',
        '\u{9f}',
        '\u{ad}',
        '\u{61c}',
        '\u{180e}',
        '\u{200b}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202e}',
        '\u{2060}',
        '\u{2066}',
        '\u{2069}',
        '\u{206f}',
        '\u{feff}',
        '\u{fff9}',
        '\u{fffb}',
        '\u{e0001}',
        '\u{e0020}',
        '\u{e007f}',
    ];

    #[test]
    fn what_acts_is_known_and_what_is_read_is_left_alone() {
        for c in ACTING {
            assert!(acts(*c), "{c:?}");
        }
        for c in " ~é\u{a0}ß→日本語עברית😀\u{fffd}".chars() {
            assert!(!acts(c), "{c:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_can_be_read() {
        for (bytes, expected) in [
            (&b"\xff\xfea"[..], "\\xff\\xfea"),
            (b"\xc3\xa9\xc3", "é\\xc3"),
            (b"\x9b31m", "\\x9b31m"),
            (b"", ""),
        ] {
            assert_eq!(from_bytes(bytes), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_acts(parts: Vec<(String, u8)>) {
            let text: String = parts
                .into_iter()
                .flat_map(|(text, n)| text.chars().chain([ACTING[n as usize % ACTING.len()]]).collect::<Vec<_>>())
                .collect();
            let line = one_line(text.clone());
            proptest::prop_assert!(!line.contains(acts), "{line:?}");
            let mut json = String::new();
            push_json(&mut json, &text);
            proptest::prop_assert!(!json.contains(acts), "{json:?}");
            let read: String = serde_json::from_str(&json).unwrap();
            proptest::prop_assert_eq!(read, text);
        }
    }
}
