//! Conditions on requests as the filters' `match` has them.

use meshpack_sdk::config::Node;

use super::texts;
use crate::json::object;
use crate::translate::model::traffic::{Match, PathMatch, Routes, Rule, TextMatch};

/// The `match` entries that together take the requests of some rules, which go
/// one after the other; `None` for an entry means every request. `Err` names a
/// condition that `match` cannot say.
pub(super) fn of_rules(routes: &Routes, rules: &[Rule]) -> Result<Vec<Option<Node>>, String> {
    let hosts = hosts(&routes.names());
    if rules.iter().any(|rule| rule.conditions().is_empty()) {
        return Ok(vec![entry(&hosts, &[], &Match::default())?]);
    }
    let all: Vec<&Match> = rules.iter().flat_map(|rule| rule.conditions()).collect();
    // Alternatives that differ in the path alone are one entry with several paths.
    let rest = |one: &Match| Match {
        path: None,
        ..one.clone()
    };
    let same = all.windows(2).all(|pair| rest(pair[0]) == rest(pair[1]));
    if let Some(first) = all.first()
        && same
        && all.iter().all(|one| one.path.is_some())
    {
        let paths: Vec<&PathMatch> = all.iter().filter_map(|one| one.path.as_ref()).collect();
        return Ok(vec![entry(&hosts, &paths, first)?]);
    }
    all.iter()
        .map(|one| {
            let paths: Vec<&PathMatch> = one.path.iter().collect();
            entry(&hosts, &paths, one)
        })
        .collect()
}

/// The entry that takes all requests to the hosts.
pub(super) fn of_hosts(routes: &Routes) -> Option<Node> {
    let hosts = hosts(&routes.names());
    (!hosts.is_empty()).then(|| object([("hosts", texts(hosts))]))
}

/// Hosts as `match` compares them: without port.
fn hosts(hosts: &[String]) -> Vec<String> {
    if hosts.iter().any(|host| host == "*") {
        return Vec::new();
    }
    hosts
        .iter()
        .map(|host| match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name.to_owned(),
            _ => host.clone(),
        })
        .collect()
}

fn entry(
    hosts: &[String],
    alternatives: &[&PathMatch],
    rest: &Match,
) -> Result<Option<Node>, String> {
    if let Some((key, _)) = rest.kept.first() {
        return Err(format!("its condition {key}"));
    }
    if let Some((name, _)) = rest.query.first() {
        return Err(format!("its condition on the query parameter {name}"));
    }
    let mut entries = Vec::new();
    if !hosts.is_empty() {
        entries.push(("hosts", texts(hosts)));
    }
    let mut texts_of_paths = Vec::new();
    for path in alternatives {
        texts_of_paths.extend(paths(path)?);
    }
    if !texts_of_paths.is_empty() && !texts_of_paths.contains(&"/*".to_owned()) {
        entries.push(("paths", texts(texts_of_paths)));
    }
    if !rest.methods.is_empty() {
        entries.push(("methods", texts(&rest.methods)));
    }
    let mut headers = Vec::new();
    for (name, value) in &rest.headers {
        headers.push((name.clone(), Node::String(header_text(name, value)?)));
    }
    if !headers.is_empty() {
        entries.push(("headers", object(headers)));
    }
    Ok((!entries.is_empty()).then(|| object(entries)))
}

/// The path forms that together say what a condition on the path says; `Err`
/// names what they cannot.
pub(crate) fn paths(path: &PathMatch) -> Result<Vec<String>, String> {
    let plain = |text: &str| {
        let special = text.contains(['*', '{', '}', '?', '#']) || !text.starts_with('/');
        if special {
            Err(format!("its condition on the path {text}"))
        } else {
            Ok(text.to_owned())
        }
    };
    match path {
        PathMatch::Exact(text) => Ok(vec![plain(text)?]),
        PathMatch::Prefix(text) => Ok(vec![format!("{}*", plain(text)?)]),
        PathMatch::Segments(text) => {
            let bare = plain(text)?;
            let bare = bare.trim_end_matches('/');
            if bare.is_empty() {
                return Ok(vec!["/*".to_owned()]);
            }
            Ok(vec![bare.to_owned(), format!("{bare}/*")])
        }
        PathMatch::Regex(regex) => {
            simple_regex(regex).ok_or_else(|| format!("its regular expression {regex}"))
        }
    }
}

