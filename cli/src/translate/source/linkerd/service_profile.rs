//! ServiceProfile: retries with a budget, timeouts, splits by `dstOverrides`.

use std::time::Duration;

use super::super::Resource;
use crate::translate::ledger::Field;
use crate::translate::model::traffic::{
    Arm, Budget, Destination, Match, PathMatch, Retry, RetryPolicy, Routes, Rule,
};

/// Linkerd has no limit per request, only the budget. One is needed here, as
/// the budget is charged before a request for all retries that it may need.
const RETRIES: u32 = 3;
/// "default is 10s" (Linkerd, ServiceProfile specification).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn read(resource: &Resource<'_>) -> Option<Routes> {
    let spec = resource.field.get("spec")?;
    let arms = arms(&spec, resource);
    let budget = spec.get("retryBudget").map(|budget| read_budget(&budget));
    spec.lose(
        "opaquePorts",
        "the filters expect HTTP on every port of the service",
    );
    let routes = spec.list("routes");
    let mut rules = Vec::new();
    for (group, route) in routes.iter().enumerate() {
        let Some(matches) = read_condition(route) else {
            continue;
        };
        route.skip("name");
        route.lose(
            "responseClasses",
            "what counts as a failure is fixed: answers of 500 and more",
        );
        let retry = match route.get("isRetryable").and_then(|value| value.boolean()) {
            Some(true) => Retry::On(RetryPolicy {
                retries: RETRIES,
                on: vec!["5xx".to_owned()],
                per_try_timeout: None,
                backoff: None,
                budget: budget.clone().unwrap_or_default(),
                kept: Vec::new(),
            }),
            _ => Retry::Off,
        };
        if retry != Retry::Off {
            route.note(format!("Linkerd retries a request as long as the budget lasts, here {RETRIES} times at most"));
        }
        let timeout = route.get("timeout").and_then(|time| time.duration());
        rules.push(Rule {
            matches,
            arms: arms.clone(),
            delegated: None,
            delegate: None,
            retry,
            timeout: Some(timeout.unwrap_or(DEFAULT_TIMEOUT)),
            kept: Vec::new(),
            group,
            spot: route.spot(),
        });
    }
    if let Some(budget) = spec.get("retryBudget")
        && rules.iter().all(|rule: &Rule| rule.retry == Retry::Off)
    {
        budget.lost("no route is retryable, so there is nothing that it could bound");
    }
    // Requests that are on no route are never retried.
    rules.push(Rule {
        matches: Vec::new(),
        arms,
        delegated: None,
        delegate: None,
        retry: Retry::Off,
        timeout: None,
        kept: Vec::new(),
        group: routes.len(),
        spot: resource.field.spot(),
    });
    Some(Routes {
        name: service(&resource.name).to_owned(),
        namespace: namespace(&resource.name)
            .unwrap_or(&resource.namespace)
            .to_owned(),
        hosts: vec![service(&resource.name).to_owned()],
        rules,
        ..Routes::default()
    })
}

/// Profiles are named after the service's domain name.
fn service(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

fn namespace(name: &str) -> Option<&str> {
    name.split('.').nth(1)
}

fn arms(spec: &Field<'_>, resource: &Resource<'_>) -> Vec<Arm> {
    let overrides = spec.list("dstOverrides");
    let arms: Vec<Arm> = overrides.iter().filter_map(read_override).collect();
    if !arms.is_empty() {
        return arms;
    }
    vec![Arm {
        to: Destination {
            host: service(&resource.name).to_owned(),
            subset: None,
            port: None,
        },
        weight: 1.0,
        kept: Vec::new(),
    }]
}

fn read_override(field: &Field<'_>) -> Option<Arm> {
    let authority = field.text_at("authority")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, None),
    };
    Some(Arm {
        to: Destination {
            host: service(host).to_owned(),
            subset: None,
            port,
        },
        weight: quantity(&field.get("weight")?)?,
        kept: Vec::new(),
    })
}

/// A Kubernetes quantity: `2`, `"500m"`.
pub(super) fn quantity(field: &Field<'_>) -> Option<f64> {
    let Ok(text) = field.raw_text() else {
        return field.number();
    };
    let (digits, scale) = match text.strip_suffix('m') {
        Some(digits) => (digits, 1000.0),
        None => (text, 1.0),
    };
    let parsed: Option<f64> = digits.parse().ok();
    if parsed.is_none() {
        field.lost(format!("{text:?} is not a weight"));
    }
    parsed.map(|value| value / scale)
}

fn read_budget(field: &Field<'_>) -> Budget {
    let default = Budget::default();
    let ratio = field.get("retryRatio").and_then(|ratio| ratio.number());
    let floor = field
        .get("minRetriesPerSecond")
        .and_then(|rate| rate.integer());
    Budget {
        percent: ratio.map_or(default.percent, |ratio| {
            (ratio * 100_000.0).round() / 1000.0
        }),
        interval: field
            .get("ttl")
            .and_then(|ttl| ttl.duration())
            .unwrap_or(default.interval),
        floor_count: floor
            .and_then(|rate| u32::try_from(rate).ok())
            .unwrap_or(default.floor_count),
        ..default
    }
}

/// The alternatives of a route's condition.
fn read_condition(route: &Field<'_>) -> Option<Vec<Match>> {
    let Some(condition) = route.get("condition") else {
        route.lost("has no condition: its requests count as those of later routes");
        return None;
    };
    let read = alternatives(&condition);
    if read.is_none() {
        route.lost("its condition cannot be said with paths and methods: its requests count as those of later routes");
    }
    read
}

fn alternatives(field: &Field<'_>) -> Option<Vec<Match>> {
    if let Some(not) = field.get("not") {
        not.take();
        return None;
    }
    let mut found = vec![Match {
        path: field
            .text_at("pathRegex")
            .map(|regex| PathMatch::Regex(regex.to_owned())),
        methods: field
            .text_at("method")
            .map(str::to_owned)
            .into_iter()
            .collect(),
        ..Match::default()
    }];
    for all in field.list("all") {
        found = both(&found, &alternatives(&all)?)?;
    }
    let any = field.list("any");
    if !any.is_empty() {
        let mut either = Vec::new();
        for one in &any {
            either.extend(alternatives(one)?);
        }
        found = both(&found, &either)?;
    }
    Some(found)
}

/// What both say, where they speak of different things.
fn both(one: &[Match], other: &[Match]) -> Option<Vec<Match>> {
    let mut found = Vec::new();
    for one in one {
        for other in other {
            let clash = (one.path.is_some() && other.path.is_some())
                || (!one.methods.is_empty() && !other.methods.is_empty());
            if clash {
                return None;
            }
            found.push(Match {
                path: one.path.clone().or_else(|| other.path.clone()),
                methods: [one.methods.clone(), other.methods.clone()].concat(),
                ..Match::default()
            });
        }
    }
    Some(found)
}
