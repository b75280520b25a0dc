//! From the host's callbacks to a filter's.

use std::cell::RefCell;
use std::time::Duration;

use crate::callout::CalloutId;
use crate::config::{self, Problem};
use crate::cx::{
    self, CalloutResponse, Log, OpenStream, RequestHeaders, ResponseHeaders, ResponseTrailers,
};
use crate::filter::{Filter, Flow, Shutdown};
use crate::host::{self, Buffer, abi};
use crate::metrics;
use crate::reply::LocalReply;
use crate::streams::Streams;

/// `proxy_wasm::types::Action`
const CONTINUE: u32 = proxy_wasm::types::Action::Continue as u32;
const PAUSE: u32 = proxy_wasm::types::Action::Pause as u32;

/// How often counters are handed to Envoy.
const FLUSH_PERIOD: Duration = Duration::from_secs(1);

/// How long the state of a stream is kept in a module that is not told of ends.
const FORGET_STREAM_AFTER: Duration = Duration::from_secs(600);

/// A root that the host no longer ticks is gone; only modules that are not told
/// of ends have to guess.
const FORGET_ROOT_AFTER: Duration = Duration::from_secs(60);

/// All contexts of one filter in one VM.
pub struct Runtime<F: Filter> {
    inner: RefCell<Inner<F>>,
}

struct Inner<F: Filter> {
    roots: Vec<Root<F>>,
    /// The stream context created last and its root. Envoy creates a context
    /// right before its first callback, so nearly always this is the one.
    created: Option<(u32, u32)>,
    /// Whether the module is told the end of a stream by `log`; `done` then
    /// comes too late and means nothing but the end of a root.
    ended_by_log: bool,
    streams: Streams<F::Stream>,
    /// Whether the module exports a callback at the end of streams and roots.
    told_of_ends: bool,
    /// Time of the last tick, for modules that are not told of ends.
    now: Duration,
}

struct Root<F> {
    id: u32,
    filter: Option<F>,
    tick_period: Option<Duration>,
    ticked: Duration,
    /// Last sign of life, for modules that are not told of ends.
    alive: Duration,
}

impl<F: Filter> Default for Runtime<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Filter> Runtime<F> {
    /// A runtime without contexts.
    #[must_use]
    pub const fn new() -> Self {
        Self::in_module(true)
    }

    /// A runtime in a module that is, or is not, told the end of streams. Without
    /// being told, the state of a stream is dropped when the filter empties it,
    /// and otherwise after ten minutes.
    #[must_use]
    pub const fn in_module(told_of_ends: bool) -> Self {
        Self {
            inner: RefCell::new(Inner {
                roots: Vec::new(),
                created: None,
                ended_by_log: false,
                streams: Streams::new(),
                told_of_ends,
                now: Duration::ZERO,
            }),
        }
    }

    /// Runs one callback. Should the host ever call back into the module while a
    /// callback is under way, the inner call gets `otherwise`.
    fn run<T>(&self, otherwise: T, callback: impl FnOnce(&mut Inner<F>) -> T) -> T {
        if let Ok(mut inner) = self.inner.try_borrow_mut() {
            host::arena_reset();
            callback(&mut inner)
        } else {
            log::error!("{}: the host called back during a callback", F::NAME);
            otherwise
        }
    }

    /// `_initialize`: installs logger and panic hook.
    pub fn initialize(&self) {
        crate::logger::install(F::NAME);
    }

    /// `proxy_on_vm_start`: says in the log what was loaded.
    pub fn on_vm_start(&self, version: &str, build: Option<&str>) -> bool {
        crate::logger::follow_host_level();
        log::info!(
            "{} {version} ({}) on meshpack-sdk {}",
            F::NAME,
            build.unwrap_or("local build"),
            env!("CARGO_PKG_VERSION"),
        );
        true
    }

    /// `proxy_on_context_create`
    pub fn on_context_create(&self, id: u32, root: u32) {
        self.run((), |inner| {
            if root != 0 {
                if let Some((id, root)) = inner.created.replace((id, root)) {
                    inner.streams.insert(id, root, inner.now, None);
                }
            } else if inner.root(id).is_none() {
                inner.now = crate::clock::now();
                inner.roots.push(Root {
                    id,
                    filter: None,
                    tick_period: None,
                    ticked: Duration::ZERO,
                    alive: inner.now,
                });
            }
        });
    }

