//! Small helpers on byte strings.

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

/// Whether RE2's `.+` matches all of `text`. That is what Istio generates for
/// a lone `*` on most fields, so it takes neither the empty text, nor a line
/// feed, nor bytes outside UTF-8. RE2 reads UTF-8 loosely here: overlong and
/// surrogate sequences pass (its `Add_80_10ffff`).
pub(crate) fn is_dots(text: &[u8]) -> bool {
    if text.is_empty() {
        return false;
    }
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let follow = match first {
            b'\n' => return false,
            0x00..=0x7f => 0,
            0xc2..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            _ => return false,
        };
        let Some((continuation, after)) = tail.split_at_checked(follow) else {
            return false;
        };
        if !continuation.iter().all(|b| (0x80..=0xbf).contains(b)) {
            return false;
        }
        rest = after;
    }
    true
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
    use super::{find, find_all, is_dots, printable, trim};

    #[test]
    fn dots_take_neither_nothing_nor_line_feeds_nor_broken_utf8() {
        for (text, expected) in [
            (&b""[..], false),
            (b"a", true),
            (b"a\nb", false),
            (b"a\rb\0", true),
            (b"\xff", false),
            (b"\xc3\xa9", true),
            (b"\xc3", false),
            (b"\xe2\x82\xac", true),
            (b"\xf0\x9f\x98\x80", true),
            (b"\x80", false),
        ] {
            assert_eq!(is_dots(text), expected, "{text:?}");
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
