//! A host for native tests: no Envoy, no wasm, the same filter code.
//!
//! [`MockHost`] is per thread, so tests run in parallel. [`Plugin`] drives one
//! filter through the phases of a stream as Envoy would.
//!
//! ```
//! use meshpack_sdk::mock::{MockHost, Plugin};
//! use meshpack_sdk::{config, Filter, Flow, RequestHeaders};
//!
//! struct AddHeader;
//! impl Filter for AddHeader {
//!     const NAME: &'static str = "add_header";
//!     type Config = ();
//!     type Stream = ();
//!     fn read(value: config::Value<'_>) -> Option<()> {
//!         value.object().map(|_| ())
//!     }
//!     fn start((): ()) -> Result<Self, Vec<config::Problem>> {
//!         Ok(Self)
//!     }
//!     fn on_request_headers(&mut self, cx: &mut RequestHeaders<'_>, _: &mut Option<()>) -> Flow {
//!         let _ = cx.set_header(b"x-seen", b"yes");
//!         Flow::Continue
//!     }
//! }
//!
//! let mut plugin = Plugin::<AddHeader>::configure("{}").unwrap();
//! let stream = plugin.request(&[(":path", "/")]);
//! assert_eq!(stream.request_header("x-seen").as_deref(), Some("yes"));
//! assert_eq!(MockHost::calls("replace_header") + MockHost::calls("add_header"), 1);
//! ```

pub(crate) mod abi;
mod plugin;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::host::{HostError, Map};

pub use plugin::{MockStream, Plugin};

/// Name and value as bytes.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// A reply that a filter sent itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentReply {
    /// HTTP status.
    pub status: u32,
    /// Response code details.
    pub details: String,
    /// Body.
    pub body: Vec<u8>,
    /// Headers in the ABI's encoding decoded again.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// gRPC status, -1 for "the host decides".
    pub grpc_status: i32,
}

/// An HTTP callout that a filter made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentCallout {
    /// Envoy cluster.
    pub cluster: String,
    /// Request headers.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Body.
    pub body: Vec<u8>,
    /// Time limit.
    pub timeout: Duration,
    /// Its id, as the answer will carry it.
    pub id: u32,
}

type ForeignFunction = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, HostError>>;

#[derive(Default)]
pub(crate) struct State {
    maps: HashMap<Map, Vec<Pair>>,
    properties: HashMap<Vec<u8>, Result<Vec<u8>, HostError>>,
    configuration: Vec<u8>,
    callout_body: Vec<u8>,
    /// One per name and kind.
    metrics: Vec<(String, u32, i64, Vec<u64>)>,
    metric_slots: HashMap<(String, u32), usize>,
    /// Slots by id, which every definition has one of.
    metric_ids: Vec<usize>,
    shared: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    next_cas: u32,
    now: Duration,
    random: VecDeque<u64>,
    random_state: u64,
    logs: Vec<(u32, String)>,
    replies: Vec<SentReply>,
    callouts: Vec<SentCallout>,
    foreign: HashMap<String, ForeignFunction>,
    failures: HashMap<&'static str, HostError>,
    calls: HashMap<&'static str, usize>,
    tick_period: Option<Duration>,
    gone: HashSet<u32>,
    memory: Option<usize>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State::default());
}

pub(crate) fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    STATE.with(|state| f(&mut state.borrow_mut()))
}

pub(crate) fn has_memory(bytes: usize) -> bool {
    with(|state| state.memory.is_none_or(|limit| bytes <= limit))
}

/// The host of this thread.
#[derive(Debug, Clone, Copy)]
pub struct MockHost;

impl MockHost {
    /// Forgets everything, metrics and shared data included.
    pub fn reset() {
        with(|state| *state = State::default());
        crate::metrics::forget();
    }

    /// Sets the clock to this time since the Unix epoch.
    pub fn set_time(now: Duration) {
        with(|state| state.now = now);
    }

    /// Moves the clock.
    pub fn advance(by: Duration) {
        with(|state| state.now += by);
    }

    /// Numbers the random source returns next; afterwards it counts on from a
    /// fixed seed.
    pub fn push_random(values: impl IntoIterator<Item = u64>) {
        with(|state| state.random.extend(values));
    }

    /// Sets an attribute at a path of segments.
    pub fn set_property(path: &[&str], value: impl Into<Vec<u8>>) {
        let path = crate::attributes::path(path.iter().copied());
        with(|state| state.properties.insert(path, Ok(value.into())));
    }

