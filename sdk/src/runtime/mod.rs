//! From the host's callbacks to a filter's.

mod books;
mod room;

use std::cell::RefCell;
use std::time::Duration;

use crate::callout::CalloutId;
use crate::config;
use crate::cx::{CalloutResponse, RequestHeaders, ResponseHeaders, ResponseTrailers};
use crate::filter::{Filter, Flow, Shutdown};
use crate::host::{self, Buffer, abi};
use crate::metrics;
use crate::reply::LocalReply;
use crate::streams::Streams;
use books::{Books, Root};

pub use room::{MEMORY_BESIDE, MEMORY_PER_BYTE};

// The ABI's actions.
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

/// How often counters are handed to Envoy.
const FLUSH_PERIOD: Duration = Duration::from_secs(1);

/// All contexts of one filter in one VM.
pub struct Runtime<F: Filter> {
    books: RefCell<Books<F>>,
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
        Self::in_module(&["done"])
    }

    /// A runtime in a module with these callbacks. One that is not told the end of
    /// streams (`log`, `done`) or of configurations (`done`) asks the host which are
    /// still there: one scalar call each, none of them during a request.
    #[must_use]
    pub const fn in_module(callbacks: &[&str]) -> Self {
        let told_of_roots = has(callbacks, "done");
        Self {
            books: RefCell::new(Books {
                roots: Vec::new(),
                created: None,
                ended_by_log: false,
                streams: Streams::new(),
                told_of_streams: told_of_roots || has(callbacks, "log"),
                told_of_roots,
                ticks: 0,
                was_configured: false,
            }),
        }
    }

    /// Runs one callback. Should the host ever call back into the module while a
    /// callback is under way, the books call gets `otherwise`.
    fn run<T>(&self, otherwise: T, callback: impl FnOnce(&mut Books<F>) -> T) -> T {
        if let Ok(mut books) = self.books.try_borrow_mut() {
            host::arena_reset();
            callback(&mut books)
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
        self.run((), |books| {
            if root != 0 {
                if let Some((id, root)) = books.created.replace((id, root)) {
                    books.streams.insert(id, root, None);
                }
            } else if books.root(id).is_none() {
                books.roots.push(Root::new(id));
            }
        });
    }

    /// `proxy_on_configure`: true when the configuration is in force. A bad one
    /// changes nothing.
    ///
    /// Envoy asks a VM of its own first, and the workers only when that one accepts.
    /// Of a worker it wants no answer: were this false there, or a trap, Envoy would
    /// leave the filter out of that worker's chain under every failure policy, and
    /// refuse every later configuration. So a worker never refuses: it waits for room,
    /// and until then a guard answers 503.
    pub fn on_configure(&self, root: u32, size: usize) -> bool {
        self.run(false, |books| {
            books.forget_gone_roots(root);
            let read = if size == 0 {
                Ok(&[][..])
            } else {
                abi::buffer(Buffer::PluginConfiguration, 0, size)
            };
            let bytes = match read {
                Ok(bytes) => bytes,
                Err(error) => {
                    log::error!(
                        "{}: config: the host did not hand it over: {error}",
                        F::NAME
                    );
                    return books.go_without(root, None);
                }
            };
            if !room::is_there_for(size) {
                return books.go_without(root, Some(bytes));
            }
            match start::<F>(bytes) {
                Some(filter) => {
                    books.install(root, filter);
                    true
                }
                None => books.go_without(root, None),
            }
        })
    }

    /// `proxy_on_tick`
    pub fn on_tick(&self, root: u32) {
        self.run((), |books| {
            metrics::flush();
            books.forget_gone(root);
            if let Some(filter) = books.room_at_last(root).and_then(|bytes| start(&bytes)) {
                books.install(root, filter);
            }
            if F::LOOKS_AT_OPEN_STREAMS {
                books.look_at_open(root);
            }
            let Some(root) = books.root(root) else { return };
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
            let id = root.id;
            books.forget_finished(id);
        });
    }

    /// `proxy_on_request_headers`
    pub fn on_request_headers(&self, id: u32, end_of_stream: bool) -> u32 {
        self.run(PAUSE, |books| {
            let Some((root, mut state)) = books.take(id) else {
                return unseen::<F>();
            };
            let Some(filter) = books.filter(root) else {
                return unseen::<F>();
            };
            let mut cx = RequestHeaders::new(end_of_stream, F::COMPOSED);
            let flow = filter.on_request_headers(&mut cx, &mut state);
            // Of a stream that is not in the books the root is certain while there is one.
            if state.is_some() || (books.told_of_streams && books.roots.len() > 1) {
                books.streams.insert(id, root, state);
            }
            action::<F>(flow)
        })
    }

    /// `proxy_on_response_headers`
    pub fn on_response_headers(&self, id: u32, end_of_stream: bool) -> u32 {
        self.run(CONTINUE, |books| {
            books
                .with_stream(id, |filter, state| {
                    let mut cx = ResponseHeaders::new(end_of_stream, F::COMPOSED);
                    action::<F>(filter.on_response_headers(&mut cx, state))
                })
                .unwrap_or(CONTINUE)
        })
    }

    /// `proxy_on_response_trailers`
    pub fn on_response_trailers(&self, id: u32) -> u32 {
        self.run(CONTINUE, |books| {
            books.with_stream(id, |filter, state| {
                filter.on_response_trailers(&mut ResponseTrailers::new(), state);
            });
            CONTINUE
        })
    }

    /// `proxy_on_log`: the stream has ended.
    pub fn on_log(&self, id: u32) {
        self.run((), |books| {
            books.ended_by_log = true;
            books.end(id);
        });
    }

    /// `proxy_on_done`: a stream has ended, or a root is going away, its streams gone
    /// before it. True when the host need not wait.
    pub fn on_done(&self, id: u32) -> bool {
        self.run(true, |books| {
            let Some(root) = books.root(id) else {
                if !books.ended_by_log {
                    books.end(id);
                }
                return true;
            };
            let shutdown = root.filter.as_mut().map(F::on_shutdown);
            metrics::flush();
            if shutdown == Some(Shutdown::Pending) {
                return false;
            }
            books.forget_root(id);
            true
        })
    }

    /// `proxy_on_delete`
    pub fn on_delete(&self, id: u32) {
        self.run((), |books| {
            metrics::flush();
            books.roots.retain(|root| root.id != id);
            books.streams.remove(id);
        });
    }

    /// `proxy_on_http_call_response`
    pub fn on_http_call_response(&self, context: u32, callout: u32, body_size: usize) {
        self.run((), |books| {
            if let Some(filter) = books.filter(context) {
                let mut response = CalloutResponse::new(body_size);
                filter.on_http_call_response(CalloutId(callout), &mut response);
            }
            books.forget_finished(context);
        });
    }
}

