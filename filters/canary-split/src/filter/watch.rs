//! Watching a canary: what its responses say, shared by all workers.

use meshpack_sdk::attributes::{self, Attribute};
use meshpack_sdk::metrics::{Counter, Gauge, label};
use meshpack_sdk::shared::SharedData;
use meshpack_sdk::{Filter, HeaderMap, HostError, clock};

use super::{CanarySplit, MAX_LABEL, side};
use crate::abort::{Batch, Observation, Outcome, Side, State, Trip, classify};
use crate::config::{AbortConfig, Split};
use crate::request::Decision;

/// A worker shares failures as they happen, up to this many times between two
/// ticks; in an outage the rest waits for the tick.
const URGENT_PER_TICK: u32 = 64;

/// The abort of one split.
#[derive(Debug)]
pub(super) struct Watch {
    config: AbortConfig,
    /// For the log.
    split: String,
    arm: String,
    baseline: String,
    data: SharedData,
    key: String,
    /// 1 while the canary is out; an atomic in Envoy, so every worker knows at
    /// once, for the price of a scalar host call.
    aborted: Gauge,
    aborts: Counter,
    batch: Batch,
    urgent: u32,
}

/// What is remembered of a request that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    side: Side,
    client: Option<u32>,
    /// Whether the gRPC status is wanted.
    grpc: bool,
    grpc_status: Option<i64>,
}

impl Watched {
    /// Whether the response's headers or trailers are to be looked at.
    pub(super) fn wants_grpc_status(&self) -> bool {
        self.grpc && self.grpc_status.is_none()
    }

    /// Takes the value of a `grpc-status` header or trailer.
    pub(super) fn note_grpc_status(&mut self, value: &[u8]) {
        let text = std::str::from_utf8(value).ok();
        self.grpc_status = text.and_then(|text| text.parse().ok());
    }
}

impl Watch {
    pub(super) fn start(split: &Split, config: AbortConfig) -> Result<Self, HostError> {
        let name = |metric| label::stat_name(metric, [("split", split.name.as_bytes())], MAX_LABEL);
        let arm = |at: usize| split.arms.get(at).cloned().unwrap_or_default();
        let (canary, baseline) = (arm(config.arm), arm(config.baseline));
        let watch = Self {
            // A new salt or another arm is a new experiment; anything else in the
            // configuration may change without giving a bad canary a new chance.
            key: format!("abort/{}/{}/{canary}/{baseline}", split.name, split.salt),
            config,
            split: split.name.clone(),
            arm: canary,
            baseline,
            data: SharedData::new(CanarySplit::NAME),
            aborted: Gauge::define(&name("meshpack_canary_aborted"))?,
            aborts: Counter::define(&name("meshpack_canary_aborts_total"))?,
            batch: Batch::default(),
            urgent: 0,
        };
        // The gauge outlives configurations.
        watch.aborted.set(u64::from(watch.is_latched()));
        Ok(watch)
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.value().is_ok_and(|value| value != 0)
    }

    /// Whether the end of this request will be looked at.
    pub(super) fn watched(&self, decision: &Decision, headers: &HeaderMap<'_>) -> Option<Watched> {
        let side = side(&self.config, decision)?;
        let content_type = headers.get(b"content-type");
        Some(Watched {
            side,
            client: decision.client,
            grpc: self.config.failures.grpc
                && content_type.is_some_and(|kind| kind.starts_with(b"application/grpc")),
            grpc_status: None,
        })
    }

    pub(super) fn observe(
        &mut self,
        read: impl Fn(&Attribute<i64>) -> Result<Option<i64>, HostError>,
        watched: &Watched,
    ) {
        let number = |attribute| read(attribute).ok().flatten();
        let code = number(&attributes::RESPONSE_CODE).and_then(|code| u32::try_from(code).ok());
        let seen = Observation {
            code: code.filter(|&code| code > 0),
            flags: number(&attributes::RESPONSE_FLAGS).unwrap_or(0) as u64,
            grpc_status: watched.grpc_status,
        };
        let outcome = classify(&seen, self.config.failures);
        self.note(watched.side, outcome, watched.client);
    }

    fn note(&mut self, side: Side, outcome: Outcome, client: Option<u32>) {
        self.batch.note(side, outcome, client);
        if self.batch.is_urgent() && self.urgent < URGENT_PER_TICK {
            self.urgent += 1;
            self.share();
        }
    }

    pub(super) fn tick(&mut self) {
        self.urgent = 0;
        if !self.batch.is_empty() {
            self.share();
        }
        // In this order: an abort between the two questions is then seen.
        if self.is_aborted() && !self.is_latched() {
            self.open();
        }
    }

    fn is_latched(&self) -> bool {
        let bytes = self.data.get(&self.key).ok().flatten();
        let state = bytes.and_then(|bytes| State::decode(&bytes));
        state.is_some_and(|state| state.is_latched(clock::now()))
    }

    /// Tells the other workers what this one has seen.
    fn share(&mut self) {
        let now = clock::now();
        let mut trip = None;
        let mut latched = false;
        let shared = self.data.update(&self.key, |bytes| {
            let mut state = bytes.and_then(State::decode).unwrap_or_default();
            latched = state.is_latched(now);
            trip = state.absorb(&self.config, now, &self.batch);
            (!latched).then(|| state.encode())
        });
        if let Err(error) = shared {
            log::debug!("canary_split: {}: observations wait: {error}", self.split);
            return;
        }
        self.batch = Batch::default();
        if let Some(trip) = trip {
            self.close(trip);
        } else if latched && !self.is_aborted() {
            // Another worker reopened it just as it closed.
            self.aborted.set(1);
        }
    }

    fn close(&self, trip: Trip) {
        self.aborted.set(1);
        self.aborts.add(1);
        let Self {
            split,
            arm,
            baseline,
            ..
        } = self;
        let cooldown = self.config.cooldown.as_secs();
        let why = match trip {
            Trip::NoEndpoint => "has no healthy endpoint",
            Trip::Failures => "fails more often than chance explains",
        };
        log::warn!(
            "canary_split: split {split}: arm {arm} {why}; its traffic goes to {baseline} for {cooldown} s"
        );
    }

    fn open(&self) {
        self.aborted.set(0);
        let Self { split, arm, .. } = self;
        log::info!("canary_split: split {split}: cooldown over, arm {arm} gets traffic again");
    }
}
