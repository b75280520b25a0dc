//! The filter: gathers what the core asks for and does what it decides.

mod gauges;
mod proxy;
mod watch;

use std::time::Duration;

use meshpack_sdk::attributes::{Attribute, Text};
use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::matching::{MatchIndex, RequestHead};
use meshpack_sdk::metrics::Counter;
use meshpack_sdk::metrics::label::stat_name;
use meshpack_sdk::{
    Filter, Flow, HostError, Log, RequestHeaders, ResponseHeaders, ResponseTrailers, Shutdown,
    clock,
};

use crate::config::{Config, LONGEST, label};
use crate::policy::Split;
use crate::policy::abort::Side;
use crate::policy::request::{Decision, MissingKey, Reason};
use crate::record::REQUESTS;
use gauges::Weights;
use proxy::Proxy;
use watch::{Watch, Watched};

/// How often ramps are published and observations are shared.
const TICK: Duration = Duration::from_secs(1);

/// Steers requests to the arms of traffic splits by setting a header.
#[derive(Debug)]
pub struct CanarySplit {
    header: String,
    index: MatchIndex,
    splits: Vec<Running>,
    /// Whether the log says already that tokens differ.
    told_of_tokens: bool,
}

/// A split at work.
#[derive(Debug)]
struct Running {
    split: Split,
    /// One counter per arm and reason, defined when it is first needed.
    counters: Vec<Option<Counter>>,
    weights: Weights,
    watch: Option<Watch>,
}

/// What is remembered of a request until its end.
#[derive(Debug)]
pub struct Stream {
    set_cookie: Option<String>,
    watched: Option<(usize, Watched)>,
}

fn refused(what: &str) -> impl Fn(HostError) -> Vec<Problem> {
    move |error| {
        vec![Problem::new(
            "",
            format!("the host refused {what}: {error}"),
        )]
    }
}

impl Running {
    fn start(split: Split, steering: &str) -> Result<Self, Vec<Problem>> {
        let weights = Weights::publish(&split).map_err(refused("a gauge"))?;
        let watch = split.abort.clone();
        let watch = watch
            .map(|abort| Watch::start(&split, steering, abort))
            .transpose()
            .map_err(refused("a metric"))?;
        Ok(Self {
            counters: vec![None; split.arms.len() * Reason::ALL.len()],
            split,
            weights,
            watch,
        })
    }

    fn count(&mut self, decision: &Decision) {
        let slot = decision.arm * Reason::ALL.len() + decision.reason.position();
        let Some(counter) = self.counters.get_mut(slot) else {
            return;
        };
        if counter.is_none() {
            let arm = self.split.arms.get(decision.arm);
            let arm = arm.map_or_else(Default::default, |arm| label(arm));
            let name = stat_name(
                REQUESTS.name,
                [
                    ("split", label(&self.split.name).as_bytes()),
                    ("arm", arm.as_bytes()),
                    ("reason", decision.reason.label().as_bytes()),
                ],
                LONGEST,
            );
            *counter = Counter::define(&name).ok();
        }
        if let Some(counter) = counter {
            counter.add(1);
        }
    }

    /// What is to be remembered: only what some later phase has a use for.
    fn remember(
        &self,
        number: usize,
        decision: &Decision,
        request: &RequestHead<'_>,
    ) -> Option<Stream> {
        let set_cookie = match (&self.split.on_missing_key, decision.minted) {
            (MissingKey::Cookie(cookie), Some(id)) => {
                let secure = request.headers().get(b"x-forwarded-proto") == Some(b"https");
                Some(cookie.set_cookie(id, secure))
            }
            _ => None,
        };
        let watch = self.watch.as_ref();
        let watched = watch.and_then(|watch| watch.watched(decision, request));
        (set_cookie.is_some() || watched.is_some()).then_some(Stream {
            set_cookie,
            watched: watched.map(|watched| (number, watched)),
        })
    }
}

impl Filter for CanarySplit {
    const NAME: &'static str = crate::RECORD.name;
    type Config = Config;
    type Stream = Stream;

    fn read(value: Value<'_>) -> Option<Config> {
        Config::read(&value)
    }

    fn start(config: Config) -> Result<Self, Vec<Problem>> {
        let config = config.with_secrets(|name| std::env::var(name).ok())?;
        let splits = config.splits.into_iter();
        let splits = splits.map(|split| Running::start(split, &config.header));
        let splits = splits.collect::<Result<_, _>>()?;
        Ok(Self {
            header: config.header,
            index: config.index,
            splits,
            told_of_tokens: false,
        })
    }