    /// `proxy_on_configure`: true when the configuration is in force. A bad one
    /// changes nothing.
    pub fn on_configure(&self, root: u32, size: usize) -> bool {
        self.run(false, |inner| {
            let read = if size == 0 {
                Ok(&[][..])
            } else {
                abi::buffer(Buffer::PluginConfiguration, 0, size)
            };
            let started = match read {
                Ok(bytes) => config::parse(bytes, F::read).and_then(F::start),
                Err(error) => {
                    let message = format!("the host did not hand it over: {error}");
                    Err(vec![Problem::new("", message)])
                }
            };
            match started {
                Ok(filter) => inner.install(root, filter),
                Err(problems) => {
                    for problem in &problems {
                        log::error!("{}: config: {problem}", F::NAME);
                    }
                    false
                }
            }
        })
    }

    /// `proxy_on_tick`
    pub fn on_tick(&self, root: u32) {
        self.run((), |inner| {
            metrics::flush();
            if !inner.told_of_ends {
                inner.forget_old(root);
            }
            if F::LOOKS_AT_OPEN_STREAMS {
                inner.look_at_open(root);
            }
            let Some(root) = inner.root(root) else { return };
            let Some(period) = root.tick_period else {
                return;
            };
            if period >= FLUSH_PERIOD {
                // The host ticks for the counters; the filter's own period is longer.
                let now = crate::clock::now();
                if now.saturating_sub(root.ticked) + FLUSH_PERIOD / 2 < period {
                    return;
                }
                root.ticked = now;
            }
            if let Some(filter) = &mut root.filter {
                filter.on_tick();
            }
        });
    }

    /// `proxy_on_request_headers`
    pub fn on_request_headers(&self, id: u32, end_of_stream: bool) -> u32 {
        self.run(PAUSE, |inner| {
            let Some((root, mut state)) = inner.take(id) else {
                return unseen::<F>();
            };
            let Some(filter) = inner.filter(root) else {
                return unseen::<F>();
            };
            let mut cx = RequestHeaders::new(end_of_stream, F::COMPOSED);
            let flow = filter.on_request_headers(&mut cx, &mut state);
            if state.is_some() {
                inner.streams.insert(id, root, inner.now, state);
            }
            action::<F>(flow)
        })
    }

    /// `proxy_on_response_headers`
    pub fn on_response_headers(&self, id: u32, end_of_stream: bool) -> u32 {
        self.run(CONTINUE, |inner| {
            inner
                .with_stream(id, |filter, state| {
                    let mut cx = ResponseHeaders::new(end_of_stream, F::COMPOSED);
                    action::<F>(filter.on_response_headers(&mut cx, state))
                })
                .unwrap_or(CONTINUE)
        })
    }

    /// `proxy_on_response_trailers`
    pub fn on_response_trailers(&self, id: u32) -> u32 {
        self.run(CONTINUE, |inner| {
            inner.with_stream(id, |filter, state| {
                filter.on_response_trailers(&mut ResponseTrailers::new(), state);
            });
            CONTINUE
        })
    }

    /// `proxy_on_log`: the stream has ended.
    pub fn on_log(&self, id: u32) {
        self.run((), |inner| {
            inner.ended_by_log = true;
            inner.end(id);
        });
    }

    /// `proxy_on_done`: a stream has ended, or a root is going away. True when
    /// the host need not wait.
    pub fn on_done(&self, id: u32) -> bool {
        self.run(true, |inner| {
            let Some(root) = inner.root(id) else {
                if !inner.ended_by_log {
                    inner.end(id);
                }
                return true;
            };
            let shutdown = root.filter.as_mut().map(F::on_shutdown);
            metrics::flush();
            shutdown != Some(Shutdown::Pending)
        })
    }

    /// `proxy_on_delete`
    pub fn on_delete(&self, id: u32) {
        self.run((), |inner| {
            metrics::flush();
            inner.roots.retain(|root| root.id != id);
            inner.streams.remove(id);
        });
    }

    /// `proxy_on_http_call_response`
    pub fn on_http_call_response(&self, context: u32, callout: u32, body_size: usize) {
        self.run((), |inner| {
            if let Some(filter) = inner.filter(context) {
                let mut response = CalloutResponse::new(body_size);
                filter.on_http_call_response(CalloutId(callout), &mut response);
            }
        });
    }
}

