//! One expectation, held against what was seen.

use std::collections::BTreeMap;

use crate::verify::run::seen::{Answer, Seen, count};
use crate::verify::suite::bounds;
use crate::verify::suite::traffic::Traffic;

/// One expectation and what became of it.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Check {
    /// What was looked at: `status`, `shares`, `metric …`.
    pub(crate) name: String,
    pub(crate) passed: bool,
    pub(crate) expected: String,
    pub(crate) seen: String,
    /// An example and whatever else helps to understand a failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) evidence: Vec<String>,
    /// What is doubtful about the expectation itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chart: Option<Chart>,
}

/// Numbers worth a picture.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// `%` or `x`
    pub(crate) unit: &'static str,
    pub(crate) bars: Vec<Bar>,
}

/// What was seen, and the range it should be in.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) seen: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) high: Option<f64>,
}

impl Check {
    pub(crate) fn new(
        name: impl Into<String>,
        passed: bool,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            passed,
            expected: expected.into(),
            seen: seen.into(),
            evidence: Vec::new(),
            advice: None,
            chart: None,
        }
    }
}

/// The requests of a step with their answers.
pub(crate) struct Requests<'a> {
    pub(crate) seen: &'a Seen,
    pub(crate) traffic: &'a Traffic,
}

impl Requests<'_> {
    /// Checks every answer by itself: `look` says what it shows and whether that is
    /// right.
    pub(crate) fn each(
        &self,
        name: impl Into<String>,
        expected: impl Into<String>,
        look: impl Fn(&Answer) -> (String, bool),
    ) -> Check {
        let all = self.seen.answers.len();
        let looked: Vec<(&Answer, (String, bool))> =
            self.seen.answers.iter().map(|a| (a, look(a))).collect();
        let wrong = looked.iter().find(|(_, (_, right))| !right);
        let shown = count(looked.iter().map(|(_, (shown, _))| shown.clone()));
        let mut check = Check::new(name, wrong.is_none(), expected, tally(&shown, all));
        if let Some((answer, _)) = wrong {
            check.evidence = self.example(answer);
        }
        check
    }

    /// A request and what happened to it.
    pub(crate) fn example(&self, answer: &Answer) -> Vec<String> {
        vec![
            format!("request {}: {}", answer.n, self.traffic.describe(answer.n)),
            format!("answer: {}", describe(answer)),
        ]
    }
}

/// What an answer was, and why, in Envoy's own words.
fn describe(answer: &Answer) -> String {
    let mut text = match &answer.result {
        Ok(response) => response.status.to_string(),
        Err(error) => error.to_string(),
    };
    if let Some(access) = &answer.access {
        if !access.details.is_empty() {
            text.push_str(&format!(", because {}", access.details));
        }
        if !access.flags.is_empty() {
            text.push_str(&format!(" [{}]", access.flags));
        }
    }
    if let Ok(response) = &answer.result
        && answer.upstream().is_none()
        && !response.body.is_empty()
    {
        text.push_str(&format!(", body {:?}", shortened(&response.text())));
    }
    text.push_str(&format!(
        ", after {}",
        bounds::seconds(answer.latency.as_secs_f64())
    ));
    let upstreams: Vec<&str> = answer
        .attempts
        .iter()
        .map(|a| a.upstream.as_str())
        .collect();
    text.push_str(&match upstreams.as_slice() {
        [] => ", reached no upstream".to_owned(),
        [one] => format!(", from one attempt at {one}"),
        many => format!(", {} attempts: {}", many.len(), shortened(&many.join(", "))),
    });
    text
}

/// `503 for 3 of 40 requests, 200 for 37`
pub(crate) fn tally(shown: &BTreeMap<String, usize>, all: usize) -> String {
    const MOST: usize = 4;
    let mut counts: Vec<(&String, &usize)> = shown.iter().collect();
    counts.sort_by(|a, b| b.1.cmp(a.1));
    match counts.as_slice() {
        [] => "no requests".to_owned(),
        [(only, _)] if all == 1 => (*only).clone(),
        [(only, _)] => format!("{only} for all {all} requests"),
        several => {
            let mut parts: Vec<String> = several
                .iter()
                .take(MOST)
                .map(|(shown, count)| format!("{shown} for {count}"))
                .collect();
            if several.len() > MOST {
                parts.push(format!("{} others", several.len() - MOST));
            }
            format!("{} (of {all} requests)", parts.join(", "))
        }
    }
}

/// Text cut to what fits a line.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let start: String = text.chars().take(MOST).collect();
    format!("{start}…")
}
