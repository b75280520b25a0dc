//! service-router: matches, retries, timeouts.

use super::{Entry, arms_of, get, list, lose, lose_tenancy, text};
use crate::translate::ledger::Field;
use crate::translate::model::traffic::{
    Arm, Budget, Match, PathMatch, Retry, RetryPolicy, Routes, Rule, TextMatch,
};

/// "num_retries … defaults to 1" where a condition is given.
const DEFAULT_RETRIES: u32 = 1;

pub(super) fn read(entry: &Entry<'_>, splitters: &[(String, Vec<Arm>)]) -> Routes {
    let routes = list(&entry.field, "Routes");
    let mut rules: Vec<Rule> = Vec::new();
    for (group, route) in routes.iter().enumerate() {
        rules.extend(read_route(group, route, &entry.name, splitters));
    }
    // "A default catch-all route" to the service itself ends every router.
    rules.push(Rule {
        matches: Vec::new(),
        arms: arms_of(&entry.name, None, splitters),
        delegated: None,
        delegate: None,
        retry: Retry::Off,
        timeout: None,
        kept: Vec::new(),
        group: routes.len(),
        spot: entry.field.spot(),
    });
    entry.routes(rules)
}

fn read_route(
    group: usize,
    route: &Field<'_>,
    name: &str,
    splitters: &[(String, Vec<Arm>)],
) -> Option<Rule> {
    let mut matches = Vec::new();
    if let Some(http) = get(route, "Match").and_then(|one| get(&one, "HTTP")) {
        let Some(one) = read_match(&http) else {
            route.lost("its match cannot be carried over, so its requests follow later routes");
            return None;
        };
        if !one.is_any() {
            matches.push(one);
        }
    }
    let destination = get(route, "Destination");
    let (mut arms, mut retry, mut timeout) = (arms_of(name, None, splitters), Retry::Off, None);
    if let Some(destination) = &destination {
        let service = text(destination, "Service").unwrap_or(name);
        arms = arms_of(service, text(destination, "ServiceSubset"), splitters);
        retry = read_retry(destination);
        timeout = get(destination, "RequestTimeout")
            .and_then(|time| time.duration())
            .filter(|time| !time.is_zero());
        for (key, reason) in [
            (
                "PrefixRewrite",
                "paths are not rewritten: the route can do that",
            ),
            ("IdleTimeout", "is the route's business"),
            ("RequestHeaders", "headers are the route's business"),
            ("ResponseHeaders", "headers are the route's business"),
        ] {
            lose(destination, key, reason);
        }
        lose_tenancy(destination);
    }
    Some(Rule {
        matches,
        arms,
        delegated: None,
        delegate: None,
        retry,
        timeout,
        kept: Vec::new(),
        group,
        spot: route.spot(),
    })
}

fn read_match(http: &Field<'_>) -> Option<Match> {
    let mut one = Match::default();
    let exact = text(http, "PathExact").map(|path| PathMatch::Exact(path.to_owned()));
    let prefix = text(http, "PathPrefix").map(|path| PathMatch::Prefix(path.to_owned()));
    let regex = text(http, "PathRegex").map(|path| PathMatch::Regex(path.to_owned()));
    one.path = exact
        .or(prefix)
        .or(regex)
        .filter(|path| *path != PathMatch::Prefix("/".to_owned()));
    let methods = get(http, "Methods")
        .map(|methods| methods.texts())
        .unwrap_or_default();
    one.methods = methods.into_iter().map(str::to_owned).collect();
    for header in list(http, "Header") {
        let (name, value, inverted) = read_text(&header)?;
        if inverted {
            return None;
        }
        one.headers.push((name, value));
    }
    for parameter in list(http, "QueryParam") {
        let (name, value, inverted) = read_text(&parameter)?;
        if inverted {
            return None;
        }
        one.query.push((name, value));
    }
    let ignores_case = get(http, "CaseInsensitive").and_then(|value| value.boolean());
    (ignores_case != Some(true)).then_some(one)
}

/// A condition on a header or a query parameter, and whether it must not hold.
pub(super) fn read_text(field: &Field<'_>) -> Option<(String, TextMatch, bool)> {
    let name = text(field, "Name")?.to_ascii_lowercase();
    let inverted = get(field, "Invert")
        .and_then(|value| value.boolean())
        .unwrap_or(false);
    let ignores_case = get(field, "IgnoreCase").and_then(|value| value.boolean());
    if ignores_case == Some(true) {
        return None;
    }
    let own = |value: &str| value.to_owned();
    let present = get(field, "Present").and_then(|value| value.boolean()) == Some(true);
    let value = text(field, "Exact")
        .map(|value| TextMatch::Exact(own(value)))
        .or_else(|| text(field, "Prefix").map(|value| TextMatch::Prefix(own(value))))
        .or_else(|| text(field, "Suffix").map(|value| TextMatch::Suffix(own(value))))
        .or_else(|| text(field, "Regex").map(|value| TextMatch::Regex(own(value))))
        .or_else(|| {
            let contained = crate::translate::target::quote(text(field, "Contains")?);
            Some(TextMatch::Regex(format!(".*{contained}.*")))
        })
        .or_else(|| present.then_some(TextMatch::Present))?;
    Some((name, value, inverted))
}

fn read_retry(destination: &Field<'_>) -> Retry {
    let retries = get(destination, "NumRetries").and_then(|count| count.integer());
    let mut on: Vec<String> = Vec::new();
    if get(destination, "RetryOnConnectFailure").and_then(|value| value.boolean()) == Some(true) {
        on.push("connect-failure".to_owned());
    }
    let conditions = get(destination, "RetryOn")
        .map(|on| on.texts())
        .unwrap_or_default();
    on.extend(conditions.into_iter().map(str::to_owned));
    for code in list(destination, "RetryOnStatusCodes") {
        on.extend(code.integer().map(|code| code.to_string()));
    }
    let retries = retries
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| *count > 0);
    if on.is_empty() {
        if let Some(count) = get(destination, "NumRetries").filter(|_| retries.is_some()) {
            count.note("names no failure to retry on: nothing is retried, as in Consul");
        }
        return Retry::Off;
    }
    Retry::On(RetryPolicy {
        retries: retries.unwrap_or(DEFAULT_RETRIES),
        on,
        per_try_timeout: None,
        backoff: None,
        budget: Budget::default(),
        kept: Vec::new(),
    })
}
