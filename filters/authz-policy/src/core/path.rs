//! Paths: as Envoy's RBAC reads them, and in a canonical form that a lenient
//! upstream might arrive at.

use std::fmt;

use meshpack_sdk::matching::{PathTemplate, TextMatch};

use super::bytes::is_dots;
use super::model::Compare;

/// The path without query and fragment: cut at the first `?` or `#`, as RBAC
/// cuts it.
#[must_use]
pub fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|&b| b == b'?' || b == b'#');
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// The query: what stands between the first `?` and the fragment.
#[must_use]
pub fn query(path: &[u8]) -> &[u8] {
    let fragment = path.iter().position(|&b| b == b'#');
    let path = fragment.and_then(|end| path.get(..end)).unwrap_or(path);
    let start = path.iter().position(|&b| b == b'?');
    start.and_then(|at| path.get(at + 1..)).unwrap_or(&[])
}

/// How often percent-encoding is undone: `%252541` needs three rounds.
const DECODING_ROUNDS: usize = 4;

/// The path as the most lenient upstream would understand it: percent-encoding
/// undone repeatedly, overlong UTF-8 read, backslashes as slashes, repeated
/// slashes merged, `;parameters` dropped, dot segments resolved, lower case,
/// no trailing slash. Only matched on, never forwarded.
#[must_use]
pub fn canonical(path: &[u8]) -> Vec<u8> {
    let mut text = without_query(path).to_vec();
    for _ in 0..DECODING_ROUNDS {
        if !decode(&mut text) {
            break;
        }
    }
    let end = text.iter().position(|b| matches!(b, b'?' | b'#' | 0));
    text.truncate(end.unwrap_or(text.len()));
    text.make_ascii_lowercase();
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in text.split(|&b| b == b'/' || b == b'\\') {
        let name = segment.split(|&b| b == b';').next().unwrap_or(&[]);
        match name {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    let mut out = Vec::with_capacity(text.len() + 1);
    for segment in segments {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

/// Undoes one level of percent-encoding and of overlong UTF-8; false when
/// there was nothing to undo.
fn decode(text: &mut Vec<u8>) -> bool {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_slice();
    let mut changed = false;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, after) = match (first, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (first, tail),
            },
            (0xc0 | 0xc1, [next @ 0x80..=0xbf, after @ ..]) => {
                ((first & 1) << 6 | (next & 0x3f), after)
            }
            (0xe0, [middle @ 0x80..=0x81, last @ 0x80..=0xbf, after @ ..]) => {
                ((middle & 1) << 6 | (last & 0x3f), after)
            }
            _ => (first, tail),
        };
        changed |= after.len() != tail.len();
        out.push(byte);
        rest = after;
    }
    *text = out;
    changed
}

pub(crate) fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// One value of `paths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    raw: Form,
    canonical: Option<CanonicalForm>,
    compare: Compare,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Text(TextMatch),
    Template(PathTemplate),
}

/// What a pattern means for canonical paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CanonicalForm {
    Exact(Vec<u8>),
    /// Starts with this, or is this without its trailing slash.
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Segments(SegmentTemplate),
}

/// A template on canonical segments: `{*}` takes any one segment, whatever its
/// characters, `{**}` any number of segments, none included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentTemplate {
    pub(crate) head: Vec<Option<Vec<u8>>>,
    /// Segments after `{**}`, when there is one.
    pub(crate) tail: Option<Vec<u8>>,
}

impl PathPattern {
    /// Compiles a path that the configuration reader has validated; a template
    /// that does not parse is taken as text.
    #[must_use]
    pub fn new(text: &str, compare: Compare) -> Self {
        let template = PathTemplate::is_template(text)
            .then(|| PathTemplate::parse(text).ok())
            .flatten();
        let canonical = match (compare, &template) {
            (Compare::AsSent, _) => None,
            (_, Some(_)) if is_odd(text) => None,
            (_, Some(_)) => Some(CanonicalForm::Segments(SegmentTemplate::parse(text))),
            (_, None) => canonical_text(text),
        };
        Self {
            text: text.to_owned(),
            raw: match template {
                Some(template) => Form::Template(template),
                None => Form::Text(TextMatch::parse(text)),
            },
            canonical,
            compare,
        }
    }

