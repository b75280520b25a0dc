//! Policies as the engine sees them: validated, with Istio's string forms
//! already given their meaning.

use std::fmt;

use meshpack_sdk::matching::TextMatch;

use super::bytes::dots;
use super::cidr::Cidr;
use super::host::HostPattern;
use super::identity::{NamespaceMatch, SPIFFE, ServiceAccount, trust_domain_matches};
use super::path::PathPattern;
use super::regex::Regex;
use super::value::{Tri, Value};

/// What a policy does with a request that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Only notes it.
    Audit,
    /// Refuses it.
    Deny,
    /// Lets it pass; where such a policy exists, what none matches is refused.
    Allow,
}

/// Which share of requests a policy is enforced on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u64);

impl Share {
    /// Every request.
    pub const ALL: Self = Self(1 << 32);
    /// No request: the policy is only counted.
    pub const NONE: Self = Self(0);

    /// A share of `percent`, 0 to 100, decimals allowed.
    #[must_use]
    pub fn percent(percent: f64) -> Self {
        Self((percent.clamp(0.0, 100.0) / 100.0 * (1_u64 << 32) as f64).round() as u64)
    }

    /// Whether a request with this draw, uniform over all `u32`, is in it. One
    /// draw per request serves all policies, so that policies with the same
    /// share are enforced on the same requests.
    #[must_use]
    pub fn includes(self, draw: u32) -> bool {
        u64::from(draw) < self.0
    }

    /// Whether it depends on the draw at all.
    #[must_use]
    pub fn is_partial(self) -> bool {
        self != Self::ALL && self != Self::NONE
    }
}

/// An answer of one's own for a denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenyWith {
    /// HTTP status, 300 to 599.
    pub status: u16,
    /// Body; RBAC's own text when absent.
    pub body: Option<String>,
    /// Headers to add, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// One AuthorizationPolicy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Namespace it is written for.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// Where it is enforced; [`Share::NONE`] for a dry run.
    pub enforce: Share,
    /// Answer for denials it causes.
    pub deny_with: Option<DenyWith>,
    /// Its rules; one that matches is enough.
    pub rules: Vec<Rule>,
}

impl Policy {
    /// `namespace/name`, as metrics and logs show it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Istio's id of a rule, as it stands in response code details.
    #[must_use]
    pub fn rule_id(&self, rule: usize) -> String {
        format!("ns[{}]-policy[{}]-rule[{rule}]", self.namespace, self.name)
    }
}

/// A rule: any of `from` (when there are some), any of `to` (likewise) and all
/// of `when` must match; inside one source or operation all fields must.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// Sources.
    pub from: Vec<Vec<Field>>,
    /// Operations.
    pub to: Vec<Vec<Field>>,
    /// Conditions.
    pub when: Vec<Field>,
}

impl Rule {
    /// Whether all that it constrains is read from the request headers.
    pub(crate) fn is_at_hand(&self) -> bool {
        let alternatives = self.from.iter().chain(&self.to).flatten();
        alternatives
            .chain(&self.when)
            .all(|field| field.subject.is_at_hand())
    }
}

/// A constraint on one subject: a value that is among `is` (when there are
/// any) and none that is among `not`.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// What is looked at.
    pub subject: Subject,
    /// Which readings of a parameter or cookie must be among `is`; the opposite
    /// goes for `not`. The patterns of paths and hosts know by themselves.
    pub compare: Compare,
    /// Values of which one must match; no constraint when empty.
    pub is: Vec<Pattern>,
    /// Values of which none may match.
    pub not: Vec<Pattern>,
}

