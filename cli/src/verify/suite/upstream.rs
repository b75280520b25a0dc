//! Upstreams: what they are called and what they answer.

use std::time::Duration;

use meshpack_harness::{Behavior, Script};
use meshpack_sdk::config::{Fields, Value};

use crate::json;

/// A server behind Envoy, and the cluster of the same name.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) conduct: Conduct,
    pub(crate) http2: bool,
    /// Merged into the Envoy cluster: outlier detection, circuit breakers.
    pub(crate) cluster: Option<serde_json::Value>,
}

/// What an upstream does with requests.
#[derive(Clone, Debug)]
pub(crate) enum Conduct {
    /// Nobody listens.
    Down,
    Up(Box<Answers>),
}

/// The answers of an upstream.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    usually: Behavior,
    sometimes: Option<(Sometimes, Behavior)>,
}

/// Which requests meet the failure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sometimes {
    Percent { percent: f64, seed: u64 },
    First(u64),
}

impl Upstream {
    /// Reads an upstream's own keys and its [`Conduct`].
    pub(crate) fn read(name: &str, value: &Value<'_>) -> Option<Self> {
        let mut fields = value.object()?;
        let http2 = fields.get("http2").map_or(Some(false), |v| v.boolean());
        let cluster = fields.get("cluster").map_or(Some(None), |v| {
            v.object()?.ignore_unknown();
            Some(Some(json::value(v.node())))
        });
        let conduct = Conduct::read_fields(&mut fields);
        Some(Self {
            name: name.to_owned(),
            conduct: conduct?,
            http2: http2?,
            cluster: cluster?,
        })
    }
}

impl Conduct {
    /// Reads what a step changes about an upstream.
    pub(crate) fn read(value: &Value<'_>) -> Option<Self> {
        Self::read_fields(&mut value.object()?)
    }

    fn read_fields(fields: &mut Fields<'_>) -> Option<Self> {
        let down = fields.get("down").map_or(Some(false), |v| v.boolean());
        let sometimes = fields
            .get("fail")
            .map_or(Some(None), |v| fail(&v).map(Some));
        let usually = behavior(fields, 200);
        Some(if down? {
            Self::Down
        } else {
            Self::Up(Box::new(Answers {
                usually: usually?,
                sometimes: sometimes?,
            }))
        })
    }

    /// The script that a harness upstream follows; `None` when nobody listens.
    pub(crate) fn script(&self) -> Option<Script> {
        let Self::Up(answers) = self else {
            return None;
        };
        let Answers { usually, sometimes } = answers.as_ref().clone();
        Some(match sometimes {
            None => usually.into(),
            Some((Sometimes::First(count), failure)) => Script::first(count, failure, usually),
            Some((Sometimes::Percent { percent, seed }, failure)) => {
                Script::fraction(percent / 100.0, seed, failure, usually)
            }
        })
    }
}

fn fail(value: &Value<'_>) -> Option<(Sometimes, Behavior)> {
    let mut fields = value.object()?;
    let percent = fields.get("percent");
    let first = fields.get("first");
    let seed = fields
        .get("seed")
        .map_or(Some(0), |v| v.integer(0..=i64::MAX));
    let failure = behavior(&mut fields, 503);
    let which = match (percent, first) {
        (Some(percent), None) => Sometimes::Percent {
            percent: percent.number(0.0..=100.0)?,
            seed: seed?.unsigned_abs(),
        },
        (None, Some(first)) => Sometimes::First(first.integer(0..=1_000_000)?.unsigned_abs()),
        _ => return value.problem("must say which requests fail: give either percent or first"),
    };
    Some((which, failure?))
}

/// An answer; one with neither status nor body echoes the request.
fn behavior(fields: &mut Fields<'_>, default: u16) -> Option<Behavior> {
    let status = fields.get("status").map(|v| v.integer(200..=599));
    let body = fields.get("body").map(|v| v.string());
    let reset = fields.get("reset").map_or(Some(false), |v| v.boolean());
    let hang = fields.get("hang").map_or(Some(false), |v| v.boolean());
    let grpc = fields.get("grpcStatus").map(|v| v.integer(0..=16));
    let delay = fields
        .get("delay")
        .map_or(Some(Duration::ZERO), |v| v.duration(Duration::ZERO));
    let headers = fields
        .get("headers")
        .map_or(Some(Vec::new()), |v| super::traffic::headers(&v));
    let ways = [
        status.is_some() || body.is_some(),
        reset == Some(true),
        hang == Some(true),
        grpc.is_some(),
    ];
    if ways.iter().filter(|way| **way).count() > 1 {
        return fields
            .value()
            .problem("contradicts itself: give one of status/body, grpcStatus, reset, hang");
    }
    let mut behavior = if reset? {
        Behavior::reset()
    } else if hang? {
        Behavior::hang()
    } else if let Some(code) = grpc {
        match u32::try_from(code?).ok()? {
            0 => Behavior::grpc(&[b""], 0),
            code => Behavior::grpc_error(code),
        }
    } else if status.is_none() && body.is_none() && default == 200 {
        Behavior::echo()
    } else {
        let status = status.map_or(Some(default), |s| u16::try_from(s?).ok())?;
        Behavior::status(status)
    };
    if let Some(body) = body {
        behavior = behavior.body(body?.to_owned());
    }
    for (name, value) in headers? {
        behavior = behavior.header(name, value);
    }
    Some(behavior.delay(delay?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshpack_sdk::config::parse;

    fn problem(json: &str) -> String {
        match parse(json.as_bytes(), |v| Upstream::read("v1", &v)) {
            Ok(_) => String::new(),
            Err(problems) => problems[0].to_string(),
        }
    }

    #[test]
    fn an_upstream_says_one_thing() {
        assert_eq!(problem("{}"), "");
        assert_eq!(
            problem(r#"{"status": 503, "delay": "10ms", "http2": true}"#),
            ""
        );
        assert!(problem(r#"{"reset": true, "status": 503}"#).contains("contradicts itself"));
    }

    #[test]
    fn a_failure_says_which_requests() {
        assert_eq!(problem(r#"{"fail": {"percent": 20, "reset": true}}"#), "");
        assert!(problem(r#"{"fail": {"status": 503}}"#).contains("which requests fail"));
        assert!(problem(r#"{"fail": {"percent": 120}}"#).starts_with("fail.percent: 120"));
    }
}
