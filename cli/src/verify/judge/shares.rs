//! What share of the requests went where, and whether users stayed.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Bar, Chart, Check, Requests};
use crate::verify::chance;
use crate::verify::run::seen::{Answer, count};
use crate::verify::suite::bounds::{Bounds, Share, number};
use crate::verify::suite::expect::Expect;

pub(super) fn judge(expect: &Expect, requests: &Requests<'_>, checks: &mut Vec<Check>) {
    if !expect.statuses.is_empty() {
        let place = |answer: &Answer| {
            let status = answer.status();
            let fits = |(wanted, _): &&(_, Share)| {
                let wanted: &crate::verify::suite::expect::Status = wanted;
                wanted.fits(status)
            };
            match expect.statuses.iter().find(fits) {
                Some((wanted, _)) => wanted.to_string(),
                None => status.map_or("no answer".to_owned(), |status| status.to_string()),
            }
        };
        let wanted = expect
            .statuses
            .iter()
            .map(|(s, share)| (s.to_string(), *share));
        let wanted: Vec<_> = wanted.collect();
        checks.push(shares("status shares", &wanted, requests, place));
    }
    if !expect.shares.is_empty() {
        let name = match &expect.shares_by {
            Some(header) => format!("shares by {header}"),
            None => "shares by upstream".to_owned(),
        };
        let place = |answer: &Answer| match &expect.shares_by {
            Some(header) => answer
                .upstream_header(header)
                .unwrap_or_else(|| "(no such header)".to_owned()),
            None => answer.upstream().unwrap_or("(no upstream)").to_owned(),
        };
        checks.push(shares(&name, &expect.shares, requests, place));
    }
    if expect.sticky {
        checks.push(sticky(requests));
    }
}

fn shares(
    name: &str,
    wanted: &[(String, Share)],
    requests: &Requests<'_>,
    place: impl Fn(&Answer) -> String,
) -> Check {
    let all = requests.seen.answers.len();
    let draws = requests.traffic.draws(all);
    let counts = count(requests.seen.answers.iter().map(&place));
    let share = |name: &str| {
        let count = counts.get(name).copied().unwrap_or(0);
        (count, 100.0 * count as f64 / all.max(1) as f64)
    };
    let judged: Vec<Judged<'_>> = wanted
        .iter()
        .map(|(name, wanted)| Judged::new(name, *wanted, share(name), draws))
        .collect();
    // Percentages that make a whole leave nothing for anything else.
    let whole = wanted.iter().all(|(_, share)| share.percent().is_some());
    let known: BTreeSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    let others: Vec<&String> = counts
        .keys()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    let passed = judged.iter().all(|j| j.right) && (!whole || others.is_empty());
    let expected = judged.iter().map(|j| format!("{} {}", j.name, j.expected));
    let mut seen: Vec<String> = judged
        .iter()
        .map(|j| format!("{} {} % ({} of {all})", j.name, number(j.percent), j.count))
        .collect();
    seen.extend(others.iter().map(|name| {
        let (count, percent) = share(name);
        format!("{name} {} % ({count} of {all})", number(percent))
    }));
    let mut check = Check::new(
        name,
        passed,
        expected.collect::<Vec<_>>().join(", "),
        seen.join(", "),
    );
    if !passed {
        let wrong = judged.iter().find(|j| !j.right);
        let surplus = requests.seen.answers.iter().find(|answer| {
            let place = place(answer);
            match wrong {
                Some(wrong) => place == wrong.name,
                None => !known.contains(place.as_str()),
            }
        });
        if let Some(answer) = surplus {
            check.evidence = requests.example(answer);
        }
    }
    check.advice = judged.iter().find_map(|j| j.advice.clone());
    let mut bars: Vec<Bar> = judged.iter().map(Judged::bar).collect();
    bars.extend(others.iter().map(|name| Bar {
        label: (*name).clone(),
        seen: share(name).1,
        low: whole.then_some(0.0),
        high: whole.then_some(0.0),
    }));
    check.chart = Some(Chart {
        title: name.to_owned(),
        unit: "%",
        bars,
    });
    check
}

