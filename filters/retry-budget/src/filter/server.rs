//! The inbound side: how large a share of what arrives may be retries.

use std::time::Duration;

use meshpack_sdk::attributes::{MTLS, SOURCE_ADDRESS, URI_SAN_PEER_CERTIFICATE};
use meshpack_sdk::{HeaderMap, HostError, LocalReply, LogLimit, RequestHeaders};

use crate::config::{SERVER, ServerLimit, Trust};
use crate::filter::metrics::Metrics;
use crate::filter::response::RATELIMITED;
use crate::policy::{Account, Ledger, Micros, Sources, Store};

/// Which attempt of its request this is; Envoy and Istio send it by default on
/// what they forward.
const ATTEMPT_COUNT: &[u8] = b"x-envoy-attempt-count";

/// So many requests without the header, and none with it, are no accident.
const SILENT_REQUESTS: u32 = 20;

/// How often a warning about the same thing is repeated.
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// Names under which the store keeps who used how much in an interval, and of late.
const SOURCES: &str = "server.sources";
const SOURCES_NOW: &str = "server.sources.now";

/// The `server` part, running on one worker.
#[derive(Debug)]
pub(crate) struct Server {
    limit: ServerLimit,
    account: Account,
    metrics: Metrics,
    /// Requests without the header so far; `None` once one had it.
    silent: Option<u32>,
    unbelieved: LogLimit,
}

impl Server {
    pub(crate) fn new(limit: &ServerLimit, worker: u64) -> Result<Self, HostError> {
        let terms = &limit.terms;
        let name = format!(
            "server.{}.{}",
            terms.interval.as_micros(),
            terms.floor.interval.as_micros()
        );
        let metrics = Metrics::define(SERVER)?;
        metrics.show_balance(Ledger::new(terms).room().retries);
        Ok(Self {
            limit: *limit,
            account: Account::new(name, terms, worker),
            metrics,
            silent: Some(0),
            unbelieved: LogLimit::new(1, WARN_EVERY),
        })
    }

    /// Counts an attempt, and answers it if it is a retry beyond the share.
    /// A first attempt is never refused.
    pub(crate) fn refuse(
        &mut self,
        cx: &RequestHeaders<'_>,
        claim: Claim,
        now: Micros,
        store: &dyn Store,
    ) -> Option<LocalReply> {
        self.metrics.requests.add(1);
        self.note(claim);
        if claim != Claim::Retry || !self.believes(cx, now) {
            self.account.arrive(now, 0, store);
            return None;
        }
        if self.account.take(now, 1, store) == 1 {
            let allowed = self.source_may(&source(cx), now, store);
            let spent = u32::from(allowed);
            self.account.finish(now, 1, spent, || now, store);
            if allowed {
                self.metrics.retries.add(1);
                return None;
            }
        }
        self.metrics.denied.add(1);
        let reply = LocalReply::new(503, "retry_share_exceeded").body("too many retries");
        // The one answer that stock Envoys do not retry.
        Some(reply.clone().header(RATELIMITED, "true").unwrap_or(reply))
    }

    /// Whether the peer may say that its request is a retry.
    fn believes(&self, cx: &RequestHeaders<'_>, now: Micros) -> bool {
        if self.limit.trust == Trust::Always || matches!(cx.attribute(&MTLS), Ok(Some(true))) {
            return true;
        }
        if self
            .unbelieved
            .admit(Duration::from_micros(now.0))
            .is_some()
        {
            log::warn!(
                "retry_budget: server: x-envoy-attempt-count of a peer without a certificate counts as a first attempt: use mTLS, or trustAttemptCount: always where only proxies of your own can reach this listener"
            );
        }
        false
    }

    /// Takes one of the retries for the source, unless that has most of them: of what
    /// is allowed in the interval, and of what there is at the moment.
    fn source_may(&self, source: &[u8], now: Micros, store: &dyn Store) -> bool {
        let ServerLimit {
            terms,
            max_source_percent: percent,
            ..
        } = &self.limit;
        if *percent >= 100 {
            return true;
        }
        // The one in hand is still to take.
        let left = self.account.left().max(0).saturating_add(1);
        let over_interval = i64::try_from(terms.floor_over_interval()).unwrap_or(i64::MAX);
        let windows = [
            (SOURCES_NOW, terms.interval.min(terms.floor.interval), left),
            (SOURCES, terms.interval, left.max(over_interval)),
        ];
        windows.into_iter().all(|(name, interval, allowed)| {
            let mut may = true;
            let _ = store.update(name, &mut |bytes| {
                let mut sources = Sources::open(interval, bytes, now);
                may = sources.take(source, left, allowed, *percent);
                may.then(|| sources.to_bytes())
            });
            may
        })
    }

