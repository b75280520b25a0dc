//! Hosts: `:authority` as RBAC compares it, and without what a client can add
//! to it.

use std::fmt;

use meshpack_sdk::matching::TextMatch;

use super::model::Compare;
use super::readings::{folded, unwrapped};

/// The host without port and trailing dot; expects lower case.
#[must_use]
pub fn canonical(host: &[u8]) -> &[u8] {
    let bare = without_port(host);
    let end = bare.iter().rposition(|&b| b != b'.').map_or(0, |at| at + 1);
    bare.get(..end).unwrap_or(&[])
}

/// Visits what servers may make of a host, given in lower case, until one says
/// true: without port and trailing dots, with encodings undone, the parts that
/// user information, a path or a list would have it in.
pub(crate) fn any_reading(host: &[u8], visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    if visit(canonical(host)) {
        return true;
    }
    let ordinary = |b: &u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(b);
    if canonical(host).iter().all(|b| ordinary(b) && *b != b':') {
        return false;
    }
    let decoded = folded(&unwrapped(host).0);
    [host, &decoded].iter().any(|text| {
        text.split(|b| !ordinary(b)).any(|part| {
            visit(canonical(part)) || {
                let name = part.split(|&b| b == b':').next().unwrap_or(&[]);
                name.len() < part.len() && !part.starts_with(b"[") && visit(canonical(name))
            }
        })
    })
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
        (self.compare == Compare::Any)
            .then_some(self.canonical.as_ref())
            .flatten()
    }

    /// Whether a host, given in lower case, matches.
    #[must_use]
    pub fn matches(&self, host: &[u8]) -> bool {
        let raw = self.raw.matches(host);
        let Some(pattern) = &self.canonical else {
            return raw;
        };
        match self.compare {
            Compare::AsSent => raw,
            Compare::Any => raw || any_reading(host, &mut |host| pattern.matches(host)),
            Compare::All => raw && !any_reading(host, &mut |host| !pattern.matches(host)),
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
    use crate::policy::model::Compare;

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
                (Compare::Any, either),
                (Compare::All, both),
            ] {
                assert_eq!(
                    HostPattern::new(pattern, compare).matches(host.as_bytes()),
                    expected,
                    "{pattern} {host} {compare:?}"
                );
            }
        }
    }

    #[test]
    fn parts_that_a_server_could_take_for_the_host_are_read() {
        for host in [
            "x@admin.com",
            "admin.com@x",
            "admin.com:x@y",
            "admin.com:80:90",
            "%61dmin.com",
            "admin%2ecom:80",
            "admin.com..",
            "a.com,admin.com",
            "adm\u{131}n.com",
        ] {
            let any = HostPattern::new("admin.com", Compare::Any);
            assert!(any.matches(host.as_bytes()), "{host}");
            let all = HostPattern::new("*", Compare::All);
            assert!(all.matches(host.as_bytes()), "{host}");
        }
        let all = HostPattern::new("*.example.com", Compare::All);
        assert!(all.matches(b"a.example.com"));
        assert!(!all.matches(b"evil@a.example.com"));
        let any = HostPattern::new("admin.com", Compare::Any);
        for host in [
            "myadmin.com",
            "admin.com.example.com",
            "admin-com",
            "[::1]:80",
        ] {
            assert!(!any.matches(host.as_bytes()), "{host}");
        }
    }
}
