//! The retry budget that a request falls under.

use std::fmt;

use anyhow::Context as _;
use meshpack_retry_budget::config::{Budget, Config, Key, Mode, Trust, WhenExhausted};
use meshpack_retry_budget::policy::{Account, MemoryStore, Terms};
use meshpack_retry_budget::{is_retry, router_headers};
use meshpack_sdk::HeaderMap;
use meshpack_sdk::matching::{MatchIndex, RequestHead};
use serde_json::{Value, json};

use super::request::Request;

/// Percent of a whole, in the unit of [`Terms`].
const PERCENT: f64 = 1000.0;

/// What is done about the retries of a request.
pub(super) struct Retries {
    budget: Option<Promised>,
    server: Option<Inbound>,
    stop_amplification: bool,
}

/// The budget for the retries that this proxy makes.
struct Promised {
    budget: Budget,
    /// What has this budget for itself.
    key: String,
    /// Retries that the request may have while the budget is unused.
    unused: u32,
    headers: Vec<(String, String)>,
}

/// The limit on retries that others send.
struct Inbound {
    terms: Terms,
    /// Whether the header is believed only from peers with a certificate.
    needs_certificate: bool,
    is_retry: bool,
}

impl Retries {
    pub(super) fn new(config: &Config, request: &Request) -> anyhow::Result<Self> {
        let raw = request.described().encoded_headers();
        let headers = HeaderMap::decode(&raw).context("the headers do not encode")?;
        let head = RequestHead::new(&headers);
        let matches = config.budgets.iter().map(|budget| budget.matches.clone());
        let number = MatchIndex::new(matches.collect()).first(&head);
        let budget = number.and_then(|number| config.budgets.get(number));
        Ok(Self {
            budget: budget.map(|budget| Promised::new(budget, &head, request)),
            server: config.server.map(|limit| Inbound {
                terms: limit.terms,
                needs_certificate: limit.trust == Trust::Mtls,
                is_retry: is_retry(&headers),
            }),
            stop_amplification: config.stop_amplification,
        })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "asked": true,
            "budget": self.budget.as_ref().map(Promised::to_json),
            "server": self.server.as_ref().map(|server| json!({
                "allowed": terms_json(&server.terms),
                "isRetry": server.is_retry,
                "needsCertificate": server.needs_certificate,
            })),
            "stopAmplification": self.stop_amplification,
        })
    }
}

impl Promised {
    fn new(budget: &Budget, head: &RequestHead<'_>, request: &Request) -> Self {
        let host = String::from_utf8_lossy(head.host()).to_ascii_lowercase();
        let key = match (budget.key, &request.cluster) {
            (Key::Name, _) => "all its requests".to_owned(),
            (Key::Host, _) => format!("host {host:?}"),
            (Key::Cluster, Some(cluster)) => format!("cluster {cluster}"),
            (Key::Cluster, None) => "the cluster that the route chooses (--cluster)".to_owned(),
        };
        let unused = unused(budget, request);
        let mut headers = vec![("x-envoy-max-retries".to_owned(), unused.to_string())];
        for (name, value) in router_headers(budget) {
            headers.push((String::from_utf8_lossy(name).into_owned(), value));
        }
        Self {
            budget: budget.clone(),
            key,
            unused,
            headers,
        }
    }

    fn to_json(&self) -> Value {
        let headers: serde_json::Map<_, _> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        json!({
            "name": self.budget.name,
            "for": self.key,
            "allowed": terms_json(&self.budget.terms),
            "maxRetries": self.budget.max_retries,
            "unusedGives": self.unused,
            "mode": match self.budget.mode {
                Mode::Reserve => "reserve",
                Mode::Settle => "settle",
            },
            "whenExhausted": match self.budget.when_exhausted {
                WhenExhausted::Upstream => json!("upstream"),
                WhenExhausted::Unavailable => json!(503),
            },
            "routerHeaders": headers,
        })
    }
}

/// What the first request gets from a budget that nobody has used.
fn unused(budget: &Budget, request: &Request) -> u32 {
    let store = MemoryStore::default();
    let mut account = Account::new("explain", &budget.terms, 1);
    let now = request.at.into();
    match budget.mode {
        Mode::Reserve => account.arrive(now, budget.max_retries, &store),
        Mode::Settle if account.arrive_unreserved(now, &store) => budget.max_retries,
        Mode::Settle => 0,
    }
}

fn percent(terms: &Terms) -> f64 {
    f64::from(terms.share.earns) / PERCENT
}

fn terms_json(terms: &Terms) -> Value {
    json!({
        "percent": percent(terms),
        "interval": format!("{:?}", terms.interval),
        "minRetryRate": {
            "count": terms.floor.count,
            "interval": format!("{:?}", terms.floor.interval),
        },
    })
}

/// `20 % of the requests in any 10s, or 10 in any 1s where that is more`
struct Spoken<'a>(&'a Terms, &'static str);

impl fmt::Display for Spoken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(terms, whole) = self;
        write!(
            f,
            "{} % of the {whole} in any {:?}",
            percent(terms),
            terms.interval
        )?;
        match terms.floor.count {
            0 => Ok(()),
            count => write!(
                f,
                ", or {count} in any {:?} where that is more",
                terms.floor.interval
            ),
        }
    }
}

impl fmt::Display for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.budget {
            Some(budget) => budget.fmt(f)?,
            None => writeln!(
                f,
                "no budget takes this request; its route's retry policy is in force"
            )?,
        }
        if let Some(server) = &self.server {
            writeln!(
                f,
                "  server: retries may be {}",
                Spoken(&server.terms, "attempts")
            )?;
            writeln!(
                f,
                "    {}",
                if server.is_retry && server.needs_certificate {
                    "this is a retry (x-envoy-attempt-count) if the peer has a certificate: beyond that share it is answered 503 with x-envoy-ratelimited; of others it counts as a first attempt"
                } else if server.is_retry {
                    "this is a retry (x-envoy-attempt-count): beyond that share it is answered 503 with x-envoy-ratelimited"
                } else {
                    "this is a first attempt: never refused"
                }
            )?;
        }
        if self.stop_amplification {
            writeln!(
                f,
                "  stopAmplification: if a hop further down has already retried in vain, the answer carries x-envoy-ratelimited"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Promised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let budget = &self.budget;
        writeln!(f, "budget {}, one for {}", budget.name, self.key)?;
        writeln!(f, "  retries may be {}", Spoken(&budget.terms, "requests"))?;
        writeln!(
            f,
            "  this request may have {} of at most {} retries while the budget is unused",
            self.unused, budget.max_retries
        )?;
        for (name, value) in &self.headers {
            writeln!(f, "  tells the router {name}: {value}")?;
        }
        writeln!(
            f,
            "  {}",
            match budget.mode {
                Mode::Reserve =>
                    "mode reserve: retries are taken before the request, what is left over comes back",
                Mode::Settle => "mode settle: retries are charged when the request is over",
            }
        )?;
        writeln!(
            f,
            "  when exhausted {}",
            match budget.when_exhausted {
                WhenExhausted::Upstream => "the upstream's answer passes",
                WhenExhausted::Unavailable => "the answer is 503",
            }
        )
    }
}