/// What a constraint looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Path without query.
    Path,
    /// `:authority`.
    Host,
    /// `:method`.
    Method,
    /// Local port of the connection.
    Port,
    /// Local address of the connection.
    DestinationIp,
    /// Server name that the client asked for in TLS.
    ServerName,
    /// The peer certificate's identity.
    Principal,
    /// Its namespace.
    Namespace,
    /// Its service account.
    ServiceAccount,
    /// Its trust domain.
    TrustDomain,
    /// Issuer and subject of the request's token.
    RequestPrincipal,
    /// Address of the TCP peer.
    DirectIp,
    /// Address of the client, after X-Forwarded-For or PROXY protocol.
    RemoteIp,
    /// A request header.
    Header {
        /// Name in lower case.
        name: String,
        /// Values are comma lists.
        split: bool,
    },
    /// A claim of the request's token.
    Claim {
        /// Names from the outside in.
        path: Vec<String>,
        /// Numbers and booleans count too.
        typed: bool,
    },
    /// Dynamic metadata of another filter.
    FilterMetadata {
        /// The filter's name.
        filter: String,
        /// Key, one level.
        key: String,
    },
    /// A parameter of the query.
    Query(String),
    /// A cookie.
    Cookie(String),
}

impl Subject {
    /// A value's place among the subject's, if every walk meets the same values in
    /// the same order; readings of parameters and cookies are not so.
    pub(crate) fn place(&self, place: usize) -> Option<usize> {
        (!matches!(self, Self::Query(_) | Self::Cookie(_))).then_some(place)
    }

    /// Whether it is read from the request headers, without asking the proxy.
    pub(crate) fn is_at_hand(&self) -> bool {
        matches!(
            self,
            Self::Path
                | Self::Host
                | Self::Method
                | Self::Header { .. }
                | Self::Query(_)
                | Self::Cookie(_)
        )
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("path"),
            Self::Host => f.write_str("host"),
            Self::Method => f.write_str("method"),
            Self::Port => f.write_str("destination port"),
            Self::DestinationIp => f.write_str("destination address"),
            Self::ServerName => f.write_str("server name (SNI)"),
            Self::Principal => f.write_str("peer principal"),
            Self::Namespace => f.write_str("peer namespace"),
            Self::ServiceAccount => f.write_str("peer service account"),
            Self::TrustDomain => f.write_str("peer trust domain"),
            Self::RequestPrincipal => f.write_str("request principal"),
            Self::DirectIp => f.write_str("direct source address"),
            Self::RemoteIp => f.write_str("remote address"),
            Self::Header { name, .. } => write!(f, "header {name}"),
            Self::Claim { path, .. } => write!(f, "claim {}", path.join("/")),
            Self::FilterMetadata { filter, key } => write!(f, "metadata {filter}[{key}]"),
            Self::Query(name) => write!(f, "query parameter {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}

/// Which readings of a path, a host, a parameter or a cookie must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compare {
    /// The one as sent: what Istio does.
    #[default]
    AsSent,
    /// Any: the wider, for what denies.
    Any,
    /// All: the narrower, for what allows.
    All,
}

impl Compare {
    /// How the negative list compares where the positive one compares so.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::AsSent => Self::AsSent,
            Self::Any => Self::All,
            Self::All => Self::Any,
        }
    }
}

/// One value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// Text; a lone `*` means present, the empty value included.
    Text(TextMatch),
    /// A lone `*` where Istio generates `.+`.
    Dots,
    /// A path or path template.
    Path(PathPattern),
    /// A host.
    Host(HostPattern),
    /// A port.
    Port(u16),
    /// A block of addresses.
    Cidr(Cidr),
    /// An identity, without `spiffe://`.
    Principal(TextMatch),
    /// A namespace of an identity.
    Namespace(NamespaceMatch),
    /// A service account of an identity.
    ServiceAccount(ServiceAccount),
    /// A trust domain of an identity.
    TrustDomain(TextMatch),
    /// A token's issuer and subject.
    RequestPrincipal(RequestPrincipal),
    /// Text of an element of a list, as `[value]` asks for in
    /// `experimental.envoy.filters`.
    Element(Box<Pattern>),
    /// A regular expression on the whole text.
    Regex(Regex),
}

impl Pattern {
    /// Istio's generic string: a lone `*` is `.+`.
    #[must_use]
    pub fn generic(text: &str) -> Self {
        match TextMatch::parse(text) {
            TextMatch::Present => Self::Dots,
            other => Self::Text(other),
        }
    }

