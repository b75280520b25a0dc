//! Rules about requests.

use super::super::permission::Clause;
use crate::translate::ledger::Field;
use crate::translate::model::traffic::{Match, TextMatch};

/// The requests that are allowed; none if these rules are not about HTTP.
pub(super) fn read(rules: &Field<'_>) -> Option<Vec<Clause>> {
    for key in ["kafka", "dns", "l7proto", "l7"] {
        rules.lose(key, "the filters work on HTTP");
    }
    let rules = rules.get("http")?;
    // "If no rules are specified, then all traffic is permitted."
    if rules.items().is_empty() {
        return Some(vec![Clause::default()]);
    }
    Some(rules.items().iter().filter_map(read_rule).collect())
}

fn read_rule(rule: &Field<'_>) -> Option<Clause> {
    let mut one = Match::default();
    // Regular expressions on the whole of `:path`, query included.
    let path = rule.text_at("path").map(expression);
    let host = rule.text_at("host").map(expression);
    let method = rule.text_at("method").unwrap_or_default();
    let mut inverted = None;
    if !method.is_empty() {
        let words: Vec<&str> = method.split('|').collect();
        let plain = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase());
        if words.iter().all(plain) {
            one.methods = words.into_iter().map(str::to_owned).collect();
        } else {
            inverted = Some(TextMatch::Regex(method.to_owned()));
        }
    }
    let mut clause = Clause::of_match(&one).ok()?;
    for (name, value) in [(":path", path), (":authority", host), (":method", inverted)] {
        if let Some(value) = value {
            clause.header(name, &value, false);
        }
    }
    for header in rule.list("headers") {
        let Some(text) = header.text() else { continue };
        match text.split_once(':') {
            Some((name, value)) => {
                let value = TextMatch::Exact(value.trim().to_owned());
                clause.header(&name.trim().to_ascii_lowercase(), &value, false);
            }
            None => clause.header(
                &text.trim().to_ascii_lowercase(),
                &TextMatch::Present,
                false,
            ),
        }
    }
    for header in rule.list("headerMatches") {
        if header.get("mismatch").is_some() || header.get("secret").is_some() {
            rule.lost("changing a header that does not match, and values from secrets, are Cilium's own: what this rule allows is denied");
            return None;
        }
        let Some(name) = header.text_at("name") else {
            rule.lost("one of its headerMatches names no header: what this rule allows is denied");
            return None;
        };
        let name = name.to_ascii_lowercase();
        let value = header.text_at("value");
        let value = value.map_or(TextMatch::Present, |value| {
            TextMatch::Exact(value.to_owned())
        });
        clause.header(&name, &value, false);
    }
    Some(clause)
}

/// A regular expression as the simplest condition that says the same.
fn expression(regex: &str) -> TextMatch {
    let body = regex.strip_prefix('^').unwrap_or(regex);
    let body = body.strip_suffix('$').unwrap_or(body);
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-_~%:@=&,".contains(&b))
    };
    if plain(body) {
        return TextMatch::Exact(body.to_owned());
    }
    match body.strip_suffix(".*") {
        Some(prefix) if plain(prefix) && !prefix.is_empty() => TextMatch::Prefix(prefix.to_owned()),
        _ => TextMatch::Regex(regex.to_owned()),
    }
}
