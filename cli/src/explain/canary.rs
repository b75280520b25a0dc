//! The arm that canary_split chooses.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use meshpack_canary_split::config::Config;
use meshpack_canary_split::policy::Split;
use meshpack_canary_split::policy::assign::Hash;
use meshpack_canary_split::policy::request::{
    Decision, Id, KeySource, MissingKey, Outside, Reason,
};
use meshpack_sdk::HeaderMap;
use meshpack_sdk::matching::RequestHead;
use serde_json::{Value, json};

use super::request::Request;

/// What happens to the steering header.
pub(super) struct Steering {
    header: String,
    split: Option<Assigned>,
}

/// How a split takes the request.
struct Assigned {
    split: String,
    hash: Hash,
    /// `None`: chance decides.
    arm: Option<String>,
    reason: &'static str,
    /// Why, in words.
    because: String,
    /// Where the id of the client stands, and its text.
    key: Option<(String, String)>,
    client: Option<u32>,
    /// Arms with their percentages in force.
    shares: Vec<(String, f64)>,
}

impl Steering {
    /// Decides, and sets the steering header of the request as the filter does.
    pub(super) fn new(config: Config, request: &mut Request) -> anyhow::Result<Self> {
        let mut config = config
            .with_secrets(|name| std::env::var(name).ok())
            .map_err(|problems| {
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                anyhow::anyhow!(
                    "{}\n(explain takes the secret of a salt from its own environment)",
                    problems.join("\n")
                )
            })?;
        let raw = request.described().encoded_headers();
        let headers = HeaderMap::decode(&raw).context("the headers do not encode")?;
        let head = RequestHead::new(&headers);
        let number = config.index.first(&head);
        let split = number.and_then(|number| config.splits.get_mut(number));
        let split = split.map(|split| Assigned::new(split, &headers, request));
        let arm = split.as_ref().and_then(|split| split.arm.as_deref());
        request.set_header(&config.header, arm);
        Ok(Self {
            header: config.header,
            split,
        })
    }

    /// The arm, if the request is in a split and chance does not decide.
    pub(super) fn arm(&self) -> Option<&str> {
        self.split.as_ref()?.arm.as_deref()
    }

    pub(super) fn to_json(&self) -> Value {
        let Some(split) = &self.split else {
            return json!({"asked": true, "header": self.header, "split": null});
        };
        let key = split
            .key
            .as_ref()
            .map(|(source, id)| json!({"source": source, "id": id}));
        let weights: serde_json::Map<_, _> = split
            .shares
            .iter()
            .map(|(arm, percent)| (arm.clone(), json!(percent)))
            .collect();
        json!({
            "asked": true,
            "header": self.header,
            "split": split.split,
            "arm": split.arm,
            "reason": split.reason,
            "because": split.because,
            "key": key,
            "hash": split.client,
            "bucket": split.client.map(|client| split.bucket(client)),
            "weights": weights,
        })
    }
}

impl Assigned {
    fn new(split: &mut Split, headers: &HeaderMap<'_>, request: &Request) -> Self {
        let values = Values::of(request);
        let head = &RequestHead::new(headers);
        let mut outside = Described {
            values: &values,
            at: request.at,
            aborted: false,
        };
        let unaborted = split.decide(0, head, &mut outside);
        let by_chance = unaborted.reason == Reason::Random || unaborted.minted.is_some();
        outside.aborted = request.is_aborted(&split.name);
        let aborted = outside.aborted;
        let decision = split.decide(0, head, &mut outside);
        let named = |arm: usize| split.arms.get(arm).cloned().unwrap_or_default();
        let mut weights = split.schedule.weights(request.at);
        if let (Some(abort), true) = (&split.abort, aborted) {
            let taken = weights.get_mut(abort.arm).map_or(0, std::mem::take);
            weights
                .get_mut(abort.baseline)
                .into_iter()
                .for_each(|w| *w += taken);
        }
        let weights = weights.into_iter().map(|weight| weight as f64 / 10_000.0);
        let client = unaborted.client.filter(|_| !by_chance);
        let differ = if decision.tokens_differ {
            " (its tokens differ in a claim, which is no key then: jwtPayloadKeys names the one that counts)"
        } else {
            ""
        };
        Self {
            split: split.name.clone(),
            hash: split.hash,
            arm: (!by_chance).then(|| named(decision.arm)),
            reason: if by_chance {
                unaborted.reason
            } else {
                decision.reason
            }
            .label(),
            because: because(split, head, outside, &unaborted, &decision) + differ,
            key: client.and_then(|_| key(split, head, &mut outside)),
            client,
            shares: split.arms.iter().cloned().zip(weights).collect(),
        }
    }

    /// Where a hash falls, in the terms of the bucketing.
    fn bucket(&self, client: u32) -> String {
        match self.hash {
            Hash::Unleash => format!("{} of 100", client % 100 + 1),
            Hash::Flagd => format!(
                "{:.4} % of the range",
                f64::from(client) / 2_f64.powi(32) * 100.0
            ),
        }
    }
}