    /// Whether the value matches; unknown where a line feed in it decides. Regular
    /// expressions are held against a value together, by [`Request::expressions`].
    ///
    /// [`Request::expressions`]: super::request::Request::expressions
    #[must_use]
    pub fn matches(&self, value: &Value<'_>) -> Tri {
        match (self, value) {
            (Self::Text(pattern), Value::Text(text)) => pattern.matches(text).into(),
            (Self::Dots, Value::Text(text)) => dots(text),
            (Self::Path(pattern), Value::Path { raw, readings }) => {
                pattern.matches(raw, *readings).into()
            }
            (Self::Host(pattern), Value::Host(host)) => pattern.matches(host).into(),
            (Self::Port(port), Value::Port(value)) => (port == value).into(),
            (Self::Cidr(block), Value::Ip(address)) => block.contains(*address).into(),
            (Self::Principal(pattern), Value::Identity(id)) => principal_matches(pattern, id),
            (Self::Namespace(pattern), Value::Identity(id)) => pattern.matches(id).into(),
            (Self::ServiceAccount(account), Value::Identity(id)) => account.matches(id).into(),
            (Self::TrustDomain(pattern), Value::Identity(id)) => {
                trust_domain_matches(pattern, id).into()
            }
            (Self::RequestPrincipal(pattern), Value::Token { issuer, subject }) => {
                let issuer = pattern.issuer.matches(issuer);
                issuer.and(|| pattern.subject.matches(subject))
            }
            (Self::Element(inner), Value::Element(text)) => inner.matches(&Value::Text(text)),
            _ => Tri::No,
        }
    }
}

/// Istio's `StringMatcherWithPrefix(value, "spiffe://")`.
fn principal_matches(pattern: &TextMatch, identity: &[u8]) -> Tri {
    match pattern {
        TextMatch::Present => dots(identity),
        pattern => identity
            .strip_prefix(SPIFFE)
            .is_some_and(|rest| pattern.matches(rest))
            .into(),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Principal(text) | Self::TrustDomain(text) => Form(text).fmt(f),
            Self::Dots => f.write_str("*"),
            Self::Path(path) => path.fmt(f),
            Self::Host(host) => host.fmt(f),
            Self::Port(port) => port.fmt(f),
            Self::Cidr(block) => block.fmt(f),
            Self::Namespace(namespace) => namespace.fmt(f),
            Self::ServiceAccount(account) => account.fmt(f),
            Self::RequestPrincipal(principal) => f.write_str(&principal.text),
            Self::Element(inner) => write!(f, "[{inner}]"),
            Self::Regex(regex) => write!(f, "/{}/", regex.pattern()),
        }
    }
}

/// Shows a text match as it is written in a policy.
pub(crate) struct Form<'a>(pub(crate) &'a TextMatch);

impl fmt::Display for Form<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TextMatch::Exact(text) => f.write_str(text),
            TextMatch::Prefix(text) => write!(f, "{text}*"),
            TextMatch::Suffix(text) => write!(f, "*{text}"),
            TextMatch::Present => f.write_str("*"),
        }
    }
}

/// A pattern for a token's issuer and subject.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestPrincipal {
    text: String,
    /// What the `iss` claim must be.
    pub(crate) issuer: TokenText,
    /// What the `sub` claim must be.
    pub(crate) subject: TokenText,
}

/// A match on the issuer or subject of a token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenText {
    /// `.+`
    Any,
    Text(TextMatch),
}

impl TokenText {
    fn matches(&self, text: &[u8]) -> Tri {
        match self {
            Self::Any => dots(text),
            Self::Text(pattern) => pattern.matches(text).into(),
        }
    }
}

impl RequestPrincipal {
    /// Whether the issuer ends amid the `://` of its scheme, which none does.
    pub(crate) fn cuts_a_scheme(&self) -> bool {
        matches!(&self.issuer, TokenText::Text(issuer) if issuer.text().ends_with(":/"))
    }

