//! The filter: what Envoy tells it goes to the core, what the core decides goes
//! to Envoy's router as request headers.

mod amplification;
mod metrics;
mod outbound;
mod response;
mod server;
mod shared;
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
mod timekeeper;

pub use outbound::router_headers;
pub use server::is_retry;

use std::time::Duration;

use meshpack_sdk::attributes::{Attribute, UPSTREAM_REQUEST_ATTEMPT_COUNT};
use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::matching::{MatchIndex, RequestHead, RequestMatch};
use meshpack_sdk::{
    Filter, Flow, HostError, LocalReply, Log, OpenStream, RequestHeaders, ResponseHeaders,
    Shutdown, clock,
};

use crate::config::{Config, Key};
use crate::policy::{Micros, RequestId};
use amplification::Amplification;
use outbound::{Outbound, Promise};
use response::RATELIMITED;
use server::{Claim, Server};
use shared::Shared;
use timekeeper::Timekeeper;

/// Limits retries to exact budgets, see the crate's documentation.
pub struct RetryBudget {
    store: Shared,
    budgets: Vec<Outbound>,
    matches: MatchIndex,
    server: Option<Server>,
    amplification: Option<Amplification>,
    /// Whether the request's headers must be read to decide anything.
    reads_headers: bool,
    /// Whether another filter of the module reads the number of attempts at the end
    /// of each stream anyway; then an answer that nothing is decided about waits for
    /// that, but no longer than for the next tick.
    waits_for_end: bool,
    time: Timekeeper,
}

/// What is remembered of a request.
#[derive(Debug)]
pub struct Stream {
    began: Micros,
    request_id: Option<RequestId>,
    /// The budget and what it promised; taken when that is settled.
    promise: Option<(usize, Promise)>,
    /// Whether the answer is on its way and the promise waits for the stream's end.
    answered: bool,
}

impl Filter for RetryBudget {
    const NAME: &'static str = crate::RECORD.name;
    type Config = Config;
    type Stream = Stream;

    fn read(value: Value<'_>) -> Option<Config> {
        Config::read(&value)
    }

    fn start(config: Config) -> Result<Self, Vec<Problem>> {
        let refused = |error| vec![Problem::new("", format!("a metric was refused: {error}"))];
        let worker = clock::secure_random();
        let any = RequestMatch::any();
        let reads_headers = config.stop_amplification
            || config.server.is_some()
            || config
                .budgets
                .iter()
                .any(|budget| budget.matches != any || budget.key == Key::Host);
        let matches = config.budgets.iter().map(|b| b.matches.clone()).collect();
        let budgets: Result<Vec<Outbound>, _> = config
            .budgets
            .into_iter()
            .map(|budget| Outbound::new(budget, worker))
            .collect();
        let server = config.server.map(|limit| Server::new(&limit, worker));
        let amplification = config.stop_amplification.then(Amplification::new);
        Ok(Self {
            store: Shared::new(Self::NAME),
            budgets: budgets.map_err(refused)?,
            matches: MatchIndex::new(matches),
            server: server.transpose().map_err(refused)?,
            amplification: amplification.transpose().map_err(refused)?,
            reads_headers,
            waits_for_end: false,
            time: Timekeeper::default(),
        })
    }

    fn on_request_headers(
        &mut self,
        cx: &mut RequestHeaders<'_>,
        stream: &mut Option<Stream>,
    ) -> Flow {
        // Marks tell apart what failed before a request came and what after.
        let began = if self.amplification.is_some() {
            self.time.now()
        } else {
            self.time.arrival()
        };
        let mut request_id = None;
        let mut chosen = (!self.budgets.is_empty()).then_some(0);
        let mut host: Option<Vec<u8>> = None;
        if self.reads_headers {
            let Ok(headers) = cx.headers() else {
                return Flow::Continue;
            };
            let claim = self.server.is_some().then(|| Claim::of(headers));
            if self.amplification.is_some() {
                request_id = headers.get(b"x-request-id").and_then(RequestId::new);
            }
            let head = RequestHead::new(headers);
            chosen = self.matches.first(&head);
            let budget = chosen.and_then(|index| self.budgets.get(index));
            if budget.is_some_and(|budget| budget.key() == Key::Host) {
                host = Some(head.host().to_ascii_lowercase());
            }
            if let (Some(server), Some(claim)) = (&mut self.server, claim)
                && let Some(reply) = server.refuse(cx, claim, began, &self.store)
            {
                return Flow::Reply(reply);
            }
        }
        let promise = chosen.and_then(|index| {
            let budget = self.budgets.get_mut(index)?;
            let promise = budget.promise(cx, host.as_deref(), began, &self.store);
            Some((index, promise))
        });
        if promise.is_some() || self.amplification.is_some() {
            *stream = Some(Stream {
                began,
                request_id,
                promise,
                answered: false,
            });
        }
        Flow::Continue
    }