/// Why the request is in its arm, in words.
fn because<'r>(
    split: &Split,
    head: &RequestHead<'r>,
    outside: Described<'r>,
    unaborted: &Decision,
    decision: &Decision,
) -> String {
    let named = |arm: usize| split.arms.get(arm).map_or("", String::as_str);
    match unaborted.reason {
        _ if decision.reason == Reason::Abort
            && unaborted.reason != Reason::Random
            && unaborted.minted.is_none() =>
        {
            format!(
                "it would be in {}, which the proxy has taken out ({})",
                named(unaborted.arm),
                unaborted.reason.label()
            )
        }
        Reason::Force => forced(split, head, outside),
        Reason::Rule => {
            let rule = split.rules.first(head).unwrap_or_default();
            format!("rules[{rule}] matches")
        }
        Reason::Default => "it has no key, and onMissingKey: default".to_owned(),
        Reason::Random => "it has no key: each request is drawn anew, by weight".to_owned(),
        _ if unaborted.minted.is_some() => match &split.on_missing_key {
            MissingKey::Cookie(cookie) => format!(
                "it has no key: the answer sets cookie {}, by whose random value this client stays in an arm",
                cookie.name
            ),
            _ => String::new(),
        },
        Reason::Sticky | Reason::Abort if split.salt.is_secret() => {
            "the hash of salt, its secret part and key decides".to_owned()
        }
        Reason::Sticky | Reason::Abort => "the hash of salt and key decides".to_owned(),
    }
}

/// Which of header and cookie has forced the arm: a split that knows the header
/// only is asked.
fn forced<'r>(split: &Split, head: &RequestHead<'r>, mut outside: Described<'r>) -> String {
    let Some(force) = &split.force else {
        return String::new();
    };
    let mut by_header = split.clone();
    if let Some(force) = &mut by_header.force {
        force.cookie = None;
    }
    let by_header = by_header.decide(0, head, &mut outside).reason == Reason::Force;
    match (by_header, &force.header, &force.cookie) {
        (true, Some(header), _) => format!("header {header} names it"),
        (_, _, Some(cookie)) => format!("cookie {cookie} names it"),
        _ => String::new(),
    }
}

/// The first key that the client has, as the filter looks for it.
fn key<'r>(
    split: &Split,
    head: &RequestHead<'r>,
    outside: &mut Described<'r>,
) -> Option<(String, String)> {
    let shown = |id: &[u8]| String::from_utf8_lossy(id).into_owned();
    let stated = split.sticky_by.iter().find_map(|source| {
        match source.with_id(head.headers(), outside, shown) {
            Id::Is(id) => Some((spoken(source), id)),
            Id::Absent | Id::Differs => None,
        }
    });
    stated.or_else(|| match &split.on_missing_key {
        MissingKey::Cookie(cookie) => {
            let id = KeySource::with_cookie(head.headers(), &cookie.name, shown)?;
            Some((format!("cookie {}", cookie.name), id))
        }
        _ => None,
    })
}

fn spoken(source: &KeySource) -> String {
    match source {
        KeySource::Header(name) => format!("header {name}"),
        KeySource::Cookie(name) => format!("cookie {name}"),
        KeySource::Claim(claim) => format!("claim {}", claim.name),
        KeySource::SourceIp => "client address".to_owned(),
    }
}

/// The world as described; what is left to chance is settled elsewhere.
#[derive(Clone, Copy)]
struct Described<'r> {
    values: &'r Values,
    at: Duration,
    aborted: bool,
}

impl<'r> Outside<'r> for Described<'r> {
    fn metadata(&mut self) -> Option<&'r [u8]> {
        Some(&self.values.metadata)
    }

    fn source_address(&mut self) -> Option<&'r [u8]> {
        self.values.client.as_ref().map(String::as_bytes)
    }

    fn now(&mut self) -> Duration {
        self.at
    }

    fn random(&mut self) -> u32 {
        0
    }

    fn secure_random(&mut self) -> u64 {
        0
    }

    fn is_aborted(&mut self, _split: usize) -> bool {
        self.aborted
    }
}

/// What a split's keys come from beside headers, in Envoy's encoding.
struct Values {
    client: Option<String>,
    metadata: Vec<u8>,
}

impl Values {
    fn of(request: &Request) -> Self {
        Self {
            client: request.client(),
            metadata: request.encoded_metadata(),
        }
    }
}

impl fmt::Display for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(split) = &self.split else {
            return writeln!(
                f,
                "no split takes this request; {} is removed from it",
                self.header
            );
        };
        split.fmt(f)?;
        match &split.arm {
            Some(arm) => writeln!(f, "  sets {}: {arm}", self.header),
            None => writeln!(f, "  sets {} to the arm that is drawn", self.header),
        }
    }
}

impl fmt::Display for Assigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.arm {
            Some(arm) => write!(f, "split {}: arm {arm}", self.split)?,
            None => write!(f, "split {}: any arm", self.split)?,
        }
        writeln!(f, ", reason {}: {}", self.reason, self.because)?;
        if let (Some((source, id)), Some(client)) = (&self.key, self.client) {
            writeln!(
                f,
                "  {source} is {id:?}: hash {client}, {}",
                self.bucket(client)
            )?;
        }
        let shares = self
            .shares
            .iter()
            .map(|(arm, percent)| format!("{arm} {percent} %"));
        writeln!(f, "  weights {}", shares.collect::<Vec<_>>().join(", "))
    }
}