    /// Warns once when the header never comes: nothing is limited then.
    fn note(&mut self, claim: Claim) {
        let Some(silent) = self.silent else { return };
        if claim != Claim::Absent {
            self.silent = None;
            return;
        }
        self.silent = Some(silent.saturating_add(1));
        if silent + 1 == SILENT_REQUESTS {
            log::warn!(
                "retry_budget: server: none of the first {SILENT_REQUESTS} requests had x-envoy-attempt-count, so no retry is recognised and nothing is limited: set include_request_attempt_count on the virtual hosts of the callers"
            );
        }
    }

    pub(crate) fn tick(&mut self, now: Micros, store: &dyn Store) {
        if let Some(balance) = self.account.tick(now, store) {
            self.metrics.show_balance(balance);
        }
    }

    pub(crate) fn close(&mut self, now: Micros, store: &dyn Store) {
        self.account.close(now, store);
    }
}

/// Who sent a request: the identity of its certificate, which it can not choose, or
/// else its address.
fn source(cx: &RequestHeaders<'_>) -> Vec<u8> {
    let read = |attribute| cx.text(attribute).ok().flatten().unwrap_or_default();
    let identity = read(&URI_SAN_PEER_CERTIFICATE);
    if !identity.is_empty() {
        return identity.to_vec();
    }
    let address = read(&SOURCE_ADDRESS);
    let port = address.iter().rposition(|b| *b == b':');
    address
        .get(..port.unwrap_or(address.len()))
        .unwrap_or_default()
        .to_vec()
}

/// What a request says about which attempt it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing.
    Absent,
    /// The first, or nothing that can be read.
    First,
    /// A later one.
    Retry,
}

impl Claim {
    pub(crate) fn of(headers: &HeaderMap<'_>) -> Self {
        let mut values = headers.get_all(ATTEMPT_COUNT);
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            // Several count as one text with commas in it, which is no number.
            (Some(_), Some(_)) => Self::First,
            (Some(value), None) if is_above_one(value) => Self::Retry,
            (Some(_), None) => Self::First,
        }
    }
}

/// Whether the hop that sent this request says that it has sent it before. What does
/// not say so is a first attempt.
#[must_use]
pub fn is_retry(headers: &HeaderMap<'_>) -> bool {
    Claim::of(headers) == Claim::Retry
}

/// Whether a header's value is a number above 1, as Envoy reads numbers in headers: 64
/// bits with a sign, blanks around it do not count (`absl::SimpleAtoi`).
fn is_above_one(value: &[u8]) -> bool {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let text = text.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    text.parse::<i64>().is_ok_and(|attempt| attempt > 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshpack_sdk::encode_pairs;

    #[test]
    fn numbers_are_read_as_envoy_reads_them() {
        for (values, expected) in [
            (&[][..], Claim::Absent),
            (&[&b"1"[..]], Claim::First),
            (&[b"2"], Claim::Retry),
            (&[b" 2"], Claim::Retry),
            (&[b"2\t"], Claim::Retry),
            (&[b"+2"], Claim::Retry),
            (&[b"-2"], Claim::First),
            (&[b"02"], Claim::Retry),
            (&[b"0x2"], Claim::First),
            (&[b"2.0"], Claim::First),
            (&[b"2,2"], Claim::First),
            (&[b"2", b"2"], Claim::First),
            (&[b"1", b"2"], Claim::First),
            (&[b"4294967296"], Claim::Retry),
            (&[b"9223372036854775807"], Claim::Retry),
            (&[b"9223372036854775808"], Claim::First),
            (&[b""], Claim::First),
            (&[b"\xff2"], Claim::First),
        ] {
            let pairs: Vec<_> = values.iter().map(|value| (ATTEMPT_COUNT, *value)).collect();
            let raw = encode_pairs(&pairs);
            let headers = HeaderMap::decode(&raw).unwrap();
            assert_eq!(Claim::of(&headers), expected, "{values:?}");
        }
    }
}
