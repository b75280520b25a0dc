//! What servers do to a path, one rewriting each: the path after it, or none
//! when there is nothing for it to do.

use super::encoding::{Decoder, decoded, shortened, unwrapped};
use super::fold::folded;

/// One rewriting.
pub(super) type Step = fn(&[u8]) -> Option<Vec<u8>>;

/// Everything that servers are known to do before they look a path up.
pub(super) const PATH: &[Step] = &[
    |path| decoded(path, Decoder::Plain),
    |path| decoded(path, Decoder::Unicode),
    // So that an encoded slash parts no segments.
    |path| decoded(path, Decoder::NoSlashes),
    shortened,
    without_parameters,
    |path| cut(path, b'?'),
    |path| cut(path, b'#'),
    |path| cut(path, 0),
    |path| replaced(path, b'\\', b'/'),
    |path| replaced(path, b'+', b' '),
    without_dots,
    merged,
    behind_authority,
    without_controls,
    without_tail,
    climbed,
];

/// What is done to the names of parameters and cookies; PHP takes `role[]` for
/// `role`, and knows no dots and blanks in them.
pub(super) const NAME: &[Step] = &[
    |text| decoded(text, Decoder::Plain),
    |text| decoded(text, Decoder::Unicode),
    shortened,
    |text| replaced(text, b'+', b' '),
    |text| cut(text, 0),
    |text| cut(text, b'['),
    |text| replaced(text, b'.', b'_'),
    |text| replaced(text, b' ', b'_'),
];

/// What is done to the values of a query.
pub(super) const QUERY: &[Step] = &[
    |text| decoded(text, Decoder::Plain),
    |text| decoded(text, Decoder::Unicode),
    shortened,
    |text| replaced(text, b'+', b' '),
    |text| cut(text, 0),
];

/// What is done to the values of cookies.
pub(super) const COOKIE: &[Step] = &[
    |text| decoded(text, Decoder::Plain),
    |text| decoded(text, Decoder::Unicode),
    shortened,
    |text| replaced(text, b'+', b' '),
    |text| cut(text, 0),
    |text| without(text, |byte| byte == b'"'),
    without_quotes,
    without_backslashes,
];

fn replaced(text: &[u8], from: u8, to: u8) -> Option<Vec<u8>> {
    text.contains(&from).then(|| {
        text.iter()
            .map(|&byte| if byte == from { to } else { byte })
            .collect()
    })
}

pub(super) fn cut(text: &[u8], at: u8) -> Option<Vec<u8>> {
    let end = text.iter().position(|&byte| byte == at)?;
    Some(text.get(..end)?.to_vec())
}

fn without(text: &[u8], drop: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
    if !text.iter().any(|&byte| drop(byte)) {
        return None;
    }
    Some(text.iter().copied().filter(|&byte| !drop(byte)).collect())
}

/// `;name=value` up to the next slash.
fn without_parameters(path: &[u8]) -> Option<Vec<u8>> {
    let mut parameter = false;
    path.contains(&b';').then(|| {
        let kept = path.iter().copied().filter(|&byte| {
            parameter = byte == b';' || (parameter && byte != b'/');
            !parameter
        });
        kept.collect()
    })
}

/// Segments that are a dot; slashes stay as many as they are.
fn without_dots(path: &[u8]) -> Option<Vec<u8>> {
    if !path.windows(2).any(|pair| pair == b"/.") {
        return None;
    }
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    loop {
        rest = match rest {
            [b'/', b'.'] => {
                out.push(b'/');
                &[]
            }
            [b'/', b'.', after @ ..] if after.first() == Some(&b'/') => after,
            [first, after @ ..] => {
                out.push(*first);
                after
            }
            [] => break,
        };
    }
    (out.len() != path.len()).then_some(out)
}

/// Slashes one by one, and none at the end.
pub(super) fn merged(path: &[u8]) -> Option<Vec<u8>> {
    if !path.ends_with(b"/") && !path.windows(2).any(|pair| pair == b"//") {
        return None;
    }
    let mut out = Vec::with_capacity(path.len());
    for &byte in path {
        if byte != b'/' || out.last() != Some(&b'/') {
            out.push(byte);
        }
    }
    if out.len() > 1 && out.last() == Some(&b'/') {
        out.pop();
    }
    (out.len() != path.len()).then_some(out)
}

