//! The values of `from.source`, `to.operation` and `when`: from text to
//! patterns, with the checks of Istio's webhook.

use meshpack_sdk::config::Value;
use meshpack_sdk::matching::{PathTemplate, TextMatch};

use super::Scope;
use super::possible::{has_literal_star, impossible};
use crate::policy::cidr::Cidr;
use crate::policy::host::HostPattern;
use crate::policy::identity::{NamespaceMatch, ServiceAccount};
use crate::policy::model::{Pattern, RequestPrincipal, Subject};
use crate::policy::path::PathPattern;

/// How one value of a field is read; several patterns when it stands for
/// several identities.
pub(super) type ReadValue = fn(&Value<'_>, &str, &Scope<'_>, bool) -> Option<Vec<Pattern>>;

/// Istio's bounds for service accounts.
const MAX_ACCOUNTS: usize = 16;
const MAX_ACCOUNT_BYTES: usize = 320;

/// Reads a list of values. An empty list is no constraint, as in Istio.
pub(super) fn read_list(
    list: &Value<'_>,
    scope: &Scope<'_>,
    subject: &Subject,
    negated: bool,
    read: ReadValue,
) -> Option<Vec<Pattern>> {
    let items =
        list.list_of(|value| {
            let text = value.non_empty_string()?;
            if let Some(why) = impossible(text, subject) {
                return value.problem(format!("{text:?} can never match: {why}"));
            }
            if has_literal_star(text, subject) {
                scope.settings.doubts.note(value, &format!(
                "{text:?}: one * at an end stands for any text, another is compared as it is"
            ));
            }
            read(value, text, scope, negated)
        })?;
    if *subject == Subject::ServiceAccount && items.len() > MAX_ACCOUNTS {
        return list.problem(format!(
            "has {} entries: at most {MAX_ACCOUNTS} service accounts are supported",
            items.len()
        ));
    }
    Some(items.into_iter().flatten().collect())
}

fn one(pattern: Pattern) -> Option<Vec<Pattern>> {
    Some(vec![pattern])
}

/// A text whose lone `*` means present.
pub(super) fn header(_: &Value<'_>, text: &str, _: &Scope<'_>, _: bool) -> Option<Vec<Pattern>> {
    one(Pattern::Text(TextMatch::parse(text)))
}

/// A text whose lone `*` means not empty.
pub(super) fn generic(_: &Value<'_>, text: &str, _: &Scope<'_>, _: bool) -> Option<Vec<Pattern>> {
    one(Pattern::generic(text))
}

/// A text, or `[text]` for an element of a list.
pub(super) fn filter_metadata(
    _: &Value<'_>,
    text: &str,
    _: &Scope<'_>,
    _: bool,
) -> Option<Vec<Pattern>> {
    one(if text.starts_with('[') && text.ends_with(']') {
        let inner = text.trim_matches(['[', ']']);
        Pattern::Element(Box::new(Pattern::generic(inner)))
    } else {
        Pattern::generic(text)
    })
}

pub(super) fn host(
    _: &Value<'_>,
    text: &str,
    scope: &Scope<'_>,
    negated: bool,
) -> Option<Vec<Pattern>> {
    one(Pattern::Host(HostPattern::new(
        text,
        scope.compare(negated),
    )))
}

pub(super) fn path(
    value: &Value<'_>,
    text: &str,
    scope: &Scope<'_>,
    negated: bool,
) -> Option<Vec<Pattern>> {
    if PathTemplate::is_template(text) {
        // The webhook trims slashes at both ends before it looks at segments.
        let inner = text.trim_matches('/');
        if inner.split('/').any(str::is_empty) {
            return value.problem(format!(
                "{text:?} has an empty segment, which a template path can not hold"
            ));
        }
        if let Err(error) = PathTemplate::parse(text) {
            return value.problem(format!("{text:?} is not a path template: {error}"));
        }
    } else if text.contains(['{', '}']) {
        return value.problem(format!(
            "{text:?} has a brace that is no template: only {{*}} and {{**}} are"
        ));
    }
    one(Pattern::Path(PathPattern::new(
        text,
        scope.compare(negated),
    )))
}