    /// The pattern as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text match, unless this is a template.
    pub(crate) fn as_text(&self) -> Option<&TextMatch> {
        match &self.raw {
            Form::Text(text) => Some(text),
            Form::Template(_) => None,
        }
    }

    /// The form that widens this pattern, for the index.
    pub(crate) fn widened_by(&self) -> Option<&CanonicalForm> {
        (self.compare == Compare::Either)
            .then_some(self.canonical.as_ref())
            .flatten()
    }

    /// Whether a path matches; `canonical` is its canonical form, needed only
    /// when the pattern reads it.
    #[must_use]
    pub fn matches(&self, path: &[u8], canonical: Option<&[u8]>) -> bool {
        let raw = match &self.raw {
            Form::Text(TextMatch::Present) => is_dots(path),
            Form::Text(text) => text.matches(path),
            Form::Template(template) => template.matches(path),
        };
        match (&self.canonical, canonical) {
            (Some(form), Some(path)) => self.compare.combine(raw, || form.matches(path)),
            _ => raw,
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a pattern asks for what canonical paths do not have.
fn is_odd(pattern: &str) -> bool {
    pattern.contains(['%', ';', '\\', '?', '#'])
        || pattern
            .split('/')
            .any(|segment| matches!(segment, "." | ".."))
}

/// The canonical compare of a pattern without template. None when the pattern
/// itself asks for what canonical paths do not have (encodings, parameters,
/// dot segments) or would come to match everything.
fn canonical_text(text: &str) -> Option<CanonicalForm> {
    let pattern = TextMatch::parse(text);
    let (TextMatch::Exact(inner) | TextMatch::Prefix(inner) | TextMatch::Suffix(inner)) = &pattern
    else {
        return None;
    };
    if is_odd(inner) {
        return None;
    }
    let mut merged = Vec::with_capacity(inner.len());
    for byte in inner.to_ascii_lowercase().bytes() {
        if byte != b'/' || merged.last() != Some(&b'/') {
            merged.push(byte);
        }
    }
    let trimmed = merged.strip_suffix(b"/").unwrap_or(&merged).to_vec();
    if trimmed.is_empty() {
        return None;
    }
    Some(match pattern {
        TextMatch::Exact(_) => CanonicalForm::Exact(trimmed),
        TextMatch::Prefix(_) => CanonicalForm::Prefix(merged),
        _ => CanonicalForm::Suffix(trimmed),
    })
}

impl CanonicalForm {
    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(text) => path == text.as_slice(),
            Self::Prefix(text) => {
                path.starts_with(text) || text.strip_suffix(b"/").is_some_and(|text| text == path)
            }
            Self::Suffix(text) => path.ends_with(text),
            Self::Segments(template) => template.matches(path),
        }
    }
}

impl SegmentTemplate {
    fn parse(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let mut head = Vec::new();
        let mut tail: Option<Vec<u8>> = None;
        for segment in lower.split('/').filter(|segment| !segment.is_empty()) {
            match (&mut tail, segment) {
                (None, "{**}") => tail = Some(Vec::new()),
                (None, "{*}") => head.push(None),
                (None, literal) => head.push(Some(literal.as_bytes().to_vec())),
                (Some(tail), literal) => {
                    tail.push(b'/');
                    tail.extend_from_slice(literal.as_bytes());
                }
            }
        }
        Self { head, tail }
    }

