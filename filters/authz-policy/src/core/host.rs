//! Hosts: `:authority` as RBAC compares it, and without what a client can add
//! to it.

use std::fmt;

use meshpack_sdk::matching::TextMatch;

use super::model::Compare;

/// The host without port and trailing dot; expects lower case.
#[must_use]
pub fn canonical(host: &[u8]) -> &[u8] {
    let bare = without_port(host);
    bare.strip_suffix(b".").unwrap_or(bare)
}

fn without_port(host: &[u8]) -> &[u8] {
    let Some(colon) = host.iter().rposition(|&b| b == b':') else {
        return host;
    };
    match host.split_at_checked(colon) {
        // A second colon outside brackets is a bare IPv6 address.
        Some((name, [_, port @ ..]))
            if port.iter().all(u8::is_ascii_digit)
                && (!name.contains(&b':') || name.ends_with(b"]")) =>
        {
            name
        }
        _ => host,
    }
}

/// One value of `hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// In lower case.
    pub(crate) raw: TextMatch,
    canonical: Option<TextMatch>,
    compare: Compare,
}

impl HostPattern {
    /// Compiles a host pattern.
    #[must_use]
    pub fn new(text: &str, compare: Compare) -> Self {
        let raw = TextMatch::parse(text).to_ascii_lowercase();
        let canonical = match compare {
            Compare::AsSent => None,
            _ => canonical_pattern(&raw),
        };
        Self {
            raw,
            canonical,
            compare,
        }
    }

    /// The form that widens this pattern, for the index.
    pub(crate) fn widened_by(&self) -> Option<&TextMatch> {
        (self.compare == Compare::Either)
            .then_some(self.canonical.as_ref())
            .flatten()
    }

    /// Whether a host, given in lower case, matches.
    #[must_use]
    pub fn matches(&self, host: &[u8]) -> bool {
        let raw = self.raw.matches(host);
        match &self.canonical {
            Some(pattern) => self
                .compare
                .combine(raw, || pattern.matches(canonical(host))),
            None => raw,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&super::model::Form(&self.raw), f)
    }
}

fn canonical_pattern(pattern: &TextMatch) -> Option<TextMatch> {
    let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    match pattern {
        TextMatch::Exact(text) => text_of(canonical(text.as_bytes())).map(TextMatch::Exact),
        TextMatch::Suffix(text) => text_of(canonical(text.as_bytes()))
            .filter(|text| !text.is_empty())
            .map(TextMatch::Suffix),
        // `example.com:*` asks for any port.
        TextMatch::Prefix(text) => Some(match text.strip_suffix(':') {
            Some(host) => TextMatch::Exact(host.to_owned()),
            None => TextMatch::Prefix(text.clone()),
        }),
        TextMatch::Present => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{HostPattern, canonical};
    use crate::core::model::Compare;

    #[test]
    fn port_and_trailing_dot_are_dropped() {
        for (host, expected) in [
            ("example.com", "example.com"),
            ("example.com:80", "example.com"),
            ("example.com.:80", "example.com"),
            ("example.com.", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
            ("example.com:http", "example.com:http"),
        ] {
            assert_eq!(canonical(host.as_bytes()), expected.as_bytes(), "{host}");
        }
    }

    #[test]
    fn readings_differ_only_for_disguised_hosts() {
        for (pattern, host, raw, either, both) in [
            ("example.com", "example.com", true, true, true),
            ("example.com", "example.com:8080", false, true, false),
            ("example.com", "example.com.", false, true, false),
            ("example.com:8080", "example.com:8080", true, true, true),
            ("example.com:8080", "example.com", false, true, false),
            ("*.example.com", "a.example.com:80", false, true, false),
            ("example.com:*", "example.com:80", true, true, true),
            ("example.com:*", "example.com", false, true, false),
            ("exam*", "example.com:80", true, true, true),
            ("*", "x", true, true, true),
            ("Example.COM", "example.com", true, true, true),
        ] {
            for (compare, expected) in [
                (Compare::AsSent, raw),
                (Compare::Either, either),
                (Compare::Both, both),
            ] {
                assert_eq!(
                    HostPattern::new(pattern, compare).matches(host.as_bytes()),
                    expected,
                    "{pattern} {host} {compare:?}"
                );
            }
        }
    }
}