/// Go's `strconv.ParseUint(text, 10, 32)` up to 65535.
pub(super) fn port(value: &Value<'_>, text: &str, _: &Scope<'_>, _: bool) -> Option<Vec<Pattern>> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.trim_start_matches('0') {
        "" if digits => one(Pattern::Port(0)),
        number if digits && number.len() <= 5 => match number.parse() {
            Ok(port) => one(Pattern::Port(port)),
            Err(_) => bad_port(value, text),
        },
        _ => bad_port(value, text),
    }
}

fn bad_port<T>(value: &Value<'_>, text: &str) -> Option<T> {
    value.problem(format!(
        "{text:?} is not a port: write one number from 0 to 65535, ranges and wildcards are not supported"
    ))
}

pub(super) fn block(value: &Value<'_>, text: &str, _: &Scope<'_>, _: bool) -> Option<Vec<Pattern>> {
    match Cidr::parse(text) {
        Some(block) => one(Pattern::Cidr(block)),
        None => value.problem(format!("{text:?} is not an IP address or CIDR")),
    }
}

/// A block that the TCP peer's address is held against.
pub(super) fn direct_block(
    value: &Value<'_>,
    text: &str,
    scope: &Scope<'_>,
    negated: bool,
) -> Option<Vec<Pattern>> {
    let block = block(value, text, scope, negated)?;
    if scope.settings.has_direct_remote_ip {
        return Some(block);
    }
    value.problem(
        "needs the address of the TCP peer, which Envoy does not show to filters by itself: publish it as filter state and set directRemoteIp.filterState, or use remoteIpBlocks",
    )
}

pub(super) fn principal(
    _: &Value<'_>,
    text: &str,
    scope: &Scope<'_>,
    _: bool,
) -> Option<Vec<Pattern>> {
    let all = scope.settings.trust_domains.principals(text);
    Some(
        all.iter()
            .map(|text| Pattern::Principal(TextMatch::parse(text)))
            .collect(),
    )
}

pub(super) fn namespace(_: &Value<'_>, text: &str, _: &Scope<'_>, _: bool) -> Option<Vec<Pattern>> {
    one(Pattern::Namespace(NamespaceMatch::parse(text)))
}

pub(super) fn service_account(
    value: &Value<'_>,
    text: &str,
    scope: &Scope<'_>,
    _: bool,
) -> Option<Vec<Pattern>> {
    if text.contains('*') {
        return value.problem(format!(
            "{text:?} has a wildcard, which service accounts can not have"
        ));
    }
    if text.len() > MAX_ACCOUNT_BYTES {
        return value.problem(format!("is longer than {MAX_ACCOUNT_BYTES} characters"));
    }
    let (namespace, name) = text.split_once('/').unwrap_or((scope.namespace, text));
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        return value.problem(format!(
            "{text:?} is not a service account: write its name or namespace/name"
        ));
    }
    one(Pattern::ServiceAccount(ServiceAccount {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }))
}

pub(super) fn trust_domain(
    value: &Value<'_>,
    text: &str,
    scope: &Scope<'_>,
    _: bool,
) -> Option<Vec<Pattern>> {
    let inner = match (text, text.strip_prefix('*'), text.strip_suffix('*')) {
        ("*", ..) => "",
        (_, Some(rest), _) | (_, None, Some(rest)) => rest,
        _ => text,
    };
    if text.contains('/') || inner.contains('*') {
        return value.problem(format!(
            "{text:?} is not a trust domain: write its name, with at most one * at either end"
        ));
    }
    let all = scope.settings.trust_domains.domains(text);
    Some(
        all.iter()
            .map(|text| Pattern::TrustDomain(TextMatch::parse(text)))
            .collect(),
    )
}

pub(super) fn request_principal(
    _: &Value<'_>,
    text: &str,
    _: &Scope<'_>,
    _: bool,
) -> Option<Vec<Pattern>> {
    one(Pattern::RequestPrincipal(RequestPrincipal::parse(text)))
}
