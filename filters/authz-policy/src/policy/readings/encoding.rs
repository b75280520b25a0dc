//! Percent-encoding, `%uXXXX` and overlong UTF-8: undone once, or until nothing
//! is left of them.

pub(crate) fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The escape that `text` starts with: what it stands for, and its length.
fn escape(text: &[u8]) -> Option<(Escaped, usize)> {
    match text {
        [b'%', b'u' | b'U', digits @ ..] => {
            let mut code = 0;
            for &digit in digits.get(..4)? {
                code = code << 4 | u16::from(hex(digit)?);
            }
            Some((Escaped::Character(code), 6))
        }
        [b'%', high, low, ..] => Some((Escaped::Byte(hex(*high)? << 4 | hex(*low)?), 3)),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Escaped {
    Byte(u8),
    /// A UTF-16 unit, as `%uXXXX` has it.
    Character(u16),
}

impl Escaped {
    /// The byte, when it is one by itself.
    fn byte(self) -> Option<u8> {
        match self {
            Self::Byte(byte) => Some(byte),
            Self::Character(code) => u8::try_from(code).ok().filter(u8::is_ascii),
        }
    }

    fn push(self, out: &mut Vec<u8>) {
        match self {
            Self::Byte(byte) => out.push(byte),
            Self::Character(code) => push_character(code, out),
        }
    }
}

/// Appends a character below U+10000 as UTF-8.
pub(super) fn push_character(code: u16, out: &mut Vec<u8>) {
    let low = |bits: u16| (bits & 0x3f) as u8 | 0x80;
    match code {
        0..=0x7f => out.push(code as u8),
        0x80..=0x7ff => out.extend([(code >> 6) as u8 | 0xc0, low(code)]),
        _ => out.extend([(code >> 12) as u8 | 0xe0, low(code >> 6), low(code)]),
    }
}

/// The ASCII character that `text` starts with in overlong UTF-8, and its
/// length.
fn overlong(text: &[u8]) -> Option<(u8, usize)> {
    let (head, tail) = text.split_first()?;
    let (lead, length) = match (head, tail) {
        (0xc0 | 0xc1, _) => (*head, 2),
        (0xe0, [lead @ (0x80 | 0x81), ..]) => (*lead, 3),
        (0xf0, [0x80, lead @ (0x80 | 0x81), ..]) => (*lead, 4),
        _ => return None,
    };
    match text.get(length - 1) {
        Some(last @ 0x80..=0xbf) => Some(((lead & 1) << 6 | (last & 0x3f), length)),
        _ => None,
    }
}

/// Which escapes a decoder undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// `%XX`
    Plain,
    /// `%uXXXX` too.
    Unicode,
    /// All but those of a slash or backslash.
    NoSlashes,
}

/// One level of escapes undone. None when there is nothing to undo.
pub(super) fn decoded(text: &[u8], decoder: Decoder) -> Option<Vec<u8>> {
    if !text.contains(&b'%') {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let found = escape(rest).filter(|(escaped, _)| match decoder {
            Decoder::Plain => matches!(escaped, Escaped::Byte(_)),
            Decoder::Unicode => true,
            Decoder::NoSlashes => !matches!(escaped.byte(), Some(b'/' | b'\\')),
        });
        rest = match found {
            Some((escaped, length)) => {
                escaped.push(&mut out);
                rest.get(length..).unwrap_or(&[])
            }
            None => {
                out.push(first);
                tail
            }
        };
    }
    (out.len() != text.len()).then_some(out)
}

/// Overlong UTF-8 read as the ASCII that it spells.
pub(super) fn shortened(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_ascii() {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, after) = match overlong(rest) {
            Some((byte, length)) => (byte, rest.get(length..).unwrap_or(&[])),
            None => (first, tail),
        };
        out.push(byte);
        rest = after;
    }
    (out.len() != text.len()).then_some(out)
}

/// Whether a byte shapes a path: ends a segment or the path, makes a segment
/// special, or starts an escape.
fn shapes(byte: u8) -> bool {
    matches!(
        byte,
        b'/' | b'\\' | b'.' | b';' | b'%' | b'?' | b'#' | 0..0x20 | 0x7f
    )
}

/// All encodings undone until none is left, and whether that uncovered a byte
/// that shapes a path. One pass: what is undone may complete an escape that
/// began before it. The rules overlap nowhere, so their order does not matter.
pub(crate) fn unwrapped(text: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(text.len());
    let mut uncovered = false;
    for &byte in text {
        out.push(byte);
        while let Some((length, escaped)) = last_escape(&out) {
            out.truncate(out.len() - length);
            escaped.push(&mut out);
            uncovered |= escaped.byte().is_some_and(shapes);
        }
    }
    (out, uncovered)
}

/// The escape or overlong character that `text` ends with.
fn last_escape(text: &[u8]) -> Option<(usize, Escaped)> {
    let ending = |length: usize| text.get(text.len().checked_sub(length)?..);
    for length in [3, 6] {
        let found = ending(length).and_then(escape);
        if let Some((escaped, found)) = found
            && found == length
        {
            return Some((length, escaped));
        }
    }
    for length in [2, 3, 4] {
        if let Some((byte, found)) = ending(length).and_then(overlong)
            && found == length
        {
            return Some((length, Escaped::Byte(byte)));
        }
    }
    None
}