    fn on_request_headers(
        &mut self,
        cx: &mut RequestHeaders<'_>,
        stream: &mut Option<Stream>,
    ) -> Flow {
        // Cheap: the map borrows the host's bytes.
        let headers = cx.headers().cloned().unwrap_or_default();
        let request = RequestHead::new(&headers);
        let number = self.index.first(&request);
        let found = number.and_then(|number| Some((number, self.splits.get_mut(number)?)));
        let Some((number, running)) = found else {
            // Not ours, but nobody shall forge the header either.
            if let Err(error) = cx.remove_header(self.header.as_bytes()) {
                log::error!("canary_split: {} stays: {error}", self.header);
            }
            return Flow::Continue;
        };
        let mut proxy = Proxy::new(cx, running.watch.as_ref());
        let decision = running.split.decide(number, &request, &mut proxy);
        running.count(&decision);
        if decision.tokens_differ && !std::mem::replace(&mut self.told_of_tokens, true) {
            log::warn!(
                "canary_split: split {:?}: requests carry several tokens that differ in the claim they are to be sticky by, so it counts as absent: name the one that counts in jwtPayloadKeys",
                running.split.name
            );
        }
        *stream = running.remember(number, &decision, &request);
        let arm = running.split.arms.get(decision.arm);
        let value = arm.map_or(&b""[..], |arm| arm.as_bytes());
        if let Err(error) = cx.set_header(self.header.as_bytes(), value) {
            log::error!("canary_split: {} not set: {error}", self.header);
        }
        Flow::Continue
    }

    fn on_response_headers(
        &mut self,
        cx: &mut ResponseHeaders<'_>,
        stream: &mut Option<Stream>,
    ) -> Flow {
        let Some(kept) = stream else {
            return Flow::Continue;
        };
        if let Some(cookie) = kept.set_cookie.take()
            && let Err(error) = cx.add_header(b"set-cookie", cookie.as_bytes())
        {
            log::error!("canary_split: id cookie not set: {error}");
        }
        if let Some((_, watched)) = &mut kept.watched
            && watched.wants_grpc_status()
        {
            // Without a body a gRPC response carries its status here.
            if let Ok(Some(status)) = cx.header(b"grpc-status") {
                watched.note_grpc_status(status);
            } else if !cx.end_of_stream() {
                return Flow::Continue;
            }
        }
        self.observe(stream, cx);
        Flow::Continue
    }

    fn on_response_trailers(&mut self, cx: &mut ResponseTrailers<'_>, stream: &mut Option<Stream>) {
        let watched = stream.as_mut().and_then(|stream| stream.watched.as_mut());
        if let Some((_, watched)) = watched
            && watched.wants_grpc_status()
            && let Ok(trailers) = cx.trailers()
            && let Some(status) = trailers.get(b"grpc-status")
        {
            watched.note_grpc_status(status);
        }
        self.observe(stream, cx);
    }

    /// Only in modules that are told the end of streams: what has not been
    /// observed by then broke off before its gRPC status.
    fn on_log(&mut self, cx: &mut Log<'_>, mut stream: Option<Stream>) {
        self.observe(&mut stream, cx);
    }

    fn tick_period(&self) -> Option<Duration> {
        let busy = |running: &Running| running.watch.is_some() || running.split.schedule.has_ramp();
        self.splits.iter().any(busy).then_some(TICK)
    }

    fn on_tick(&mut self) {
        for running in &mut self.splits {
            if running.split.schedule.has_ramp() {
                running.weights.refresh(&running.split, clock::now());
            }
            if let Some(watch) = &mut running.watch {
                watch.tick();
            }
        }
    }

    fn on_shutdown(&mut self) -> Shutdown {
        for watch in self.splits.iter_mut().filter_map(|r| r.watch.as_mut()) {
            watch.tick();
        }
        Shutdown::Done
    }
}

impl CanarySplit {
    /// Notes what the response says about its arm, once, and forgets the stream.
    fn observe(&mut self, stream: &mut Option<Stream>, seen: &impl Seen) {
        let Some((number, watched)) = stream.take().and_then(|stream| stream.watched) else {
            return;
        };
        let running = self.splits.get_mut(number);
        if let Some(watch) = running.and_then(|running| running.watch.as_mut()) {
            watch.observe(seen, &watched);
        }
    }
}

/// What a phase after the request's headers lets us read.
trait Seen {
    fn number(&self, attribute: &Attribute<i64>) -> Option<i64>;
    fn text(&self, attribute: &Attribute<Text<'static>>) -> Option<&[u8]>;
}

macro_rules! seen {
    ($($phase:ident),*) => {$(
        impl Seen for $phase<'_> {
            fn number(&self, attribute: &Attribute<i64>) -> Option<i64> {
                self.attribute(attribute).ok().flatten()
            }

            fn text(&self, attribute: &Attribute<Text<'static>>) -> Option<&[u8]> {
                $phase::text(self, attribute).ok().flatten()
            }
        }
    )*};
}

seen!(ResponseHeaders, ResponseTrailers, Log);

/// The side of the comparison that a request belongs to, if any. Forced requests
/// and those without a key that went to the first arm were not assigned by
/// chance, so they say nothing about the arm.
fn side(abort: &crate::policy::abort::AbortConfig, decision: &Decision) -> Option<Side> {
    match decision.reason {
        Reason::Force | Reason::Default | Reason::Abort => None,
        _ if decision.arm == abort.arm => Some(Side::Canary),
        _ if decision.arm == abort.baseline => Some(Side::Baseline),
        _ => None,
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
