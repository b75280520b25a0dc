//! Small helpers on byte strings.

use super::value::Tri;

/// Position of the first `needle` in `text`.
pub(crate) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    text.windows(needle.len()).position(|part| part == needle)
}

/// Each position of `needle` in `text`, overlapping ones included.
pub(crate) fn find_all<'a>(
    text: &'a [u8],
    needle: &'a [u8],
) -> impl Iterator<Item = usize> + use<'a> {
    text.windows(needle.len().max(1))
        .enumerate()
        .filter(move |(_, part)| *part == needle)
        .map(|(at, _)| at)
}

/// Without leading and trailing spaces and tabs, HTTP's optional white space.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let Some(start) = text.iter().position(|b| !blank(b)) else {
        return &[];
    };
    let end = text.iter().rposition(|b| !blank(b)).map_or(0, |at| at + 1);
    text.get(start..end).unwrap_or(&[])
}

/// Whether RE2's `.+` matches all of `text`, byte by byte as Envoy's RBAC reads
/// it. That is what Istio generates for a lone `*` on most fields, where it is to
/// mean "not empty". It takes no line feed, which nobody meant: unknown.
pub(crate) fn dots(text: &[u8]) -> Tri {
    match text {
        [] => Tri::No,
        text if text.contains(&b'\n') => Tri::Unknown,
        _ => Tri::Yes,
    }
}

/// [`dots`] of a text that can hold no line feed.
pub(crate) fn is_dots(text: &[u8]) -> bool {
    dots(text) != Tri::No
}

/// `text` for logs and headers: printable ASCII, everything else escaped, cut
/// at `limit` bytes of input.
pub(crate) fn printable(text: &[u8], limit: usize) -> String {
    let shown = text.get(..limit).unwrap_or(text);
    let mut out: String = shown.escape_ascii().to_string();
    if shown.len() < text.len() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Tri, dots, find, find_all, printable, trim};

    #[test]
    fn dots_take_any_bytes_but_neither_nothing_nor_surely_a_line_feed() {
        for (text, expected) in [
            (&b""[..], Tri::No),
            (b"a", Tri::Yes),
            (b"a\nb", Tri::Unknown),
            (b"\n", Tri::Unknown),
            (b"a\rb\0", Tri::Yes),
            (b"\xff", Tri::Yes),
            (b"\xc3\xa9", Tri::Yes),
            (b"\xc3", Tri::Yes),
            (b"\x80", Tri::Yes),
        ] {
            assert_eq!(dots(text), expected, "{text:?}");
        }
    }

    #[test]
    fn searching_finds_overlapping_places() {
        assert_eq!(find(b"xaab", b"aa"), Some(1));
        assert_eq!(find(b"x", b"aa"), None);
        assert_eq!(find_all(b"aaa", b"aa").collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn trimming_keeps_inner_blanks() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b"  "), b"");
    }

    #[test]
    fn control_bytes_never_reach_a_log_line() {
        assert_eq!(printable(b"a\r\nb\xff", 10), "a\\r\\nb\\xff");
        assert_eq!(printable(b"abcdef", 3), "abc...");
    }
}
