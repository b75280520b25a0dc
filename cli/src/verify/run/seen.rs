//! What a step showed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshpack_harness::{ClientError, Recorded, Response};

/// Everything that was seen during one step.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// One per request, in the order of their numbers.
    pub(crate) answers: Vec<Answer>,
    pub(crate) took: Duration,
    /// Envoy's log of this step, access log left out.
    pub(crate) log: String,
    /// One per expected metric, in their order.
    pub(crate) metrics: Vec<Measured>,
}

/// One request and what became of it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its number, from 1.
    pub(crate) n: usize,
    pub(crate) latency: Duration,
    pub(crate) result: Result<Response, ClientError>,
    /// What arrived upstream for it, in the order of arrival.
    pub(crate) attempts: Vec<Attempt>,
    /// What Envoy says about it, unless it said nothing.
    pub(crate) access: Option<Access>,
}

/// An attempt of a request, as an upstream saw it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) upstream: String,
    pub(crate) request: Arc<Recorded>,
}

/// What Envoy's access log says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// `%RESPONSE_CODE_DETAILS%`
    pub(crate) details: String,
    /// `%RESPONSE_FLAGS%`, empty if there are none.
    pub(crate) flags: String,
}

/// A metric before and after; `None` where there is no such series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) before: Option<f64>,
    pub(crate) after: Option<f64>,
    /// Series with a similar name, for whoever mistyped it.
    pub(crate) similar: Vec<String>,
}

impl Answer {
    /// The status; `None` if no complete answer came.
    pub(crate) fn status(&self) -> Option<u16> {
        self.result.as_ref().ok().map(|response| response.status)
    }

    /// The upstream that answered; `None` if Envoy did.
    pub(crate) fn upstream(&self) -> Option<&str> {
        self.result.as_ref().ok().and_then(Response::upstream)
    }

    /// A response header or trailer.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let response = self.result.as_ref().ok()?;
        let trailer = || response.trailers.as_ref().and_then(|t| t.get(name));
        let value = response.headers.get(name).or_else(trailer)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// A request header as the last attempt carried it.
    pub(crate) fn upstream_header(&self, name: &str) -> Option<String> {
        let value = self.attempts.last()?.request.header(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

impl Seen {
    /// How many attempts all requests made together.
    pub(crate) fn attempts(&self) -> usize {
        self.answers
            .iter()
            .map(|answer| answer.attempts.len())
            .sum()
    }

    /// How often each status came.
    pub(crate) fn statuses(&self) -> BTreeMap<String, usize> {
        count(self.answers.iter().map(|answer| match answer.status() {
            Some(status) => status.to_string(),
            None => "no answer".to_owned(),
        }))
    }

    /// How often each upstream answered.
    pub(crate) fn upstreams(&self) -> BTreeMap<String, usize> {
        count(
            self.answers
                .iter()
                .filter_map(Answer::upstream)
                .map(str::to_owned),
        )
    }
}

/// How often each item occurs.
pub(crate) fn count<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}