/// What follows `//authority` or `scheme://authority`. However many slashes
/// there are in front: a URL parser takes all of them.
fn behind_authority(path: &[u8]) -> Option<Vec<u8>> {
    let start = path.iter().position(|&byte| byte == b'/')?;
    let (scheme, rest) = path.split_at_checked(start)?;
    if !matches!(scheme, [] | [.., b':']) || !rest.starts_with(b"//") {
        return None;
    }
    let host = rest.iter().position(|&byte| byte != b'/')?;
    let rest = rest.get(host..)?;
    let end = rest.iter().position(|&byte| byte == b'/');
    Some(end.and_then(|end| rest.get(end..)).unwrap_or(b"/").to_vec())
}

/// Tabs, line ends and the like: URL parsers drop them.
fn without_controls(path: &[u8]) -> Option<Vec<u8>> {
    without(path, |byte| byte < b' ' || byte == 0x7f)
}

/// Dots and blanks at the end.
fn without_tail(path: &[u8]) -> Option<Vec<u8>> {
    let end = path.iter().rposition(|byte| !matches!(byte, b'.' | b' '))? + 1;
    (end < path.len()).then(|| path.get(..end).map(<[u8]>::to_vec))?
}

/// The first segment that climbs, done: gone with the one before it.
fn climbed(path: &[u8]) -> Option<Vec<u8>> {
    if !path.windows(3).any(|part| part == b"/..") {
        return None;
    }
    let mut out: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|&byte| byte == b'/');
    while let Some(segment) = segments.next() {
        if segment != b".." {
            out.push(segment);
            continue;
        }
        if out.len() > 1 {
            out.pop();
        }
        out.extend(segments);
        let mut path = out.join(&b'/');
        if path.is_empty() {
            path.push(b'/');
        }
        return Some(path);
    }
    None
}

/// Without the first and last character of what starts with a quote, as Node's
/// parser takes them.
fn without_quotes(text: &[u8]) -> Option<Vec<u8>> {
    let inner = text.strip_prefix(b"\"")?;
    Some(
        inner
            .split_last()
            .map_or(&[][..], |(_, rest)| rest)
            .to_vec(),
    )
}

/// `\141` is `a` and `\x` is `x`, as Python's parser reads quoted values.
fn without_backslashes(text: &[u8]) -> Option<Vec<u8>> {
    if !text.contains(&b'\\') {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = |digit: &u8| digit.is_ascii_digit().then(|| digit & 7);
        let (byte, after) = match (first, tail) {
            (b'\\', [a, b, c, after @ ..])
                if [a, b, c].iter().all(|digit| (b'0'..=b'7').contains(*digit)) =>
            {
                let digits = [a, b, c].into_iter().filter_map(octal);
                (digits.fold(0, |sum: u8, digit| sum << 3 | digit), after)
            }
            (b'\\', [escaped, after @ ..]) => (*escaped, after),
            _ => (first, tail),
        };
        out.push(byte);
        rest = after;
    }
    (out.len() != text.len()).then_some(out)
}

/// How a segment climbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Climb {
    /// It is `..`, as every server reads it.
    Plain,
    /// To some servers, with a parameter or a blank or the like.
    Hidden,
}

/// Whether some reading of a path, all of whose encodings are undone, may have
/// a segment that climbs. Looks at everything that may part segments or end
/// one; what may be dropped is dropped.
pub(super) fn climbs(unwrapped: &[u8]) -> Option<Climb> {
    unwrapped
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .filter_map(|segment| {
            let mut dots = 0;
            for &byte in segment {
                match byte {
                    b';' | b'?' | b'#' | 0 => break,
                    0..=b' ' | 0x7f => {}
                    b'.' => dots += 1,
                    _ => return None,
                }
            }
            let climb = if segment == b".." {
                Climb::Plain
            } else {
                Climb::Hidden
            };
            (dots == 2).then_some(climb)
        })
        .max()
}

/// A path of a policy as readings have it: encodings undone, lower case, no
/// empty segments and none that are a dot. With `open` the last segment may go
/// on, so it stays as it is.
pub(crate) fn clean(path: &[u8], open: bool) -> Vec<u8> {
    let mut path = folded(&unwrapped(path).0);
    // The last segment of a prefix is but a part of one.
    let last = path.iter().rposition(|&byte| byte == b'/').filter(|_| open);
    let tail = last.map_or_else(Vec::new, |at| path.split_off(at));
    for step in [without_dots, merged] {
        path = step(&path).unwrap_or(path);
    }
    if path == b"/" && !tail.is_empty() {
        path.clear();
    }
    path.extend_from_slice(&tail);
    path
}
