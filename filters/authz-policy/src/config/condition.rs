//! `when`: a key and the values it may or must not have.

use meshpack_sdk::config::Value;

use super::fields::{self, ReadValue, read_list};
use super::possible::excludes_itself;
use super::{Scope, is_token};
use crate::policy::model::{Field, Pattern, Subject};
use crate::policy::regex::{MAX_INSTRUCTIONS_IN_ALL, Regex};

/// What a key looks at, how its values are read, and whether they may be
/// regular expressions.
struct Key {
    subject: Subject,
    read: ReadValue,
    regex: bool,
}

impl Key {
    fn text(subject: Subject, read: ReadValue) -> Self {
        Self {
            subject,
            read,
            regex: true,
        }
    }

    fn other(subject: Subject, read: ReadValue) -> Self {
        Self {
            subject,
            read,
            regex: false,
        }
    }
}

pub(super) fn read_condition(value: &Value<'_>, scope: &Scope<'_>) -> Option<Field> {
    let mut fields = value.object()?;
    let key = fields.required("key").and_then(|v| read_key(&v, scope));
    let lists = [
        fields.get("values"),
        fields.get("notValues"),
        fields.get("valuesRegex"),
        fields.get("notValuesRegex"),
    ];
    let key = key?;
    let [values, not_values, regexes, not_regexes] = &lists;
    let (is, plain_is) = read_values(values.as_ref(), regexes.as_ref(), &key, scope, false);
    let (not, plain_not) =
        read_values(not_values.as_ref(), not_regexes.as_ref(), &key, scope, true);
    let (is, not) = (is?, not?);
    if plain_is + plain_not == 0 {
        return value.problem("at least one of values and notValues must be set");
    }
    if excludes_itself(&is, &not) {
        scope.settings.doubts.excluded(value);
    }
    Some(Field {
        subject: key.subject,
        compare: scope.compare(false),
        is,
        not,
    })
}

/// Both lists of one sign, and how many entries they have.
fn read_values(
    plain: Option<&Value<'_>>,
    regexes: Option<&Value<'_>>,
    key: &Key,
    scope: &Scope<'_>,
    negated: bool,
) -> (Option<Vec<Pattern>>, usize) {
    let plain = plain.map_or(Some(Vec::new()), |v| {
        read_list(v, scope, &key.subject, negated, key.read)
    });
    let regexes = regexes.map_or(Some(Vec::new()), |v| {
        if !key.regex {
            return v
                .problem("regular expressions do not go with this key: its values are not texts");
        }
        v.list_of(|v| read_regex(v, scope))
    });
    match (plain, regexes) {
        (Some(plain), Some(regexes)) => {
            let both: Vec<Pattern> = plain.into_iter().chain(regexes).collect();
            let count = both.len();
            (Some(both), count)
        }
        _ => (None, 0),
    }
}

fn read_regex(value: &Value<'_>, scope: &Scope<'_>) -> Option<Pattern> {
    let text = value.non_empty_string()?;
    match Regex::new(text) {
        Ok(regex) => {
            let sum = &scope.settings.instructions;
            let before = sum.replace(sum.get() + regex.size());
            if before <= MAX_INSTRUCTIONS_IN_ALL && sum.get() > MAX_INSTRUCTIONS_IN_ALL {
                return value.problem("is too large together with the expressions before it: shorten their repetitions");
            }
            Some(Pattern::Regex(regex))
        }
        Err(error) => value.problem(format!("{text:?} {error}")),
    }
}

fn read_key(value: &Value<'_>, scope: &Scope<'_>) -> Option<Key> {
    let text = value.non_empty_string()?;
    let plain = match text {
        "source.ip" => Some(Key::other(Subject::DirectIp, fields::direct_block)),
        "remote.ip" => Some(Key::other(Subject::RemoteIp, fields::block)),
        "source.namespace" => Some(Key::other(Subject::Namespace, fields::namespace)),
        "source.serviceAccount" => {
            Some(Key::other(Subject::ServiceAccount, fields::service_account))
        }
        "source.trustDomain" => Some(Key::other(Subject::TrustDomain, fields::trust_domain)),
        "source.principal" => Some(Key::text(Subject::Principal, fields::principal)),
        "request.auth.principal" => Some(Key::text(
            Subject::RequestPrincipal,
            fields::request_principal,
        )),
        // Typed claims are for claims that applications define.
        "request.auth.audiences" => Some(Key::text(claim(&["aud"], false), fields::generic)),
        "request.auth.presenter" => Some(Key::text(claim(&["azp"], false), fields::generic)),
        "destination.ip" => Some(Key::other(Subject::DestinationIp, fields::block)),
        "destination.port" => Some(Key::other(Subject::Port, fields::port)),
        "connection.sni" => Some(Key::text(Subject::ServerName, fields::generic)),
        _ => None,
    };
    plain.or_else(|| read_bracket_key(value, text, scope))
}

