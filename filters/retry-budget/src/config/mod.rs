//! The configuration as a user writes it.

mod retry_on;

pub use retry_on::RetryOn;

use std::time::Duration;

use meshpack_sdk::config::{Node, Number, Value, decimal};
use meshpack_sdk::matching::RequestMatch;

use crate::policy::{Floor, Percent, Share, Terms};

/// Longest name of a budget, in bytes: it is a label in stat names.
pub(crate) const MAX_NAME: usize = 100;

/// Shortest and longest interval of a budget or a floor.
const INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);

/// Most budgets: each has four metrics, which Envoy never frees. `key: host` or
/// `cluster` gives one entry a budget per value.
pub const MAX_BUDGETS: usize = 1000;

/// Label of the server side in metrics, so no budget can have this name.
pub const SERVER: &str = "server";

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Outbound budgets; the first whose `match` fits a request is its budget.
    pub budgets: Vec<Budget>,
    /// Inbound limit on retries that others send.
    pub server: Option<ServerLimit>,
    /// Whether failures that a hop further down has already retried are marked.
    pub stop_amplification: bool,
}

/// The inbound side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimit {
    /// How much is allowed.
    pub terms: Terms,
    /// Whose word is taken for which attempt a request is.
    pub trust: Trust,
    /// Most of the retries allowed that one source may use, in percent.
    pub max_source_percent: u32,
}

/// Whose `x-envoy-attempt-count` is believed. Envoy passes on what a client
/// wrote there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Peers with a certificate.
    Mtls,
    /// Everybody.
    Always,
}

/// One entry of `budgets`.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// Label in metrics and name of the shared state.
    pub name: String,
    /// Which requests it is for.
    pub matches: RequestMatch,
    /// What has a budget of its own.
    pub key: Key,
    /// How much is allowed.
    pub terms: Terms,
    /// Most retries of one request.
    pub max_retries: u32,
    /// Retry conditions beside those of the route.
    pub retry_on: Option<RetryOn>,
    /// Limit on one attempt, in milliseconds.
    pub per_try_timeout: Option<u64>,
    /// Limit on the request with all its attempts, in milliseconds.
    pub timeout: Option<u64>,
    /// When retries are charged.
    pub mode: Mode,
    /// What the client sees when a retry was refused.
    pub when_exhausted: WhenExhausted,
}

/// What has a budget of its own: one per value of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The entry itself: one budget for all its requests.
    Name,
    /// The cluster that the route chose.
    Cluster,
    /// The request's host, without port and case.
    Host,
}

/// When a retry is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Taken before the request, what was not used comes back after it: never
    /// more than allowed, but requests in flight lock what they may need.
    Reserve,
    /// Charged after the request: locks nothing, and can overshoot by what is in
    /// flight when an outage begins.
    Settle,
}

/// What the client sees when a retry was wanted and refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenExhausted {
    /// The answer of the last attempt.
    Upstream,
    /// 503, as Gateway API's GEP-3388 asks for.
    Unavailable,
}

impl Config {
    /// Reads a configuration; problems are noted on `value`.
    #[must_use]
    pub fn read(value: &Value<'_>) -> Option<Self> {
        let mut fields = value.object()?;
        let budgets = fields.get("budgets").map_or(Some(Vec::new()), |list| {
            list.at_most(
                MAX_BUDGETS,
                "each has metrics of its own, which Envoy never frees",
            )?;
            for (budget, name) in list.repeated("name") {
                budget.problem::<()>(format!(
                    "{name:?} is the name of an earlier budget: give each its own name"
                ));
            }
            list.list_of(Budget::read)
        });
        let server = match fields.get("server") {
            Some(server) => read_server(&server).map(Some),
            None => Some(None),
        };
        let stop_amplification = fields
            .get("stopAmplification")
            .map_or(Some(false), |v| v.boolean());
        Some(Self {
            budgets: budgets?,
            server: server?,
            stop_amplification: stop_amplification?,
        })
    }
}

impl Budget {
    fn read(value: &Value<'_>) -> Option<Self> {
        let mut fields = value.object()?;
        let name = fields.required("name").and_then(|name| read_name(&name));
        let matches = fields
            .get("match")
            .map_or_else(|| Some(RequestMatch::any()), |v| RequestMatch::read(&v));
        let key = fields.get("key").map_or(Some(Key::Name), |v| {
            v.one_of(&[
                ("name", Key::Name),
                ("cluster", Key::Cluster),
                ("host", Key::Host),
            ])
        });
        let budget = fields.get("budget").map_or_else(
            || Some((DEFAULT_SHARE, DEFAULT_INTERVAL)),
            |v| read_share(&v),
        );
        let floor = fields
            .get("minRetryRate")
            .map_or(Some(DEFAULT_FLOOR), |v| read_floor(&v));
        let max_retries = fields
            .get("maxRetries")
            .map_or(Some(2), |v| v.integer(0..=100));
        let retry_on = optional(fields.get("retryOn"), |v| RetryOn::read(v));
        let per_try = fields.get("perTryTimeout");
        let per_try_timeout = optional(per_try.clone(), read_timeout);
        let timeout = optional(fields.get("timeout"), read_timeout);
        if let (Some(value), Some(Some(one)), Some(Some(all))) = (per_try, per_try_timeout, timeout)
            && one >= all
        {
            value.problem::<()>(
                "is not shorter than timeout, so no second attempt could begin: Envoy would ignore it",
            );
        }
        let mode = fields.get("mode").map_or(Some(Mode::Reserve), |v| {
            v.one_of(&[("reserve", Mode::Reserve), ("settle", Mode::Settle)])
        });
        let when_exhausted = fields
            .get("whenExhausted")
            .map_or(Some(WhenExhausted::Upstream), |v| read_when_exhausted(&v));
        let (share, interval) = budget?;
        Some(Self {
            name: name?.to_owned(),
            matches: matches?,
            key: key?,
            terms: Terms {
                share,
                interval,
                floor: floor?,
            },
            max_retries: u32::try_from(max_retries?).ok()?,
            retry_on: retry_on?,
            per_try_timeout: per_try_timeout?,
            timeout: timeout?,
            mode: mode?,
            when_exhausted: when_exhausted?,
        })
    }
}

