//! What a filter is.

use std::cell::Cell;
use std::time::Duration;

use crate::attributes::Attribute;
use crate::callout::CalloutId;
use crate::config::{Problem, Value};
use crate::cx::{
    CalloutResponse, Log, OpenStream, RequestHeaders, ResponseHeaders, ResponseTrailers,
};
use crate::reply::LocalReply;

/// What happens to the stream after a callback.
///
/// There is no way to pause: pausing while waiting for headers stops the body in
/// stock Envoy, and resuming in the wrong phase crashes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// The next filter's turn.
    Continue,
    /// The proxy answers itself; filters behind this one never see the request.
    Reply(LocalReply),
}

/// Whether a plugin has finished its work when it is asked to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing left to do.
    Done,
    /// Work is under way; [`done`] ends it.
    Pending,
}

thread_local! {
    /// Whether the filter said so in the callback under way.
    static DONE: Cell<bool> = const { Cell::new(false) };
}

/// Whether [`done`] was called since the last time this was asked.
pub(crate) fn take_done() -> bool {
    DONE.take()
}

/// Tells the host that a pending [`Shutdown`] is complete. The filter is dropped at
/// the end of the callback.
pub fn done() {
    DONE.set(true);
    if let Err(error) = crate::host::abi::done() {
        log::debug!("the host did not wait for the shutdown: {error}");
    }
}

/// A filter: configured once per configuration and worker, then called for every
/// stream. A module is one filter, or several behind [`compose!`](crate::compose).
///
/// All methods but the first two have defaults; the module's entry point
/// ([`module!`](crate::module)) lists the callbacks it wants, because each costs
/// about 1.4k instructions per request in Envoy even when it does nothing.
pub trait Filter: Sized + 'static {
    /// Name in logs, metrics and shared data: `canary_split`.
    const NAME: &'static str;

    /// Whether a request that the filter cannot look at is refused. True for
    /// filters that guard something.
    const GUARDS: bool = false;

    /// Whether several filters share each callback; only
    /// [`compose!`](crate::compose) says so.
    const COMPOSED: bool = false;

    /// The parsed configuration.
    type Config;

    /// What is remembered of one stream between its phases.
    type Stream: 'static;

    /// Reads a configuration; every problem is noted on the [`Value`].
    fn read(value: Value<'_>) -> Option<Self::Config>;

    /// Builds the running filter: defines metrics, compiles expressions.
    ///
    /// # Errors
    /// Problems that only the host can find; the configuration is refused.
    fn start(config: Self::Config) -> Result<Self, Vec<Problem>>;

    /// The request's headers. Put something into `stream` to see it again in the
    /// later phases. A stream that is left empty is forgotten, so that it costs
    /// nothing: of its later callbacks only [`on_log`](Self::on_log) comes.
    fn on_request_headers(
        &mut self,
        cx: &mut RequestHeaders<'_>,
        stream: &mut Option<Self::Stream>,
    ) -> Flow;

    /// The response's headers, of a stream that the request phase put state into.
    fn on_response_headers(
        &mut self,
        cx: &mut ResponseHeaders<'_>,
        stream: &mut Option<Self::Stream>,
    ) -> Flow {
        let _ = (cx, stream);
        Flow::Continue
    }

    /// The response's trailers, of a stream that the request phase put state into.
    fn on_response_trailers(
        &mut self,
        cx: &mut ResponseTrailers<'_>,
        stream: &mut Option<Self::Stream>,
    ) {
        let _ = (cx, stream);
    }

    /// The end of the stream, exactly once however it ended. `stream` is `None`
    /// when the filter never saw the request or kept nothing of it.
    fn on_log(&mut self, cx: &mut Log<'_>, stream: Option<Self::Stream>) {
        let _ = (cx, stream);
    }

    /// Attributes that the filter wants in [`Filter::on_log`] and that another
    /// filter may read for it at less cost.
    fn wants_at_end(&self) -> &'static [&'static Attribute<i64>] {
        &[]
    }

    /// Asked to read more in [`Filter::on_log`] for the filters composed with this
    /// one, and to [note](Log::note) it there. True if it will.
    fn reads_at_end(&mut self, wanted: &[&'static Attribute<i64>]) -> bool {
        let _ = wanted;
        false
    }

    /// What the filter [wants](Filter::wants_at_end) will be noted when it is told the
    /// end of a stream.
    fn is_read_for(&mut self) {}

    /// Whether [`Filter::on_open_stream`] is wanted.
    const LOOKS_AT_OPEN_STREAMS: bool = false;

    /// A stream that is remembered and still open at a tick.
    fn on_open_stream(&mut self, cx: &mut OpenStream, stream: &mut Self::Stream) {
        let _ = (cx, stream);
    }

    /// How often [`Filter::on_tick`] is wanted, `None` for never.
    fn tick_period(&self) -> Option<Duration> {
        None
    }

    /// Called about every [`Filter::tick_period`] on each worker.
    fn on_tick(&mut self) {}

    /// The answer to a [`crate::Callout`].
    fn on_http_call_response(&mut self, id: CalloutId, response: &mut CalloutResponse<'_>) {
        let _ = (id, response);
    }

    /// The plugin is going away (a new configuration, the end of the worker).
    fn on_shutdown(&mut self) -> Shutdown {
        Shutdown::Done
    }
}
