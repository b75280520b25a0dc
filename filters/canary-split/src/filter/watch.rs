//! Watching a canary: what its responses say, shared by all workers.

use meshpack_sdk::attributes;
use meshpack_sdk::matching::RequestHead;
use meshpack_sdk::metrics::label::stat_name;
use meshpack_sdk::metrics::{Counter, Gauge};
use meshpack_sdk::shared::SharedData;
use meshpack_sdk::{Filter, HostError, clock};

use super::{CanarySplit, Seen, side};
use crate::config::{LONGEST, label, tagged};
use crate::policy::Split;
use crate::policy::abort::AbortConfig;
use crate::policy::abort::{
    Batch, Ended, Observation, Outcome, Side, State, Suspected, Trip, Units, classify,
};
use crate::policy::request::{Decision, without_port};
use crate::record::{ABORTED, ABORTS, LATCH};

/// A worker shares failures as they happen, up to this many times between two
/// ticks; in an outage the rest waits for the tick.
const URGENT_PER_TICK: u32 = 64;

/// Of how many successful requests of each arm a worker asks between two ticks
/// where they went.
const ASKED_PER_TICK: u32 = 4;

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
    /// once, for the price of a scalar host call. Only this experiment has it.
    latch: Gauge,
    /// 1 while the canary of any split of this name is out, for people.
    aborted: Gauge,
    aborts: Counter,
    batch: Batch,
    urgent: u32,
    /// Successful requests of the canary and of the baseline that were asked.
    asked: [u32; 2],
    /// What is suspected, as far as this worker knows.
    suspected: Suspected,
    /// Keys the hashes of what requests have in common; the same in all workers.
    seed: u32,
}

/// What is remembered of a request that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    ended: Ended,
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
    pub(super) fn start(
        split: &Split,
        steering: &str,
        config: AbortConfig,
    ) -> Result<Self, HostError> {
        let identity = split.identity(steering, &config);
        let name = |metric, split: &str| stat_name(metric, [("split", split.as_bytes())], LONGEST);
        let plain = label(&split.name);
        let arm = |at: usize| split.arms.get(at).cloned().unwrap_or_default();
        let (canary, baseline) = (arm(config.arm), arm(config.baseline));
        let data = SharedData::new(CanarySplit::NAME);
        let watch = Self {
            key: format!("abort/{identity:016x}"),
            config,
            split: split.name.clone(),
            arm: canary,
            baseline,
            latch: Gauge::define(&name(LATCH.name, &tagged(&split.name, '#', identity)))?,
            aborted: Gauge::define(&name(ABORTED.name, &plain))?,
            aborts: Counter::define(&name(ABORTS.name, &plain))?,
            batch: Batch::default(),
            urgent: 0,
            asked: [0, 0],
            suspected: Suspected::default(),
            seed: seed(&data)?,
            data,
        };
        // The gauge outlives configurations.
        watch.set_latch(watch.is_latched());
        Ok(watch)
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.latch.value().is_ok_and(|value| value != 0)
    }

    /// Whether the end of this request will be looked at.
    pub(super) fn watched(
        &self,
        decision: &Decision,
        request: &RequestHead<'_>,
    ) -> Option<Watched> {
        let side = side(&self.config, decision)?;
        let content_type = request.headers().get(b"content-type");
        Some(Watched {
            ended: Ended {
                side,
                client: decision.client,
                units: Units::of(self.seed, request),
            },
            grpc: self.config.failures.grpc
                && content_type.is_some_and(|kind| kind.starts_with(b"application/grpc")),
            grpc_status: None,
        })
    }

    /// Judges a response. Costs two attributes: its status, and the client's
    /// address or, where the status leaves it open, the response flags too.
    pub(super) fn observe(&mut self, seen: &impl Seen, watched: &Watched) {
        let code = seen.number(&attributes::RESPONSE_CODE);
        let code = code.and_then(|code| u32::try_from(code).ok());
        let plain = code.is_some_and(|code| (100..400).contains(&code));
        let plain = plain && (!watched.grpc || watched.grpc_status == Some(0));
        let flags = if plain {
            None
        } else {
            seen.number(&attributes::RESPONSE_FLAGS)
        };
        let observation = Observation {
            code: code.filter(|&code| code > 0),
            flags: flags.unwrap_or(0) as u64,
            grpc_status: watched.grpc_status,
        };
        let outcome = classify(&observation, self.config.failures);
        if outcome == Outcome::Unknown {
            return;
        }
        let mut ended = watched.ended;
        if let Some(address) = seen.text(&attributes::SOURCE_ADDRESS) {
            ended.units = ended.units.with_address(self.seed, without_port(address));
        }
        match outcome {
            Outcome::Unknown => {}
            Outcome::Success => {
                self.batch.success(&ended, &self.suspected);
                let [canary, baseline] = &mut self.asked;
                let asked = match ended.side {
                    Side::Canary => canary,
                    Side::Baseline => baseline,
                };
                if *asked < ASKED_PER_TICK {
                    *asked += 1;
                    self.batch.served(&ended, self.cluster(seen));
                }
            }
            Outcome::Failure => self.batch.failure(ended),
            Outcome::NoEndpoint => self.batch.no_endpoint(ended, self.cluster(seen)),
        }
        if self.batch.is_urgent() && self.urgent < URGENT_PER_TICK {
            self.urgent += 1;
            self.share();
        }
    }

    /// Hash of the cluster that the route chose; 0 without one.
    fn cluster(&self, seen: &impl Seen) -> u32 {
        let name = seen.text(&attributes::CLUSTER_NAME);
        name.map_or(0, |name| Units::cluster(self.seed, name))
    }

    pub(super) fn tick(&mut self) {
        self.urgent = 0;
        self.asked = [0, 0];
        if !self.batch.is_empty() {
            self.share();
        }
        // In this order: an abort between the two questions is then seen.
        if self.is_aborted() {
            if self.is_latched() {
                // A split of the same name may have opened its own.
                self.aborted.set(1);
            } else {
                self.open();
            }
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
        let mut suspected = Suspected::default();
        let shared = self.data.update(&self.key, |bytes| {
            let mut state = bytes.and_then(State::decode).unwrap_or_default();
            latched = state.is_latched(now);
            trip = state.absorb(&self.config, now, &self.batch);
            suspected = state.suspected();
            (!latched).then(|| state.encode())
        });
        if let Err(error) = shared {
            log::debug!("canary_split: {}: observations wait: {error}", self.split);
            return;
        }
        self.batch = Batch::default();
        self.suspected = suspected;
        if let Some(trip) = trip {
            self.close(trip);
        } else if latched && !self.is_aborted() {
            // Another worker reopened it just as it closed.
            self.set_latch(true);
        }
    }

    fn set_latch(&self, closed: bool) {
        self.latch.set(u64::from(closed));
        self.aborted.set(u64::from(closed));
    }

    fn close(&self, trip: Trip) {
        self.set_latch(true);
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
        self.set_latch(false);
        let Self { split, arm, .. } = self;
        log::info!("canary_split: split {split}: cooldown over, arm {arm} gets traffic again");
    }
}

/// A number that clients do not know, one for all workers and splits.
fn seed(data: &SharedData) -> Result<u32, HostError> {
    let fresh = (clock::secure_random() as u32).to_le_bytes();
    let agreed = data.update("seed", |known| known.is_none().then(|| fresh.to_vec()))?;
    let bytes = agreed.as_deref().and_then(|bytes| bytes.try_into().ok());
    Ok(u32::from_le_bytes(bytes.unwrap_or(fresh)))
}