    fn matches(&self, path: &[u8]) -> bool {
        let mut rest = path;
        for segment in &self.head {
            let Some(inner) = rest.strip_prefix(b"/").filter(|inner| !inner.is_empty()) else {
                return false;
            };
            let end = inner.iter().position(|&b| b == b'/').unwrap_or(inner.len());
            let Some((name, after)) = inner.split_at_checked(end) else {
                return false;
            };
            if segment.as_ref().is_some_and(|literal| literal != name) {
                return false;
            }
            rest = after;
        }
        match &self.tail {
            Some(tail) => rest.ends_with(tail),
            None => rest.is_empty() || rest == b"/",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PathPattern, canonical, query, without_query};
    use crate::core::model::Compare;

    #[test]
    fn query_and_fragment_are_cut_at_the_first_of_both() {
        assert_eq!(without_query(b"/a?b#c"), b"/a");
        assert_eq!(without_query(b"/a#b?c"), b"/a");
        assert_eq!(query(b"/a?b=1?2#c"), b"b=1?2");
        assert_eq!(query(b"/a#b?c"), b"");
    }

    #[test]
    fn disguises_of_a_path_have_one_canonical_form() {
        for disguise in [
            "/admin",
            "/admin/",
            "//admin",
            "/ADMIN",
            "/%61dmin",
            "/%2561dmin",
            "/admin%2f",
            "/x/..%2fadmin",
            "/x/%2e%2e/admin",
            "/x/%252e%252e%252fadmin",
            "/./admin",
            "/admin;v=1",
            "/x/..;/admin",
            "/x;/../admin/.",
            "\\admin",
            "/%5cadmin",
            "/admin%00.html",
            "/admin%3fx",
            "/admin%23",
            "/admin?x=/y",
            "/%c0%afadmin",
            "/../../admin",
        ] {
            assert_eq!(
                String::from_utf8_lossy(&canonical(disguise.as_bytes())),
                "/admin",
                "{disguise}"
            );
        }
        assert_eq!(canonical(b"/"), b"/");
        assert_eq!(canonical(b""), b"/");
        assert_eq!(canonical(b"/a%zz"), b"/a%zz");
    }

    fn hardened(pattern: &str, path: &str, compare: Compare) -> bool {
        PathPattern::new(pattern, compare)
            .matches(path.as_bytes(), Some(&canonical(path.as_bytes())))
    }

    #[test]
    fn a_denying_pattern_also_takes_disguised_paths() {
        for (pattern, path, expected) in [
            ("/admin", "/admin/", true),
            ("/admin", "/Admin", true),
            ("/admin", "/administrator", false),
            ("/admin*", "//admin/x", true),
            ("/admin/*", "/admin", true),
            ("/admin/*", "/x/..%2fadmin/y", true),
            ("/admin/*", "/administrator", false),
            ("*/health", "/x/health/", true),
            ("*.php", "/x.PHP", true),
            ("*/", "/x", false),
            ("/*", "/x", true),
            ("*", "/x", true),
            ("/a/{*}", "/a/b|c", true),
            ("/a/{*}", "/a//b", true),
            ("/a/{*}", "/a/b/c", false),
            ("/a/{**}", "/A", true),
            ("/a/{**}/z", "/a/b/c/z/", true),
            ("/a%20b", "/A%20B", false),
        ] {
            assert_eq!(
                hardened(pattern, path, Compare::Either),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn an_allowing_pattern_takes_only_what_it_shows() {
        for (pattern, path, expected) in [
            ("/public*", "/public/x", true),
            ("/public*", "/public/..%2fadmin", false),
            ("/public*", "/Public", false),
            ("/public/", "/public/", true),
            ("/public/", "/public", false),
            ("/public/{**}", "/public/a/b", true),
            ("/public/{**}", "/public/..%2f..%2fadmin", false),
            ("/public/{**}", "/public/", true),
            ("*", "/anything", true),
            ("*/", "/x/", true),
        ] {
            assert_eq!(
                hardened(pattern, path, Compare::Both),
                expected,
                "{pattern} {path}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn canonical_paths_are_fixed_points(path in "[/a-zA-Z.;%0-9\\\\]{0,40}") {
            let once = canonical(path.as_bytes());
            // More than four levels of encoding may be left.
            proptest::prop_assume!(!once.contains(&b'%'));
            proptest::prop_assert_eq!(canonical(&once), once);
        }

        #[test]
        fn plain_paths_match_alike_in_every_reading(
            path in "(/[a-c]{1,3}){1,4}/?",
            pattern in "(/([a-c]{1,3}|\\{\\*\\})){1,3}(/\\{\\*\\*\\}|\\*|/)?",
        ) {
            let raw = PathPattern::new(&pattern, Compare::AsSent).matches(path.as_bytes(), None);
            proptest::prop_assert!(!raw || hardened(&pattern, &path, Compare::Both));
        }

        #[test]
        fn hardening_widens_denials_and_narrows_permissions(
            path in "[/a-bA-B.;%2fe\\\\]{0,20}",
            pattern in "\\*?(/[a-bA-B]{0,2}){0,3}\\*?",
        ) {
            let raw = PathPattern::new(&pattern, Compare::AsSent).matches(path.as_bytes(), None);
            proptest::prop_assert!(!raw || hardened(&pattern, &path, Compare::Either));
            proptest::prop_assert!(raw || !hardened(&pattern, &path, Compare::Both));
        }
    }
}
