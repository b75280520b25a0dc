//! Istio's string forms: exact, `prefix*`, `*suffix`, `*`.

/// A string match in one of Istio's four forms.
///
/// Only one wildcard is honoured and a leading one wins, as in Istio: `*abc*`
/// is the suffix `abc*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    /// Equal to this text.
    Exact(String),
    /// Starts with this text (`abc*`).
    Prefix(String),
    /// Ends with this text (`*abc`).
    Suffix(String),
    /// Present (`*`). Whether an empty value is present depends on the field,
    /// so the caller decides.
    Present,
}

impl TextMatch {
    /// Reads one of the four forms. Every text is valid.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text == "*" {
            Self::Present
        } else if let Some(suffix) = text.strip_prefix('*') {
            Self::Suffix(suffix.to_owned())
        } else if let Some(prefix) = text.strip_suffix('*') {
            Self::Prefix(prefix.to_owned())
        } else {
            Self::Exact(text.to_owned())
        }
    }

    /// The text without its wildcard; empty for [`TextMatch::Present`].
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) => text,
            Self::Present => "",
        }
    }

    /// The same match on lower-case text, for values that compare
    /// case-insensitively; match it against lower-cased input.
    #[must_use]
    pub fn to_ascii_lowercase(&self) -> Self {
        match self {
            Self::Exact(text) => Self::Exact(text.to_ascii_lowercase()),
            Self::Prefix(text) => Self::Prefix(text.to_ascii_lowercase()),
            Self::Suffix(text) => Self::Suffix(text.to_ascii_lowercase()),
            Self::Present => Self::Present,
        }
    }

    /// Whether `value` matches; [`TextMatch::Present`] matches anything.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Suffix(text) => value.ends_with(text.as_bytes()),
            Self::Present => true,
        }
    }

    /// Like [`TextMatch::matches`], ignoring ASCII case.
    #[must_use]
    pub fn matches_ignoring_case(&self, value: &[u8]) -> bool {
        let (part, text) = match self {
            Self::Exact(text) => (Some(value), text),
            Self::Prefix(text) => (value.get(..text.len()), text),
            Self::Suffix(text) => (
                value
                    .len()
                    .checked_sub(text.len())
                    .and_then(|at| value.get(at..)),
                text,
            ),
            Self::Present => return true,
        };
        // Nearly every value is in the case of its pattern.
        part.is_some_and(|part| {
            part == text.as_bytes() || part.eq_ignore_ascii_case(text.as_bytes())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TextMatch;

    #[test]
    fn the_four_forms_match_as_istio_documents_them() {
        for (pattern, value, expected) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("abc*", "abcd", true),
            ("abc*", "abc", true),
            ("*abc", "xabc", true),
            ("*abc", "abcx", false),
            ("*", "", true),
            ("a*c", "abc", false),
            ("a*c", "a*c", true),
            ("*abc*", "xabc*", true),
            ("*abc*", "xabcx", false),
        ] {
            let matcher = TextMatch::parse(pattern);
            assert_eq!(
                matcher.matches(value.as_bytes()),
                expected,
                "{pattern} {value}"
            );
        }
    }

    #[test]
    fn case_is_ignored_where_the_field_ignores_it() {
        for pattern in ["Foo.COM", "foo*", "*.com", "*"] {
            assert!(
                TextMatch::parse(pattern).matches_ignoring_case(b"fOO.com"),
                "{pattern}"
            );
        }
        assert!(!TextMatch::parse("foo.comx").matches_ignoring_case(b"foo.com"));
    }
}
