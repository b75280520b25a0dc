//! The requests of a step.

use std::net::IpAddr;
use std::time::Duration;

use meshpack_harness::Request;
use meshpack_sdk::config::Value;
use meshpack_sdk::{check_name, check_value};

/// Which attempt belongs to which request is found by this request header.
pub(crate) const NUMBER_HEADER: &str = "x-meshpack-verify";

/// Most requests in one step: more would not fit what an upstream remembers once
/// they are retried.
const MOST_REQUESTS: i64 = 20_000;

/// Requests made from one template.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) pace: Pace,
    /// How many values `{user}` takes.
    pub(crate) users: Option<u64>,
    pub(crate) http2: bool,
    pub(crate) timeout: Duration,
    /// The identity in the client's certificate; with one the client speaks TLS.
    pub(crate) principal: Option<String>,
    /// The address the client connects from.
    pub(crate) from: Option<IpAddr>,
}

/// How fast requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many requests, so many at a time, each as soon as there is room.
    Count { count: usize, concurrency: usize },
    /// So many a second, whether or not earlier ones are answered.
    Rate { per_second: f64, lasting: Duration },
}

impl Pace {
    /// How many requests there will be.
    pub(crate) fn requests(self) -> usize {
        match self {
            Self::Count { count, .. } => count,
            Self::Rate {
                per_second,
                lasting,
            } => (per_second * lasting.as_secs_f64()).round() as usize,
        }
    }
}

impl Traffic {
    pub(crate) fn read(value: &Value<'_>) -> Option<Self> {
        let mut fields = value.object()?;
        let text = |v: Option<Value<'_>>, default: &str| {
            v.map_or(Some(default.to_owned()), |v| {
                v.non_empty_string().map(str::to_owned)
            })
        };
        let method = text(fields.get("method"), "GET");
        let path = fields.get("path").map_or(Some("/".to_owned()), |v| {
            let path = v.non_empty_string()?;
            if path.starts_with('/') {
                Some(path.to_owned())
            } else {
                v.problem(format!("{path:?} is not a path: begin it with a slash"))
            }
        });
        let host = text(fields.get("host"), "localhost");
        let headers = fields
            .get("headers")
            .map_or(Some(Vec::new()), |v| headers(&v));
        let body = fields
            .get("body")
            .map_or(Some(String::new()), |v| v.string().map(str::to_owned));
        let users = fields.get("users").map_or(Some(None), |v| {
            v.integer(1..=MOST_REQUESTS).map(|n| Some(n.unsigned_abs()))
        });
        let http2 = fields.get("http2").map_or(Some(false), |v| v.boolean());
        let timeout = fields
            .get("timeout")
            .map_or(Some(Duration::from_secs(30)), |v| {
                v.duration(Duration::from_millis(1))
            });
        let principal = fields.get("principal").map_or(Some(None), |v| {
            let identity = v.non_empty_string()?;
            if identity.starts_with("spiffe://") {
                Some(Some(identity.to_owned()))
            } else {
                v.problem(format!(
                    "{identity:?} is not an identity: write it like \"spiffe://cluster.local/ns/shop/sa/web\""
                ))
            }
        });
        let from = fields.get("from").map_or(Some(None), |v| {
            let text = v.string()?;
            match text.parse::<IpAddr>() {
                Ok(address) if address.is_loopback() => Some(Some(address)),
                _ => v.problem(format!(
                    "{text:?} is no address of this machine: use one from 127.0.0.1 to 127.255.255.254"
                )),
            }
        });
        let pace = pace(&mut fields);
        let traffic = Self {
            method: method?,
            path: path?,
            host: host?,
            headers: headers?,
            body: body?,
            pace: pace?,
            users: users?,
            http2: http2?,
            timeout: timeout?,
            principal: principal?,
            from: from?,
        };
        match (traffic.users, traffic.names_users()) {
            (Some(_), false) => {
                value.problem("has users, but nothing in it says {user}: write it into a header, the path, the host or the body")
            }
            (None, true) => value.problem("says {user}, but not how many: add users"),
            _ => Some(traffic),
        }
    }

    fn names_users(&self) -> bool {
        self.texts().any(|text| text.contains("{user}"))
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let fixed = [&self.path, &self.host, &self.body];
        fixed
            .into_iter()
            .chain(self.headers.iter().map(|(_, value)| value))
            .map(String::as_str)
    }

    /// The user that request number `n`, from 1, belongs to: 1, 2, … and round again.
    pub(crate) fn user(&self, n: usize) -> Option<u64> {
        Some((n as u64).saturating_sub(1) % self.users? + 1)
    }

    /// How many independent draws the requests are: a user who comes again is
    /// treated as before, so only distinct users count.
    pub(crate) fn draws(&self, requests: usize) -> u64 {
        let requests = requests as u64;
        self.users.map_or(requests, |users| users.min(requests))
    }

    /// Request number `n`, from 1.
    pub(crate) fn request(&self, n: usize) -> Request {
        let fill = |text: &str| self.fill(text, n);
        let mut request = Request::new(&self.method, fill(&self.path))
            .authority(fill(&self.host))
            .body(fill(&self.body))
            .header(NUMBER_HEADER, n.to_string());
        for (name, value) in &self.headers {
            request = request.header(name, fill(value));
        }
        request
    }

    /// Request number `n` in one line, for messages.
    pub(crate) fn describe(&self, n: usize) -> String {
        let mut line = format!(
            "{} {} host {}",
            self.method,
            self.fill(&self.path, n),
            self.fill(&self.host, n)
        );
        for (name, value) in &self.headers {
            line.push_str(&format!(", {name}: {}", self.fill(value, n)));
        }
        if let Some(principal) = &self.principal {
            line.push_str(&format!(", as {principal}"));
        }
        line
    }

    fn fill(&self, text: &str, n: usize) -> String {
        let text = text.replace("{n}", &n.to_string());
        match self.user(n) {
            Some(user) => text.replace("{user}", &user.to_string()),
            None => text,
        }
    }
}

