//! Istio's path templates: `/users/{*}/orders/{**}`.

use std::fmt;

/// Why a path template was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// `{*}` or `{**}` mixed with other text in one segment.
    NotAWholeSegment(String),
    /// Something templated after `{**}`.
    AfterDoubleStar,
    /// A `{` or `}` that belongs to neither `{*}` nor `{**}`.
    StrayBrace(String),
    /// A literal segment with a character that no template may hold.
    BadLiteral(String),
    /// The template does not start with `/`.
    NotAbsolute,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAWholeSegment(segment) => write!(
                f,
                "segment {segment:?} mixes a template with text: {{*}} and {{**}} must be whole segments"
            ),
            Self::AfterDoubleStar => f.write_str(
                "nothing templated may follow {**}: it already takes any number of segments",
            ),
            Self::StrayBrace(segment) => write!(
                f,
                "segment {segment:?} has a stray brace: only {{*}} and {{**}} are templates"
            ),
            Self::BadLiteral(segment) => write!(
                f,
                "segment {segment:?} has a character that a template path can not hold: use letters, digits and -._~%!$&'()+,;:@="
            ),
            Self::NotAbsolute => f.write_str("a template path starts with /"),
        }
    }
}

impl std::error::Error for TemplateError {}

/// A compiled path template.
///
/// Semantics are those of Envoy's `uri_template` matcher as Istio uses it:
/// `{*}` is one or more path characters without `/`, `{**}` is zero or more
/// path characters and `/`, the whole path must match, literals compare
/// literally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    /// Matched from the start, segment by segment (text between slashes).
    head: Vec<Segment>,
    /// Present when the template has a `{**}`; the literal text that follows it.
    tail: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Any,
}

impl PathTemplate {
    /// Whether Istio would read this path as a template at all.
    #[must_use]
    pub fn is_template(text: &str) -> bool {
        text.contains("{*}") || text.contains("{**}")
    }

    /// Parses a template path.
    ///
    /// # Errors
    /// The first rule of Istio's path template validation that is broken.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text.strip_prefix('/').ok_or(TemplateError::NotAbsolute)?;
        let mut head = Vec::new();
        let mut tail: Option<String> = None;
        for segment in rest.split('/') {
            let templated = segment == "{*}" || segment == "{**}";
            if tail.is_some() && templated {
                return Err(TemplateError::AfterDoubleStar);
            }
            if !templated {
                check_literal(segment)?;
            }
            match (&mut tail, segment) {
                (None, "{*}") => head.push(Segment::Any),
                (None, "{**}") => tail = Some(String::new()),
                (None, literal) => head.push(Segment::Literal(literal.to_owned())),
                (Some(tail), literal) => {
                    tail.push('/');
                    tail.push_str(literal);
                }
            }
        }
        Ok(Self { head, tail })
    }

    /// Literal text every matching path starts with; an index can use it.
    #[must_use]
    pub fn literal_prefix(&self) -> String {
        let mut prefix = String::from("/");
        for (index, segment) in self.head.iter().enumerate() {
            let Segment::Literal(literal) = segment else {
                return prefix;
            };
            prefix.push_str(literal);
            if index + 1 < self.head.len() || self.tail.is_some() {
                prefix.push('/');
            }
        }
        prefix
    }

    /// Whether `path` (without query and fragment) matches.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        let Some(mut rest) = path.strip_prefix(b"/") else {
            return false;
        };
        for (index, segment) in self.head.iter().enumerate() {
            let end = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
            let Some((part, after)) = rest.split_at_checked(end) else {
                return false;
            };
            let fits = match segment {
                Segment::Literal(literal) => part == literal.as_bytes(),
                Segment::Any => !part.is_empty() && part.iter().all(|&b| is_path_char(b)),
            };
            if !fits {
                return false;
            }
            let last = index + 1 == self.head.len() && self.tail.is_none();
            match (last, after.strip_prefix(b"/")) {
                (true, None) => return true,
                (false, Some(next)) => rest = next,
                _ => return false,
            }
        }
        let Some(tail) = &self.tail else {
            return false;
        };
        rest.strip_suffix(tail.as_bytes())
            .is_some_and(|middle| middle.iter().all(|&b| b == b'/' || is_path_char(b)))
    }
}

/// A literal segment of a template path, as Istio's webhook checks it. The
/// empty segment (`//`, trailing `/`) is allowed.
fn check_literal(segment: &str) -> Result<(), TemplateError> {
    if segment.contains("{*}") || segment.contains("{**}") {
        return Err(TemplateError::NotAWholeSegment(segment.to_owned()));
    }
    if segment.contains(['{', '}']) {
        return Err(TemplateError::StrayBrace(segment.to_owned()));
    }
    if segment.bytes().all(|b| b != b'*' && is_path_char(b)) {
        Ok(())
    } else {
        Err(TemplateError::BadLiteral(segment.to_owned()))
    }
}

/// What a `{*}` takes: Envoy's pchar class, `=` and `*` included.
fn is_path_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=*".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::{PathTemplate, TemplateError};

    #[test]
    fn templates_match_as_envoys_uri_template_does() {
        for (template, path, expected) in [
            ("/foo/{**}", "/foo/", true),
            ("/foo/{**}", "/foo", false),
            ("/foo/{**}", "/foo/a/b", true),
            ("/store/{**}/cart", "/store//cart", true),
            ("/store/{**}/cart", "/store/cart", false),
            ("/store/{**}/cart", "/store/a/b/cart", true),
            ("/{*}", "/a", true),
            ("/{*}", "/", false),
            ("/{*}", "/a/", false),
            ("/{*}/x", "/a/x", true),
            ("/{*}/x", "/a/b/x", false),
            ("/a/{*}/", "/a/b/", true),
            ("/a/{*}/", "/a/b", false),
            ("/{*}", "/a|b", false),
            ("/{*}", "/a*b=c%20", true),
            ("/{**}", "/a\"b", false),
            ("/{**}", "/", true),
        ] {
            let parsed = PathTemplate::parse(template).unwrap();
            assert_eq!(
                parsed.matches(path.as_bytes()),
                expected,
                "{template} {path}"
            );
        }
    }

    #[test]
    fn broken_templates_are_refused_with_the_rule() {
        let error = |text: &str| PathTemplate::parse(text).unwrap_err();
        assert_eq!(
            error("/a{*}"),
            TemplateError::NotAWholeSegment("a{*}".into())
        );
        assert_eq!(error("/{**}/{*}"), TemplateError::AfterDoubleStar);
        assert_eq!(error("/{x}"), TemplateError::StrayBrace("{x}".into()));
        assert_eq!(error("/{*}/a b"), TemplateError::BadLiteral("a b".into()));
        assert_eq!(error("a/{*}"), TemplateError::NotAbsolute);
    }

    #[test]
    fn every_match_starts_with_the_literal_prefix() {
        for (template, prefix) in [
            ("/a/b", "/a/b"),
            ("/a/{*}", "/a/"),
            ("/{*}/b", "/"),
            ("/a/b/{**}/c", "/a/b/"),
        ] {
            assert_eq!(
                PathTemplate::parse(template).unwrap().literal_prefix(),
                prefix
            );
        }
    }
}