/// A filter with this configuration. What is wrong with it is in the log otherwise.
fn start<F: Filter>(configuration: &[u8]) -> Option<F> {
    let started = config::parse(configuration, F::read)
        .and_then(|read| F::start(read).map_err(|problems| config::cut(problems, 0)));
    match started {
        Ok(filter) => Some(filter),
        Err(problems) => {
            for problem in &problems {
                log::error!("{}: config: {problem}", F::NAME);
            }
            None
        }
    }
}

/// Whether a name is among the callbacks of a module.
const fn has(callbacks: &[&str], name: &str) -> bool {
    let mut rest = callbacks;
    while let [callback, tail @ ..] = rest {
        if same(callback.as_bytes(), name.as_bytes()) {
            return true;
        }
        rest = tail;
    }
    false
}

const fn same(mut left: &[u8], mut right: &[u8]) -> bool {
    while let ([a, rest_left @ ..], [b, rest_right @ ..]) = (left, right) {
        if *a != *b {
            return false;
        }
        (left, right) = (rest_left, rest_right);
    }
    left.is_empty() && right.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_wasm::types::Action;

    #[test]
    fn actions_are_those_of_the_stock_crate() {
        assert_eq!(
            [CONTINUE, PAUSE],
            [Action::Continue as u32, Action::Pause as u32]
        );
    }
}
