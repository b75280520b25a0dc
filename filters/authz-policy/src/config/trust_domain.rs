//! Trust domain aliases: identities of a mesh that has renamed its trust
//! domain count under all its names.

/// The mesh's trust domain and its aliases.
#[derive(Debug, Clone, Default)]
pub(super) struct TrustDomains {
    all: Vec<String>,
}

/// Istio's word in policies for "this mesh's trust domain, whatever it is".
const LOCAL: &str = "cluster.local";

impl TrustDomains {
    pub(super) fn new(own: &str, aliases: &[&str]) -> Self {
        let all = std::iter::once(own).chain(aliases.iter().copied());
        Self {
            all: all.map(str::to_owned).collect(),
        }
    }

    /// The principals that a policy's principal stands for. Only one of five
    /// parts (`<domain>/ns/<ns>/sa/<account>`) names a trust domain; `*` as
    /// domain is left alone.
    pub(super) fn principals(&self, principal: &str) -> Vec<String> {
        let as_written = || vec![principal.to_owned()];
        let Some((domain, rest)) = principal.split_once('/') else {
            return as_written();
        };
        if principal.split('/').count() != 5 || domain == "*" {
            return as_written();
        }
        let known = domain == LOCAL || self.all.iter().any(|own| matches_either(domain, own));
        if !known {
            return as_written();
        }
        let mut out: Vec<String> = Vec::new();
        for own in &self.all {
            let expanded = if suffix_matches(own, domain) {
                principal.to_owned()
            } else {
                format!("{own}/{rest}")
            };
            if !out.contains(&expanded) {
                out.push(expanded);
            }
        }
        out
    }

    /// The trust domains that a policy's trust domain stands for.
    pub(super) fn domains(&self, domain: &str) -> Vec<String> {
        if self.all.iter().any(|own| own == domain) {
            let mut all = self.all.clone();
            all.dedup();
            all
        } else {
            vec![domain.to_owned()]
        }
    }
}

/// Istio's `stringMatch`: equal, or one matches the other's wildcard.
fn matches_either(domain: &str, own: &str) -> bool {
    domain == own
        || own == "*"
        || prefix_matches(domain, own)
        || suffix_matches(domain, own)
        || prefix_matches(own, domain)
        || suffix_matches(own, domain)
}

fn prefix_matches(text: &str, pattern: &str) -> bool {
    pattern
        .strip_suffix('*')
        .is_some_and(|prefix| text.starts_with(prefix))
}

fn suffix_matches(text: &str, pattern: &str) -> bool {
    pattern
        .strip_prefix('*')
        .is_some_and(|suffix| text.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::TrustDomains;

    #[test]
    fn principals_are_expanded_as_istio_expands_them() {
        let domains = TrustDomains::new("td1", &["cluster-td", "foo-td"]);
        for (principal, expected) in [
            (
                "td1/ns/a/sa/b",
                vec!["td1/ns/a/sa/b", "cluster-td/ns/a/sa/b", "foo-td/ns/a/sa/b"],
            ),
            (
                "cluster.local/ns/a/sa/b",
                vec!["td1/ns/a/sa/b", "cluster-td/ns/a/sa/b", "foo-td/ns/a/sa/b"],
            ),
            ("other/ns/a/sa/b", vec!["other/ns/a/sa/b"]),
            ("*/ns/a/sa/b", vec!["*/ns/a/sa/b"]),
            ("*-td/ns/a/sa/b", vec!["td1/ns/a/sa/b", "*-td/ns/a/sa/b"]),
            (
                "td1/ns/a/sa/*",
                vec!["td1/ns/a/sa/*", "cluster-td/ns/a/sa/*", "foo-td/ns/a/sa/*"],
            ),
            ("*", vec!["*"]),
            ("td1/*", vec!["td1/*"]),
            ("sa/b", vec!["sa/b"]),
        ] {
            assert_eq!(domains.principals(principal), expected, "{principal}");
        }
    }

    #[test]
    fn a_known_trust_domain_stands_for_all() {
        let domains = TrustDomains::new("a", &["b"]);
        assert_eq!(domains.domains("b"), ["a", "b"]);
        assert_eq!(domains.domains("c"), ["c"]);
    }
}
