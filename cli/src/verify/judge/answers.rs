//! What each answer must be: status, headers, body, upstream, latency.

use super::check::{Check, Requests, shortened};
use crate::verify::run::seen::Answer;
use crate::verify::suite::bounds::seconds;
use crate::verify::suite::expect::{Body, Expect, Status, Text};

pub(super) fn judge(expect: &Expect, requests: &Requests<'_>, checks: &mut Vec<Check>) {
    if !expect.status.is_empty() {
        checks.push(requests.each("status", any_of(&expect.status), |answer| {
            let status = answer.status();
            let right = expect.status.iter().any(|wanted| wanted.fits(status));
            (status_word(status), right)
        }));
    }
    if let Some(text) = &expect.details {
        checks.push(
            requests.each("response code details", &text.written, |answer| {
                let details = answer.access.as_ref().map(|a| a.details.clone());
                shown(details, text)
            }),
        );
    }
    for (name, text) in &expect.headers {
        checks.push(header(requests, "response header", name, text, |a| {
            a.header(name)
        }));
    }
    for name in &expect.absent_headers {
        let there = |a: &Answer| a.result.is_ok();
        checks.push(absent(requests, "response header", name, there, |a| {
            a.header(name)
        }));
    }
    for (name, text) in &expect.upstream_headers {
        let kind = "request header upstream";
        checks.push(header(requests, kind, name, text, |a| {
            a.upstream_header(name)
        }));
    }
    for name in &expect.absent_upstream_headers {
        let kind = "request header upstream";
        let there = |a: &Answer| !a.attempts.is_empty();
        checks.push(absent(requests, kind, name, there, |a| {
            a.upstream_header(name)
        }));
    }
    if let Some(body) = &expect.body {
        checks.push(body_check(requests, body));
    }
    if let Some(upstream) = &expect.upstream {
        let expected = match upstream.as_str() {
            "" => "no upstream: Envoy answers".to_owned(),
            name => name.to_owned(),
        };
        checks.push(requests.each("upstream", expected, |answer| {
            let from = answer.upstream().unwrap_or_default();
            let word = if from.is_empty() { "none" } else { from };
            (word.to_owned(), from == upstream)
        }));
    }
    if let Some(bounds) = &expect.latency {
        checks.push(latency(requests, bounds));
    }
}

fn any_of(wanted: &[Status]) -> String {
    let words: Vec<String> = wanted.iter().map(Status::to_string).collect();
    words.join(" or ")
}

fn status_word(status: Option<u16>) -> String {
    status.map_or("no answer".to_owned(), |status| status.to_string())
}

fn shown(value: Option<String>, text: &Text) -> (String, bool) {
    match value {
        Some(value) => {
            let right = text.matcher.matches(value.as_bytes());
            (format!("{:?}", shortened(&value)), right)
        }
        None => ("missing".to_owned(), false),
    }
}

fn header(
    requests: &Requests<'_>,
    kind: &str,
    name: &str,
    text: &Text,
    get: impl Fn(&Answer) -> Option<String>,
) -> Check {
    let expected = match text.written.as_str() {
        "*" => "any value".to_owned(),
        written => format!("{written:?}"),
    };
    requests.each(format!("{kind} {name}"), expected, |a| shown(get(a), text))
}

fn absent(
    requests: &Requests<'_>,
    kind: &str,
    name: &str,
    there: impl Fn(&Answer) -> bool,
    get: impl Fn(&Answer) -> Option<String>,
) -> Check {
    // Without an answer, or an attempt upstream, there is nothing to lack a header.
    if !requests.seen.answers.iter().any(there) {
        let seen = match kind {
            "response header" => "no answer at all",
            _ => "no request reached an upstream",
        };
        return Check::new(format!("{kind} {name}"), false, "not there", seen);
    }
    requests.each(format!("{kind} {name}"), "not there", |answer| {
        match get(answer) {
            Some(value) => (format!("{:?}", shortened(&value)), false),
            None => ("missing".to_owned(), true),
        }
    })
}

fn body_check(requests: &Requests<'_>, body: &Body) -> Check {
    let expected = match body {
        Body::Equals(text) => format!("{:?}", shortened(text)),
        Body::Contains(text) => format!("something with {:?} in it", shortened(text)),
    };
    requests.each("response body", expected, |answer| {
        let Ok(response) = &answer.result else {
            return ("no answer".to_owned(), false);
        };
        let text = response.text();
        let right = match body {
            Body::Equals(wanted) => text == *wanted,
            Body::Contains(wanted) => text.contains(wanted.as_str()),
        };
        (format!("{:?}", shortened(&text)), right)
    })
}

fn latency(requests: &Requests<'_>, bounds: &crate::verify::suite::bounds::Bounds) -> Check {
    let took = |answer: &Answer| answer.latency.as_secs_f64();
    let answers = &requests.seen.answers;
    let shortest = answers.iter().map(took).fold(f64::INFINITY, f64::min);
    let longest = answers.iter().map(took).fold(0.0, f64::max);
    let seen = if answers.len() == 1 {
        seconds(longest)
    } else {
        format!("{} to {}", seconds(shortest), seconds(longest))
    };
    let wrong = answers.iter().find(|answer| !bounds.hold(took(answer)));
    let mut check = Check::new("latency", wrong.is_none(), bounds.words(seconds), seen);
    if let Some(answer) = wrong {
        check.evidence = requests.example(answer);
    }
    check
}