    /// Reads `issuer/subject` as Istio does: cut at the last slash, at most one
    /// wildcard honoured, a leading one first. Without a slash the text is the
    /// issuer and the subject must be empty, or stands for one of both when it
    /// has a wildcard.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let exact = |text: &str| TokenText::Text(TextMatch::Exact(text.to_owned()));
        let prefix = |text: &str| TokenText::Text(TextMatch::Prefix(text.to_owned()));
        let suffix = |text: &str| TokenText::Text(TextMatch::Suffix(text.to_owned()));
        let split = text.rsplit_once('/');
        let (issuer, subject) = match (text.strip_prefix('*'), text.strip_suffix('*'), split) {
            (Some(""), ..) => (TokenText::Any, TokenText::Any),
            (Some(_), _, Some(("*", subject))) => (TokenText::Any, exact(subject)),
            (Some(_), _, Some((issuer, subject))) => (
                suffix(issuer.strip_prefix('*').unwrap_or(issuer)),
                exact(subject),
            ),
            (Some(rest), _, None) => (TokenText::Any, suffix(rest)),
            (None, Some(_), Some((issuer, "*"))) => (exact(issuer), TokenText::Any),
            (None, Some(_), Some((issuer, subject))) => (
                exact(issuer),
                prefix(subject.strip_suffix('*').unwrap_or(subject)),
            ),
            (None, Some(rest), None) => (prefix(rest), TokenText::Any),
            (None, None, Some((issuer, subject))) => (exact(issuer), exact(subject)),
            (None, None, None) => (exact(text), exact("")),
        };
        Self {
            text: text.to_owned(),
            issuer,
            subject,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, RequestPrincipal, Share, Tri, Value};
    use meshpack_sdk::matching::TextMatch;

    #[test]
    fn request_principals_are_cut_as_istio_cuts_them() {
        for (pattern, issuer, subject, expected) in [
            ("*", "i", "s", true),
            ("*", "i", "", false),
            ("https://i/s", "https://i", "s", true),
            ("https://i/s", "https://i", "t", false),
            ("i/*", "i", "anything", true),
            ("i/*", "i", "", false),
            ("i/pre*", "i", "prefix", true),
            ("*/s", "any", "s", true),
            ("*suf/s", "issuf", "s", true),
            ("*suf/s", "iss", "s", false),
            ("abc", "abc", "", true),
            ("abc", "abc", "s", false),
            ("abc*", "abcd", "s", true),
            ("*abc", "i", "xabc", true),
            ("*/*", "i", "*", true),
            ("*/*", "i", "s", false),
            ("https://*", "https://i", "s", false),
        ] {
            let pattern_value = Pattern::RequestPrincipal(RequestPrincipal::parse(pattern));
            let token = Value::Token {
                issuer: issuer.as_bytes(),
                subject: subject.as_bytes(),
            };
            assert_eq!(
                pattern_value.matches(&token),
                expected.into(),
                "{pattern} {issuer} {subject}"
            );
        }
    }

    #[test]
    fn principals_have_a_scheme_that_policies_leave_out() {
        let matches = |pattern: &str, id: &str| {
            let pattern = Pattern::Principal(TextMatch::parse(pattern));
            pattern.matches(&Value::Identity(id.as_bytes())) == Tri::Yes
        };
        assert!(matches("td/ns/a/sa/b", "spiffe://td/ns/a/sa/b"));
        assert!(!matches("td/ns/a/sa/b", "td/ns/a/sa/b"));
        assert!(matches("td/*", "spiffe://td/ns/a/sa/b"));
        assert!(matches("*/sa/b", "spiffe://td/ns/a/sa/b"));
        assert!(matches("*", "CN=plain"));
        assert!(!matches("*", ""));
        assert!(!matches("*iffe://x", "spiffe://x"));
    }

    #[test]
    fn shares_are_exact_at_their_ends() {
        assert!(Share::percent(100.0).includes(u32::MAX));
        assert!(!Share::percent(0.0).includes(0));
        assert!(Share::percent(50.0).includes((1 << 31) - 1));
        assert!(!Share::percent(50.0).includes(1 << 31));
        assert!(Share::percent(25.0).is_partial());
        assert!(!Share::percent(100.0).is_partial());
    }
}
