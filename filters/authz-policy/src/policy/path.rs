//! Paths: as Envoy's RBAC reads them, and as servers behind it may.

use std::fmt;

use meshpack_sdk::matching::{PathTemplate, TextMatch};

use super::bytes::is_dots;
use super::model::Compare;
use super::readings::{Readings, clean, files, is_script};

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

/// One value of `paths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    raw: Form,
    /// What it means for readings; none when it would take all of them.
    read: Option<ReadForm>,
    compare: Compare,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Text(TextMatch),
    Template(PathTemplate),
}

/// What a pattern means for readings. Its text is what a reading of it is that
/// has no encodings, no empty segments and none that are a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadForm {
    Exact(Vec<u8>),
    /// Starts with this, or is this without its trailing slash.
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Segments(SegmentTemplate),
}

/// A template on the segments of a reading: `{*}` takes any one segment,
/// whatever its characters, `{**}` any number of segments, none included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentTemplate {
    pub(crate) head: Vec<Option<Vec<u8>>>,
    /// Segments after `{**}`, when there is one.
    pub(crate) tail: Option<Vec<u8>>,
}

/// How a path came to match a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen<'a> {
    /// As sent.
    Sent,
    /// In this reading.
    Read(&'a [u8]),
    /// It has more readings than are tried.
    Over,
}

impl PathPattern {
    /// Compiles a path that the configuration reader has validated; a template
    /// that does not parse is taken as text.
    #[must_use]
    pub fn new(text: &str, compare: Compare) -> Self {
        let template = PathTemplate::is_template(text)
            .then(|| PathTemplate::parse(text).ok())
            .flatten();
        let raw = match template {
            Some(template) => Form::Template(template),
            None => Form::Text(TextMatch::parse(text)),
        };
        let read = match (&raw, compare) {
            (_, Compare::AsSent) => None,
            (Form::Template(_), _) => Some(ReadForm::Segments(SegmentTemplate::parse(text))),
            (Form::Text(pattern), _) => ReadForm::of_text(pattern),
        };
        Self {
            text: text.to_owned(),
            raw,
            read,
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

    /// The form that widens this pattern, for the index; the inner none when no
    /// table can hold it.
    pub(crate) fn widened_by(&self) -> Option<Option<&ReadForm>> {
        self.is_widened().then_some(self.read.as_ref())
    }

    fn is_widened(&self) -> bool {
        self.compare == Compare::Any && !matches!(self.raw, Form::Text(TextMatch::Present))
    }

    /// Whether a path matches; `readings` are what servers make of it, needed
    /// only when the pattern asks for them.
    #[must_use]
    pub fn matches(&self, path: &[u8], readings: Option<&Readings>) -> bool {
        self.seen(path, readings).is_some()
    }

    /// How a path matches, if it does.
    pub(crate) fn seen<'a>(&self, path: &[u8], readings: Option<&'a Readings>) -> Option<Seen<'a>> {
        let raw = match &self.raw {
            Form::Text(TextMatch::Present) => is_dots(path),
            Form::Text(text) => text.matches(path),
            Form::Template(template) => template.matches(path),
        };
        let Some(readings) = readings else {
            return raw.then_some(Seen::Sent);
        };
        match self.compare {
            Compare::All => (raw && self.is_all_of(path, readings)).then_some(Seen::Sent),
            _ if raw => Some(Seen::Sent),
            Compare::Any if self.is_widened() => {
                let form = self.read.as_ref();
                let read = readings
                    .all()
                    .find(|reading| form.is_some_and(|form| form.matches(reading)));
                read.map(Seen::Read)
                    .or_else(|| readings.over().then_some(Seen::Over))
            }
            _ => None,
        }
    }

    /// Whether a path that matches as sent does so in all its readings.
    fn is_all_of(&self, path: &[u8], readings: &Readings) -> bool {
        let Some(form) = &self.read else {
            return true;
        };
        let all = || !readings.over() && readings.common().all(|reading| form.matches(reading));
        match form {
            // Whoever wrote it has meant it, whatever its readings.
            ReadForm::Exact(_) => true,
            // Nothing but what climbs gets out from under its first segments.
            ReadForm::Prefix(_) => !readings.climbs() || all(),
            // Behind a script everything is its own business.
            ReadForm::Suffix(_) => all() && !files(path).any(|(file, _)| is_script(file)),
            ReadForm::Segments(_) => all(),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ReadForm {
    fn of_text(pattern: &TextMatch) -> Option<Self> {
        let (make, text, open): (fn(Vec<u8>) -> Self, _, _) = match pattern {
            TextMatch::Exact(text) => (Self::Exact, text, false),
            TextMatch::Prefix(text) => (Self::Prefix, text, true),
            TextMatch::Suffix(text) => (Self::Suffix, text, false),
            TextMatch::Present => return None,
        };
        let text = clean(text.as_bytes(), open);
        let all = matches!(text.as_slice(), b"" | b"/") && !matches!(pattern, TextMatch::Exact(_));
        (!all).then(|| make(text))
    }

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
        let text = clean(text.as_bytes(), false);
        let mut head = Vec::new();
        let mut tail: Option<Vec<u8>> = None;
        for segment in text.split(|&b| b == b'/').skip(1) {
            match (&mut tail, segment) {
                (None, b"{**}") => tail = Some(Vec::new()),
                (None, b"{*}") => head.push(None),
                (None, literal) => head.push(Some(literal.to_vec())),
                (Some(tail), literal) => {
                    tail.push(b'/');
                    tail.extend_from_slice(literal);
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
    use super::{PathPattern, query, without_query};
    use crate::policy::model::Compare;
    use crate::policy::readings::Readings;

    #[test]
    fn query_and_fragment_are_cut_at_the_first_of_both() {
        assert_eq!(without_query(b"/a?b#c"), b"/a");
        assert_eq!(without_query(b"/a#b?c"), b"/a");
        assert_eq!(query(b"/a?b=1?2#c"), b"b=1?2");
        assert_eq!(query(b"/a#b?c"), b"");
    }

    fn hardened(pattern: &str, path: &str, compare: Compare) -> bool {
        PathPattern::new(pattern, compare)
            .matches(path.as_bytes(), Some(&Readings::of_path(path.as_bytes())))
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
            ("/a%20b", "/A%20B", true),
            ("/a%20b", "/a b", true),
            ("/a%20b", "/a/b", false),
        ] {
            assert_eq!(
                hardened(pattern, path, Compare::Any),
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
                hardened(pattern, path, Compare::All),
                expected,
                "{pattern} {path}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn plain_paths_match_alike_in_every_reading(
            path in "(/[a-c]{1,3}){1,4}/?",
            pattern in "(/([a-c]{1,3}|\\{\\*\\})){1,3}(/\\{\\*\\*\\}|\\*|/)?",
        ) {
            let raw = PathPattern::new(&pattern, Compare::AsSent).matches(path.as_bytes(), None);
            proptest::prop_assert!(!raw || hardened(&pattern, &path, Compare::All));
        }

        #[test]
        fn hardening_widens_denials_and_narrows_permissions(
            path in "[/a-bA-B.;%2fe\\\\]{0,20}",
            pattern in "\\*?(/[a-bA-B]{0,2}){0,3}\\*?",
        ) {
            let raw = PathPattern::new(&pattern, Compare::AsSent).matches(path.as_bytes(), None);
            proptest::prop_assert!(!raw || hardened(&pattern, &path, Compare::Any));
            proptest::prop_assert!(raw || !hardened(&pattern, &path, Compare::All));
        }
    }
}