    fn on_response_headers(
        &mut self,
        cx: &mut ResponseHeaders<'_>,
        stream: &mut Option<Stream>,
    ) -> Flow {
        // Nothing is retried once an answer is on its way, however long it takes.
        let Some(stream) = stream else {
            return Flow::Continue;
        };
        if self.waits_for_end
            && self.amplification.is_none()
            && let Some((_, promise)) = &stream.promise
            && !promise.was_cut()
        {
            stream.answered = true;
            return Flow::Continue;
        }
        let mut reply = None;
        if let Some((index, promise)) = stream.promise.take()
            && let Some(budget) = self.budgets.get_mut(index)
        {
            let attempts = cx.attribute(&UPSTREAM_REQUEST_ATTEMPT_COUNT);
            let spent = response::retries(attempts, promise.reserved());
            budget.settle(
                promise,
                stream.began,
                spent,
                || self.time.now(),
                &self.store,
            );
            if promise.was_cut() && spent == promise.allowed() && response::limit_was_reached(cx) {
                reply = budget.deny();
            }
        }
        if let Some(amplification) = &self.amplification {
            let (request, began) = (stream.request_id, stream.began);
            if amplification.must_stop(cx, request, began, || self.time.now(), &self.store) {
                match reply.take() {
                    Some(answer) => {
                        amplification.count();
                        reply = Some(with_mark(answer));
                    }
                    None => amplification.mark(cx),
                }
            }
        }
        reply.map_or(Flow::Continue, Flow::Reply)
    }

    fn on_log(&mut self, cx: &mut Log<'_>, stream: Option<Stream>) {
        // Streams that ended before any answer (aborts and resets), or whose answer
        // has waited for this.
        if let Some(mut stream) = stream {
            self.settle(&mut stream, || {
                cx.noted_or_read(&UPSTREAM_REQUEST_ATTEMPT_COUNT)
            });
        }
    }

    fn wants_at_end(&self) -> &'static [&'static Attribute<i64>] {
        if self.budgets.is_empty() {
            &[]
        } else {
            &[&UPSTREAM_REQUEST_ATTEMPT_COUNT]
        }
    }

    fn is_read_for(&mut self) {
        self.waits_for_end = true;
    }

    const LOOKS_AT_OPEN_STREAMS: bool = true;

    fn on_open_stream(&mut self, cx: &mut OpenStream, stream: &mut Stream) {
        if stream.answered {
            self.settle(stream, || cx.attribute(&UPSTREAM_REQUEST_ATTEMPT_COUNT));
        }
    }

    fn tick_period(&self) -> Option<Duration> {
        (!self.budgets.is_empty() || self.server.is_some()).then_some(Duration::from_secs(1))
    }

    fn on_tick(&mut self) {
        let now = self.time.tick();
        for budget in &mut self.budgets {
            budget.tick(now, &self.store);
        }
        if let Some(server) = &mut self.server {
            server.tick(now, &self.store);
        }
    }

    fn on_shutdown(&mut self) -> Shutdown {
        let now = self.time.now();
        for budget in &mut self.budgets {
            budget.close(now, &self.store);
        }
        if let Some(server) = &mut self.server {
            server.close(now, &self.store);
        }
        Shutdown::Done
    }
}

impl RetryBudget {
    /// Settles what was promised, once.
    fn settle(
        &mut self,
        stream: &mut Stream,
        attempts: impl FnOnce() -> Result<Option<i64>, HostError>,
    ) {
        let Some((index, promise)) = stream.promise.take() else {
            return;
        };
        let spent = response::retries(attempts(), promise.reserved());
        if let Some(budget) = self.budgets.get_mut(index) {
            budget.settle(
                promise,
                stream.began,
                spent,
                || self.time.now(),
                &self.store,
            );
        }
    }
}

fn with_mark(reply: LocalReply) -> LocalReply {
    reply.clone().header(RATELIMITED, "true").unwrap_or(reply)
}