fn claim(path: &[&str], typed: bool) -> Subject {
    Subject::Claim {
        path: path.iter().map(|&name| name.to_owned()).collect(),
        typed,
    }
}

/// Keys of the form `prefix[name]`.
fn read_bracket_key(value: &Value<'_>, text: &str, scope: &Scope<'_>) -> Option<Key> {
    if let Some(key) = text.strip_prefix("experimental.") {
        return filter_metadata_key(value, text, key);
    }
    let open = text.find('[').unwrap_or(text.len());
    let (prefix, bracket) = text.split_at_checked(open)?;
    let make: fn(&str, &Scope<'_>) -> Key = match prefix {
        "request.headers" => |name, scope| {
            // Envoy keeps Host as :authority and finds it under both names.
            let name = match name.to_ascii_lowercase() {
                host if host == "host" => ":authority".to_owned(),
                name => name,
            };
            let split = scope.settings.splits(&name);
            Key::text(Subject::Header { name, split }, fields::header)
        },
        "request.query" => |name, _| Key::text(Subject::Query(name.to_owned()), fields::header),
        "request.cookies" => |name, _| Key::text(Subject::Cookie(name.to_owned()), fields::header),
        "request.auth.claims" => |names, scope| {
            let subject = Subject::Claim {
                path: claim_path(names),
                typed: scope.settings.typed_claims,
            };
            Key::text(subject, fields::generic)
        },
        _ => return unknown_key(value, text, prefix),
    };
    let name = bracket
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .filter(|name| !name.is_empty());
    let Some(name) = name else {
        return value.problem(format!("{text:?} must have the form {prefix}[NAME]"));
    };
    if prefix == "request.headers" && !is_header_name(name) {
        return value.problem(format!(
            "{text:?} can never match: {name:?} is not a header name"
        ));
    }
    let blank = [' ', '\t'];
    if prefix == "request.cookies"
        && (name.contains([';', '=']) || name.starts_with(blank) || name.ends_with(blank))
    {
        return value.problem(format!(
            "{text:?} can never match: {name:?} is not a cookie's name"
        ));
    }
    Some(make(name, scope))
}

/// A header's name; a request's pseudo headers count.
fn is_header_name(name: &str) -> bool {
    match name.strip_prefix(':') {
        Some(pseudo) => ["authority", "method", "path", "scheme", "protocol"]
            .iter()
            .any(|known| pseudo.eq_ignore_ascii_case(known)),
        None => name.bytes().all(is_token),
    }
}

fn unknown_key(value: &Value<'_>, text: &str, prefix: &str) -> Option<Key> {
    match prefix {
        "destination.namespace" => {
            value.problem("destination.namespace is replaced by metadata.namespace")
        }
        "destination.labels" => {
            value.problem("destination.labels is replaced by the workload selector")
        }
        "destination.name" | "destination.user" => {
            value.problem(format!("{prefix} is gone since v1alpha1"))
        }
        _ => value.problem(format!(
            "{text:?} is not a known attribute; there are request.headers[], request.query[], request.cookies[], request.auth.principal, request.auth.audiences, request.auth.presenter, request.auth.claims[], source.ip, source.namespace, source.principal, source.serviceAccount, source.trustDomain, remote.ip, destination.ip, destination.port, connection.sni, experimental.envoy.filters.*[]"
        )),
    }
}

/// `experimental.envoy.filters.F[K]`: filter `envoy.filters.F`, key `K`.
fn filter_metadata_key(value: &Value<'_>, text: &str, key: &str) -> Option<Key> {
    let parts = key.strip_suffix(']').and_then(|key| key.split_once('['));
    match parts {
        Some((filter, key)) if filter.starts_with("envoy.filters.") && !key.is_empty() => {
            Some(Key::text(
                Subject::FilterMetadata {
                    filter: filter.to_owned(),
                    key: key.to_owned(),
                },
                fields::filter_metadata,
            ))
        }
        _ => value.problem(format!(
            "{text:?} must have the form experimental.envoy.filters.FILTER[KEY]"
        )),
    }
}

/// `[a][b]` as the path a, b (`inner` comes without its outer brackets). Where
/// the brackets do not pair up, Istio takes the whole text as one name.
fn claim_path(inner: &str) -> Vec<String> {
    let names: Vec<&str> = inner.split("][").collect();
    if names.iter().any(|name| name.contains(['[', ']'])) {
        return vec![inner.to_owned()];
    }
    names.into_iter().map(str::to_owned).collect()
}
