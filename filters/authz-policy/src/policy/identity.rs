//! Peer identities: what Istio's regular expressions on SPIFFE ids say,
//! without a regular expression made from policy text.

use std::fmt;

use meshpack_sdk::matching::TextMatch;

use super::bytes::{find, find_all};

/// Scheme of every identity; policies leave it out.
pub const SPIFFE: &[u8] = b"spiffe://";

/// A namespace pattern: any `*` in it stands for any text, slashes included,
/// and the whole means `.*/ns/<pattern>/.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceMatch {
    text: String,
    /// `/ns/<pattern>/` cut at its stars.
    pieces: Vec<String>,
}

impl NamespaceMatch {
    /// Reads a pattern. Every text is valid.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pieces = format!("/ns/{text}/")
            .split('*')
            .map(str::to_owned)
            .collect();
        Self {
            text: text.to_owned(),
            pieces,
        }
    }

    /// The one namespace that is meant, when the pattern has no wildcard and
    /// can be found between two slashes.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        (!self.text.contains(['*', '/'])).then_some(&self.text)
    }

    /// Whether the identity holds such a namespace.
    #[must_use]
    pub fn matches(&self, identity: &[u8]) -> bool {
        let mut rest = identity;
        for piece in &self.pieces {
            let Some(at) = find(rest, piece.as_bytes()) else {
                return false;
            };
            rest = rest.get(at + piece.len()..).unwrap_or(&[]);
        }
        true
    }
}

impl fmt::Display for NamespaceMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A service account of one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace; the policy's own when the policy names none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ServiceAccount {
    /// Whether the identity is of this account: Istio's
    /// `spiffe://.+/ns/<namespace>/(.+/|)sa/<name>(/.+)?`.
    #[must_use]
    pub fn matches(&self, identity: &[u8]) -> bool {
        let Some(rest) = identity.strip_prefix(SPIFFE) else {
            return false;
        };
        let namespace = format!("/ns/{}/", self.namespace);
        find_all(rest, namespace.as_bytes())
            .filter(|at| *at > 0)
            .filter_map(|at| rest.get(at + namespace.len()..))
            .any(|after| self.names(after))
    }

    /// What follows the namespace: `(.+/|)sa/<name>(/.+)?`.
    fn names(&self, text: &[u8]) -> bool {
        let ends_here = |rest: &[u8]| {
            rest.strip_prefix(self.name.as_bytes())
                .is_some_and(|tail| tail.is_empty() || (tail.len() > 1 && tail.starts_with(b"/")))
        };
        text.strip_prefix(b"sa/").is_some_and(ends_here)
            || find_all(text, b"/sa/")
                .filter(|at| *at > 0)
                .filter_map(|at| text.get(at + 4..))
                .any(ends_here)
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether the identity's trust domain matches: the text between `spiffe://`
/// and the next slash, which must be there unless the pattern is `*`.
#[must_use]
pub fn trust_domain_matches(pattern: &TextMatch, identity: &[u8]) -> bool {
    let Some(rest) = identity.strip_prefix(SPIFFE) else {
        return false;
    };
    if *pattern == TextMatch::Present {
        return true;
    }
    rest.iter()
        .position(|&b| b == b'/')
        .and_then(|at| rest.get(..at))
        .is_some_and(|domain| pattern.matches(domain))
}

/// The namespaces that an identity names: each text between `/ns/` and `/`.
pub(crate) fn namespaces(identity: &[u8]) -> impl Iterator<Item = &[u8]> {
    find_all(identity, b"/ns/").filter_map(|at| {
        let rest = identity.get(at + 4..)?;
        let end = rest.iter().position(|&b| b == b'/')?;
        rest.get(..end)
    })
}

/// The account names that an identity names: each text from `/sa/` to the next
/// slash or the end.
pub(crate) fn account_names(identity: &[u8]) -> impl Iterator<Item = &[u8]> {
    find_all(identity, b"/sa/").filter_map(|at| {
        let rest = identity.get(at + 4..)?;
        let end = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
        rest.get(..end)
    })
}

#[cfg(test)]
mod tests {
    use super::{NamespaceMatch, ServiceAccount, trust_domain_matches};
    use meshpack_sdk::matching::TextMatch;

    #[test]
    fn namespaces_match_between_slashes_and_stars_cross_them() {
        for (pattern, identity, expected) in [
            ("foo", "spiffe://td/ns/foo/sa/x", true),
            ("foo", "spiffe://td/ns/foobar/sa/x", false),
            ("fo*", "spiffe://td/ns/foobar/sa/x", true),
            ("*bar", "spiffe://td/ns/foobar/sa/x", true),
            ("f*r", "spiffe://td/ns/foobar/sa/x", true),
            ("f*x", "spiffe://td/ns/foo/sa/x/y", true),
            ("*", "spiffe://td/ns/foo/sa/x", true),
            ("*", "spiffe://td/ns/foo", false),
            ("f.o", "spiffe://td/ns/foo/sa/x", false),
        ] {
            assert_eq!(
                NamespaceMatch::parse(pattern).matches(identity.as_bytes()),
                expected,
                "{pattern} {identity}"
            );
        }
    }

    #[test]
    fn accounts_match_istios_expression() {
        let account = ServiceAccount {
            namespace: "foo".into(),
            name: "my.sa".into(),
        };
        for (identity, expected) in [
            ("spiffe://td/ns/foo/sa/my.sa", true),
            ("spiffe://td/ns/foo/sa/myxsa", false),
            ("spiffe://td/ns/foo/sa/my.sa-junk", false),
            ("spiffe://td/ns/foo/sa/my.sa/v/1", true),
            ("spiffe://td/ns/foo/sa/my.sa/", false),
            ("spiffe://td/ns/foo/k/v/sa/my.sa", true),
            ("spiffe://td/ns/bar/sa/my.sa", false),
            ("spiffe:///ns/foo/sa/my.sa", false),
            ("td/ns/foo/sa/my.sa", false),
        ] {
            assert_eq!(account.matches(identity.as_bytes()), expected, "{identity}");
        }
    }

    #[test]
    fn trust_domains_are_the_first_segment() {
        let matches = |pattern: &str, identity: &str| {
            trust_domain_matches(&TextMatch::parse(pattern), identity.as_bytes())
        };
        assert!(matches("td", "spiffe://td/ns/a/sa/b"));
        assert!(!matches("td", "spiffe://tdx/ns/a/sa/b"));
        assert!(!matches("td", "spiffe://td"));
        assert!(matches("t*", "spiffe://td/x"));
        assert!(matches("*d", "spiffe://td/x"));
        assert!(matches("*", "spiffe://td"));
        assert!(!matches("*", "td/x"));
    }
}
