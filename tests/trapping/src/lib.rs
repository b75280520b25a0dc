//! The pack with a part that traps when a request tells it to. It does not ship; a
//! test shows with it what each failure policy of Envoy does to the other parts.
//!
//! The part is the third of four, so that others stand before and behind it. The
//! header `x-trap` says in which phase.

use std::time::Duration;

use meshpack_authz_policy::AuthzPolicy;
use meshpack_canary_split::CanarySplit;
use meshpack_retry_budget::RetryBudget;
use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::{
    CalloutId, CalloutResponse, Filter, Flow, Log, RequestHeaders, ResponseHeaders,
    ResponseTrailers, Shutdown,
};
use meshpack_telemetry::Telemetry;

/// When the part traps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Request,
    Response,
    Log,
    Tick,
}

impl Phase {
    fn asked_for(cx: &mut RequestHeaders<'_>) -> Option<Self> {
        match cx.headers().ok()?.get(b"x-trap")? {
            b"request" => Some(Self::Request),
            b"response" => Some(Self::Response),
            b"log" => Some(Self::Log),
            b"tick" => Some(Self::Tick),
            _ => None,
        }
    }
}

/// A filter that traps in the phase that a request asks for, after its own work.
pub struct Trapping<F> {
    filter: F,
    /// Set until the next tick, which traps.
    armed: bool,
}

fn trap_if(wanted: bool) {
    assert!(!wanted, "a trap was asked for");
}

/// What the filter keeps of a stream, and when it shall trap.
pub struct Stream<S> {
    kept: Option<S>,
    phase: Option<Phase>,
}

impl<F: Filter> Filter for Trapping<F> {
    const NAME: &'static str = F::NAME;
    const GUARDS: bool = F::GUARDS;
    type Config = F::Config;
    type Stream = Stream<F::Stream>;

    fn read(value: Value<'_>) -> Option<F::Config> {
        F::read(value)
    }

    fn start(config: F::Config) -> Result<Self, Vec<Problem>> {
        let filter = F::start(config)?;
        Ok(Self {
            filter,
            armed: false,
        })
    }

    fn on_request_headers(
        &mut self,
        cx: &mut RequestHeaders<'_>,
        stream: &mut Option<Self::Stream>,
    ) -> Flow {
        let phase = Phase::asked_for(cx);
        let stream = stream.insert(Stream { kept: None, phase });
        let flow = self.filter.on_request_headers(cx, &mut stream.kept);
        trap_if(phase == Some(Phase::Request));
        self.armed |= phase == Some(Phase::Tick);
        flow
    }

    fn on_response_headers(
        &mut self,
        cx: &mut ResponseHeaders<'_>,
        stream: &mut Option<Self::Stream>,
    ) -> Flow {
        let Some(stream) = stream else {
            return Flow::Continue;
        };
        let flow = self.filter.on_response_headers(cx, &mut stream.kept);
        trap_if(stream.phase == Some(Phase::Response));
        flow
    }

    fn on_response_trailers(
        &mut self,
        cx: &mut ResponseTrailers<'_>,
        stream: &mut Option<Self::Stream>,
    ) {
        if let Some(stream) = stream {
            self.filter.on_response_trailers(cx, &mut stream.kept);
        }
    }

    fn on_log(&mut self, cx: &mut Log<'_>, stream: Option<Self::Stream>) {
        let (kept, phase) = stream.map_or((None, None), |stream| (stream.kept, stream.phase));
        self.filter.on_log(cx, kept);
        trap_if(phase == Some(Phase::Log));
    }

    fn tick_period(&self) -> Option<Duration> {
        self.filter.tick_period()
    }

    fn on_tick(&mut self) {
        self.filter.on_tick();
        trap_if(self.armed);
    }

    fn on_http_call_response(&mut self, id: CalloutId, response: &mut CalloutResponse<'_>) {
        self.filter.on_http_call_response(id, response);
    }

    fn on_shutdown(&mut self) -> Shutdown {
        self.filter.on_shutdown()
    }
}

meshpack_sdk::compose! {
    /// The pack, whose third part traps.
    pub struct TrappingPack("meshpack") {
        authz: AuthzPolicy,
        canary: CanarySplit,
        retry: Trapping<RetryBudget>,
        telemetry: Telemetry,
    }
}

meshpack_sdk::module!(
    TrappingPack: request_headers, response_headers, response_trailers, log, done, http_call_response
);