impl<F: Filter> Inner<F> {
    fn root(&mut self, id: u32) -> Option<&mut Root<F>> {
        self.roots.iter_mut().find(|root| root.id == id)
    }

    fn filter(&mut self, root: u32) -> Option<&mut F> {
        self.root(root)?.filter.as_mut()
    }

    fn install(&mut self, id: u32, filter: F) -> bool {
        if self.root(id).is_none() {
            self.roots.push(Root {
                id,
                filter: None,
                tick_period: None,
                ticked: Duration::ZERO,
                alive: self.now,
            });
        }
        self.now = crate::clock::now();
        let now = self.now;
        let wish = filter.tick_period();
        if let Some(root) = self.root(id) {
            root.tick_period = wish;
            root.alive = now;
            root.filter = Some(filter);
        }
        // Always, because a filter may define its first counter on a request, when
        // it is too late to ask for ticks: the timer is the root's.
        cx::set_tick_period(wish.map_or(FLUSH_PERIOD, |wish| wish.min(FLUSH_PERIOD)));
        true
    }

    /// Root and state of a stream, taken out of the books.
    fn take(&mut self, id: u32) -> Option<(u32, Option<F::Stream>)> {
        if let Some((_, root)) = self.created.take_if(|(created, _)| *created == id) {
            return Some((root, None));
        }
        let stream = self.streams.remove(id)?;
        Some((stream.root, stream.state))
    }

    fn with_stream<T>(
        &mut self,
        id: u32,
        callback: impl FnOnce(&mut F, &mut Option<F::Stream>) -> T,
    ) -> Option<T> {
        let stream = self.streams.get_mut(id)?;
        let root = stream.root;
        let filter = self
            .roots
            .iter_mut()
            .find(|r| r.id == root)?
            .filter
            .as_mut()?;
        let result = callback(filter, &mut stream.state);
        if !self.told_of_ends && stream.state.is_none() {
            self.streams.remove(id);
        }
        Some(result)
    }

    fn look_at_open(&mut self, id: u32) {
        let root = self.roots.iter_mut().find(|root| root.id == id);
        let Some(filter) = root.and_then(|root| root.filter.as_mut()) else {
            return;
        };
        let mut left = false;
        for stream in self.streams.iter_mut().filter(|stream| stream.root == id) {
            if let Some(state) = &mut stream.state {
                let mut cx = OpenStream::new(stream.id);
                filter.on_open_stream(&mut cx, state);
                left |= cx.was_reached();
            }
        }
        if left && let Err(error) = abi::set_effective_context(id) {
            log::error!(
                "{}: the host does not come back from a stream: {error}",
                F::NAME
            );
        }
    }

    /// What being told of ends would have freed.
    fn forget_old(&mut self, ticking: u32) {
        self.now = crate::clock::now();
        let now = self.now;
        if let Some(root) = self.root(ticking) {
            root.alive = now;
        }
        self.streams
            .retain(|stream| now.saturating_sub(stream.since) < FORGET_STREAM_AFTER);
        self.roots
            .retain(|root| now.saturating_sub(root.alive) < FORGET_ROOT_AFTER);
    }

    /// Also reached by streams that an earlier filter refused before this one
    /// saw their headers; those were only just created.
    fn end(&mut self, id: u32) {
        let Some((root, state)) = self.take(id).or_else(|| self.only_root()) else {
            return;
        };
        if let Some(filter) = self.filter(root) {
            filter.on_log(&mut Log::new(), state);
        }
    }

    /// The root of a stream that kept no state: certain when there is just one.
    fn only_root(&self) -> Option<(u32, Option<F::Stream>)> {
        match self.roots.as_slice() {
            [root] => Some((root.id, None)),
            _ => None,
        }
    }
}

fn action<F: Filter>(flow: Flow) -> u32 {
    match flow {
        Flow::Continue => CONTINUE,
        Flow::Reply(reply) => {
            if let Err(error) = reply.send() {
                log::error!("{}: the host refused a local reply: {error}", F::NAME);
            }
            PAUSE
        }
    }
}

/// A stream whose context or configuration is unknown: a guard refuses it.
fn unseen<F: Filter>() -> u32 {
    if F::GUARDS {
        action::<F>(Flow::Reply(LocalReply::new(503, "meshpack_not_configured")))
    } else {
        CONTINUE
    }
}