/// A regular expression of a kind that many have, as paths, templates and
/// prefixes: `/a/b`, `/a/.*`, `/users/[^/]+/orders`, `/users/[^/]*`.
fn simple_regex(regex: &str) -> Option<Vec<String>> {
    let body = regex.strip_prefix('^').unwrap_or(regex);
    let mut rest = body.strip_suffix('$').unwrap_or(body);
    let mut texts = vec![String::new()];
    while !rest.is_empty() {
        if let Some((tail, may_be_empty)) = segment(rest) {
            let whole = texts.iter().all(|text| text.ends_with('/'))
                && (tail.is_empty() || tail.starts_with('/'));
            if !whole || texts.len() > 4 {
                return None;
            }
            // A template's segment has one character at least.
            let empty = if may_be_empty {
                texts.clone()
            } else {
                Vec::new()
            };
            texts.iter_mut().for_each(|text| text.push_str("{*}"));
            texts.extend(empty);
            rest = tail;
            continue;
        }
        if rest == ".*" || rest == "(.*)" {
            for text in &mut texts {
                match (text.contains("{*}"), text.ends_with('/')) {
                    (false, _) => text.push('*'),
                    (true, true) => text.push_str("{**}"),
                    (true, false) => return None,
                }
            }
            break;
        }
        let mut chars = rest.chars();
        let plain = match chars.next()? {
            '\\' => chars.next().filter(|escaped| "./-_".contains(*escaped))?,
            plain if plain.is_ascii_alphanumeric() || "/-_~%".contains(plain) => plain,
            _ => return None,
        };
        texts.iter_mut().for_each(|text| text.push(plain));
        rest = chars.as_str();
    }
    texts
        .iter()
        .all(|text| text.starts_with('/'))
        .then_some(texts)
}

/// What follows an expression for a segment, and whether that may be empty.
fn segment(rest: &str) -> Option<(&str, bool)> {
    let forms = [
        ("[^/]+", false),
        ("([^/]+)", false),
        ("[^/]*", true),
        ("([^/]*)", true),
    ];
    let matched =
        |(form, may_be_empty): &(&str, bool)| Some((rest.strip_prefix(form)?, *may_be_empty));
    forms.iter().find_map(matched)
}

fn header_text(name: &str, value: &TextMatch) -> Result<String, String> {
    let plain = |text: &str| {
        if text.contains('*') {
            Err(format!("its condition on the header {name}"))
        } else {
            Ok(text.to_owned())
        }
    };
    match value {
        TextMatch::Present => Ok("*".to_owned()),
        TextMatch::Exact(text) => plain(text),
        TextMatch::Prefix(text) => Ok(format!("{}*", plain(text)?)),
        TextMatch::Suffix(text) => Ok(format!("*{}", plain(text)?)),
        TextMatch::Regex(regex) if regex == ".*" || regex == ".+" => Ok("*".to_owned()),
        TextMatch::Regex(_) => Err(format!("its regular expression on the header {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_regular_expressions_become_paths() {
        for (regex, paths) in [
            ("/a/b", &["/a/b"][..]),
            ("^/a/b$", &["/a/b"]),
            ("/a/.*", &["/a/*"]),
            ("/a.*", &["/a*"]),
            ("/users/[^/]+/orders", &["/users/{*}/orders"]),
            ("/users/[^/]+/.*", &["/users/{*}/{**}"]),
            ("/users/[^/]*", &["/users/{*}", "/users/"]),
            ("/v1\\.0/x", &["/v1.0/x"]),
        ] {
            let expected = paths.iter().map(|path| (*path).to_owned()).collect();
            assert_eq!(simple_regex(regex), Some(expected), "{regex}");
        }
        for regex in [
            "/a|/b",
            "/a(b)?",
            "/x[^/]+",
            "a",
            ".*",
            "/[^/]*\\.json",
            "/a\\d",
        ] {
            assert_eq!(simple_regex(regex), None, "{regex}");
        }
    }
}