/// The defaults of Gateway API's GEP-3388.
const DEFAULT_PERCENT: Percent = match Percent::whole(20) {
    Some(percent) => percent,
    None => unreachable!(),
};
const DEFAULT_SHARE: Share = Share::of_requests(DEFAULT_PERCENT);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
const DEFAULT_FLOOR: Floor = Floor {
    count: 10,
    interval: Duration::from_secs(1),
};

/// Reads an optional field: absent is `Some(None)`, broken is `None`.
fn optional<'a, T>(
    value: Option<Value<'a>>,
    read: impl FnOnce(&Value<'a>) -> Option<T>,
) -> Option<Option<T>> {
    match value {
        Some(value) => read(&value).map(Some),
        None => Some(None),
    }
}

fn read_name<'a>(value: &Value<'a>) -> Option<&'a str> {
    match value.non_empty_string()? {
        SERVER => value.problem(format!(
            "{SERVER:?} is the metric label of the server side: choose another name"
        )),
        name if name.len() > MAX_NAME => value.problem(format!(
            "is longer than {MAX_NAME} bytes, too long for a metric label"
        )),
        name => Some(name),
    }
}

fn read_percent(value: &Value<'_>, most: u32) -> Option<Percent> {
    let number = value.number(0.0..=f64::from(most))?;
    Percent::from_number(number).or_else(|| {
        value.problem(format!(
            "{} has more than three decimals, which can not be kept exactly",
            decimal(number)
        ))
    })
}

fn read_interval(value: &Value<'_>) -> Option<Duration> {
    let interval = value.duration(*INTERVAL.start())?;
    if interval > *INTERVAL.end() {
        return value.problem("is longer than an hour: use at most \"1h\"");
    }
    Some(interval)
}

fn read_share(value: &Value<'_>) -> Option<(Share, Duration)> {
    let mut fields = value.object()?;
    let percent = fields
        .get("percent")
        .map_or(Some(DEFAULT_PERCENT), |v| read_percent(&v, Percent::MAX));
    let interval = fields
        .get("interval")
        .map_or(Some(DEFAULT_INTERVAL), |v| read_interval(&v));
    Some((Share::of_requests(percent?), interval?))
}

fn read_floor(value: &Value<'_>) -> Option<Floor> {
    let mut fields = value.object()?;
    let count = fields
        .get("count")
        .map_or(Some(i64::from(DEFAULT_FLOOR.count)), |v| {
            v.integer(0..=1_000_000)
        });
    let interval = fields
        .get("interval")
        .map_or(Some(DEFAULT_FLOOR.interval), |v| read_interval(&v));
    Some(Floor {
        count: u32::try_from(count?).ok()?,
        interval: interval?,
    })
}

fn read_server(value: &Value<'_>) -> Option<ServerLimit> {
    let mut fields = value.object()?;
    let percent = fields
        .required("maxRetryPercent")
        .and_then(|v| read_percent(&v, 100));
    let interval = fields
        .get("interval")
        .map_or(Some(DEFAULT_INTERVAL), |v| read_interval(&v));
    let floor = fields
        .get("minRetryRate")
        .map_or(Some(DEFAULT_FLOOR), |v| read_floor(&v));
    let trust = fields
        .get("trustAttemptCount")
        .map_or(Some(Trust::Mtls), |v| {
            v.one_of(&[("mtls", Trust::Mtls), ("always", Trust::Always)])
        });
    let max_source_percent = fields
        .get("maxSourcePercent")
        .map_or(Some(80), |v| v.integer(1..=100));
    Some(ServerLimit {
        terms: Terms {
            share: Share::of_attempts(percent?),
            interval: interval?,
            floor: floor?,
        },
        trust: trust?,
        max_source_percent: u32::try_from(max_source_percent?).ok()?,
    })
}

/// Whole milliseconds, because Envoy's timeout headers have no finer unit.
fn read_timeout(value: &Value<'_>) -> Option<u64> {
    let timeout = value.duration(Duration::from_millis(1))?;
    u64::try_from(timeout.as_millis()).ok()
}

/// `upstream` or 503, as a number or a string: YAML writers use both.
fn read_when_exhausted(value: &Value<'_>) -> Option<WhenExhausted> {
    match value.node() {
        Node::Number(Number::Integer(503)) => Some(WhenExhausted::Unavailable),
        Node::String(text) if text == "503" => Some(WhenExhausted::Unavailable),
        Node::String(text) if text == "upstream" => Some(WhenExhausted::Upstream),
        _ => value.problem("is neither upstream nor 503"),
    }
}

#[cfg(test)]
mod tests;