/// One share, wanted and seen.
struct Judged<'a> {
    name: &'a str,
    count: usize,
    percent: f64,
    low: f64,
    high: f64,
    right: bool,
    expected: String,
    advice: Option<String>,
}

impl<'a> Judged<'a> {
    fn new(name: &'a str, wanted: Share, (count, percent): (usize, f64), draws: u64) -> Self {
        let (low, high, expected, advice) = match wanted {
            Share::Within(bounds) => {
                let Bounds { at_least, at_most } = bounds;
                let words = bounds.words(|n| format!("{} %", number(n)));
                (
                    at_least.unwrap_or(0.0),
                    at_most.unwrap_or(100.0),
                    words,
                    None,
                )
            }
            Share::About {
                percent,
                tolerance: None,
            } => {
                let (low, high) = chance::percent_range(draws, percent);
                let words = format!(
                    "{} % (by chance {} to {} %)",
                    number(percent),
                    number(low),
                    number(high)
                );
                (low, high, words, None)
            }
            Share::About {
                percent,
                tolerance: Some(tolerance),
            } => {
                let (low, high) = (percent - tolerance, percent + tolerance);
                let words = format!("{} % ± {}", number(percent), number(tolerance));
                let advice = too_tight(name, percent, tolerance, draws);
                (low.max(0.0), high.min(100.0), words, advice)
            }
        };
        // Percentages are computed, limits written: half of one request decides.
        let slack = 1e-9;
        let right = percent >= low - slack && percent <= high + slack;
        // Who allows nothing knows that no chance is involved, until there is.
        let exact = matches!(wanted, Share::About { tolerance: Some(t), .. } if t == 0.0);
        Self {
            name,
            count,
            percent,
            low,
            high,
            right,
            expected,
            advice: advice.filter(|_| !(exact && right)),
        }
    }

    fn bar(&self) -> Bar {
        Bar {
            label: self.name.to_owned(),
            seen: self.percent,
            low: Some(self.low),
            high: Some(self.high),
        }
    }
}

/// Says so if chance alone would break the tolerance now and then.
fn too_tight(name: &str, percent: f64, tolerance: f64, draws: u64) -> Option<String> {
    let (low, high) = chance::percent_range(draws, percent);
    let step = 100.0 / draws.max(1) as f64;
    // One request more or less is no statistics.
    if low >= percent - tolerance - step && high <= percent + tolerance + step {
        return None;
    }
    let remedy = if tolerance == 0.0 {
        "give a tolerance or leave it to chance by not naming any".to_owned()
    } else {
        format!(
            "send about {} different ones or allow more",
            chance::draws_for(percent, tolerance)
        )
    };
    Some(format!(
        "the tolerance of {} is too tight for {draws} independent requests or users: chance alone puts {name} anywhere from {} to {} %; {remedy}",
        number(tolerance),
        number(low),
        number(high),
    ))
}

fn sticky(requests: &Requests<'_>) -> Check {
    let mut places: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    let mut moved: Option<&Answer> = None;
    for answer in &requests.seen.answers {
        let (Some(user), Some(upstream)) = (requests.traffic.user(answer.n), answer.upstream())
        else {
            continue;
        };
        let known = places.entry(user).or_default();
        known.insert(upstream);
        if known.len() > 1 && moved.is_none() {
            moved = Some(answer);
        }
    }
    let users = places.len();
    let movers = places.values().filter(|places| places.len() > 1).count();
    let mut check = Check::new(
        "sticky users",
        movers == 0 && users > 0,
        "every user meets one upstream only",
        match (users, movers) {
            (0, _) => "no user was answered by an upstream".to_owned(),
            (users, 0) => format!("all {users} users did"),
            (users, movers) => format!("{movers} of {users} users met several"),
        },
    );
    if let Some(answer) = moved {
        check.evidence = requests.example(answer);
        let user = requests.traffic.user(answer.n).unwrap_or_default();
        let met: Vec<&str> = places.get(&user).into_iter().flatten().copied().collect();
        check
            .evidence
            .push(format!("user {user} met {}", met.join(" and ")));
    }
    check
}