fn pace(fields: &mut meshpack_sdk::config::Fields<'_>) -> Option<Pace> {
    let count = fields.get("count");
    let concurrency = fields.get("concurrency");
    let per_second = fields.get("perSecond");
    let lasting = fields.get("for");
    if per_second.is_none() && lasting.is_none() {
        let count = count.map_or(Some(1), |v| v.integer(1..=MOST_REQUESTS));
        let concurrency = concurrency.map_or(Some(1), |v| v.integer(1..=256));
        return Some(Pace::Count {
            count: usize::try_from(count?).ok()?,
            concurrency: usize::try_from(concurrency?).ok()?,
        });
    }
    if count.is_some() || concurrency.is_some() {
        return fields
            .value()
            .problem("has two paces: give count and concurrency, or perSecond and for");
    }
    let (Some(per_second), Some(lasting)) = (per_second, lasting) else {
        return fields.value().problem("perSecond and for belong together");
    };
    let per_second = per_second.number(0.1..=2000.0);
    let lasting = lasting.duration(Duration::from_millis(1));
    let pace = Pace::Rate {
        per_second: per_second?,
        lasting: lasting?,
    };
    match pace.requests() {
        0 => fields.value().problem("sends nothing: make `for` longer"),
        n if n > MOST_REQUESTS.unsigned_abs() as usize => fields.value().problem(format!(
            "would send {n} requests; a step may send {MOST_REQUESTS}"
        )),
        _ => Some(pace),
    }
}

/// Header names and values; values may be numbers and booleans too, since YAML
/// makes such of what a person meant as text.
pub(super) fn headers(value: &Value<'_>) -> Option<Vec<(String, String)>> {
    let mut headers = Vec::new();
    for (name, value) in value.entries()? {
        let text = super::scalar(&value)?;
        if name.starts_with(':') || check_name(name.as_bytes()).is_err() {
            return value.problem(format!("{name:?} is not a header name"));
        }
        if check_value(text.as_bytes()).is_err() {
            return value.problem("is not a header value: leave out control characters");
        }
        headers.push((name.to_owned(), text));
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshpack_sdk::config::parse;

    fn read(json: &str) -> Result<Traffic, String> {
        parse(json.as_bytes(), |v| Traffic::read(&v)).map_err(|p| p[0].to_string())
    }

    #[test]
    fn users_come_round_and_only_distinct_ones_are_draws() {
        let traffic =
            read(r#"{"headers": {"x-user-id": "u-{user}"}, "users": 3, "count": 7}"#).unwrap();
        let users: Vec<_> = (1..=7).filter_map(|n| traffic.user(n)).collect();
        assert_eq!(users, [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!(traffic.draws(7), 3);
        assert!(traffic.describe(5).ends_with("x-user-id: u-2"));
    }

    #[test]
    fn what_would_not_do_what_it_says_is_refused() {
        for (json, expected) in [
            (r#"{"users": 3}"#, "nothing in it says {user}"),
            (r#"{"path": "/{user}"}"#, "add users"),
            (r#"{"path": "x"}"#, "begin it with a slash"),
            (r#"{"count": 5, "perSecond": 5, "for": "1s"}"#, "two paces"),
            (r#"{"perSecond": 5}"#, "belong together"),
            (r#"{"perSecond": 2000, "for": "1h"}"#, "a step may send"),
            (r#"{"principal": "web"}"#, "is not an identity"),
            (r#"{"from": "10.0.0.1"}"#, "no address of this machine"),
            (r#"{"headers": {"a b": 1}}"#, "not a header name"),
        ] {
            let problem = read(json).unwrap_err();
            assert!(problem.contains(expected), "{json}: {problem}");
        }
    }
}