    /// Makes reading an attribute fail.
    pub fn fail_property(path: &[&str], error: HostError) {
        let path = crate::attributes::path(path.iter().copied());
        with(|state| state.properties.insert(path, Err(error)));
    }

    /// Removes an attribute.
    pub fn clear_property(path: &[&str]) {
        let path = crate::attributes::path(path.iter().copied());
        with(|state| state.properties.remove(&path));
    }

    /// Makes every call of this kind fail (`header_pairs`, `set_shared_data`, …).
    pub fn fail(call: &'static str, error: HostError) {
        with(|state| state.failures.insert(call, error));
    }

    /// How often a call was made; the unit of cost.
    #[must_use]
    pub fn calls(call: &'static str) -> usize {
        with(|state| state.calls.get(call).copied().unwrap_or(0))
    }

    /// How many calls were made at all since the last [`MockHost::reset_calls`].
    #[must_use]
    pub fn all_calls() -> Vec<(&'static str, usize)> {
        with(|state| {
            let mut calls: Vec<_> = state
                .calls
                .iter()
                .map(|(&name, &count)| (name, count))
                .collect();
            calls.sort_unstable();
            calls
        })
    }

    /// Starts counting calls anew.
    pub fn reset_calls() {
        with(|state| state.calls.clear());
    }

    /// Value of a counter or gauge by its stat name, 0 when nobody defined it.
    #[must_use]
    pub fn metric(name: &str) -> i64 {
        with(|state| {
            let metrics = state.metrics.iter().filter(|(n, ..)| n == name);
            metrics.map(|(_, _, value, _)| value).sum()
        })
    }

    /// Values recorded in a histogram.
    #[must_use]
    pub fn histogram(name: &str) -> Vec<u64> {
        with(|state| {
            let metrics = state.metrics.iter().filter(|(n, ..)| n == name);
            metrics
                .flat_map(|(_, _, _, values)| values.clone())
                .collect()
        })
    }

    /// Names of all metrics.
    #[must_use]
    pub fn metric_names() -> Vec<String> {
        with(|state| {
            let mut names: Vec<_> = state.metrics.iter().map(|(n, ..)| n.clone()).collect();
            names.sort_unstable();
            names.dedup();
            names
        })
    }

    /// A shared value by its full key.
    #[must_use]
    pub fn shared(key: &str) -> Option<Vec<u8>> {
        with(|state| {
            state
                .shared
                .get(key.as_bytes())
                .map(|(value, _)| value.clone())
        })
    }

    /// Lines logged so far, level and text.
    #[must_use]
    pub fn logs() -> Vec<(u32, String)> {
        with(|state| state.logs.clone())
    }

    /// Callouts made so far; taking them empties the list.
    #[must_use]
    pub fn take_callouts() -> Vec<SentCallout> {
        with(|state| std::mem::take(&mut state.callouts))
    }

    /// Installs a foreign function.
    pub fn foreign_function(
        name: &str,
        function: impl FnMut(&[u8]) -> Result<Vec<u8>, HostError> + 'static,
    ) {
        with(|state| state.foreign.insert(name.to_owned(), Box::new(function)));
    }

    /// Makes the host forget a context, of a stream or of a configuration.
    pub fn end_context(id: u32) {
        with(|state| state.gone.insert(id));
    }

    /// Which headers the host has: of the request, the response, the response's
    /// trailers and the answer to a callout, in this order; `None` for a map that cannot
    /// be read now.
    pub fn set_headers(maps: [Option<Vec<Pair>>; 4]) {
        let names = [
            Map::RequestHeaders,
            Map::ResponseHeaders,
            Map::ResponseTrailers,
            Map::HttpCallResponseHeaders,
        ];
        with(|state| {
            state.maps.clear();
            let there = names.into_iter().zip(maps);
            state
                .maps
                .extend(there.filter_map(|(map, pairs)| Some((map, pairs?))));
        });
    }

    /// The body of the answer to a callout.
    pub fn set_callout_body(body: &[u8]) {
        with(|state| state.callout_body = body.to_vec());
    }

    /// Makes a call that failed answer again.
    pub fn heal(call: &'static str) {
        with(|state| state.failures.remove(call));
    }

    /// What the host hands over as the plugin's configuration.
    pub fn set_configuration(text: &str) {
        with(|state| state.configuration = text.as_bytes().to_vec());
    }

    /// Leaves the module so many bytes, `None` for as many as it wants.
    pub fn limit_memory(bytes: Option<usize>) {
        with(|state| state.memory = bytes);
    }

    /// Tick period that the plugin asked for.
    #[must_use]
    pub fn tick_period() -> Option<Duration> {
        with(|state| state.tick_period)
    }
}
