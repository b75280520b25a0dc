//! Which configurations and streams there are.
//!
//! What is gone leaves nothing behind: a configuration is dropped when the host ends
//! it, which is when its last stream has ended, and not later.

use std::time::Duration;

use super::{FLUSH_PERIOD, room};
use crate::cx::{self, Log, OpenStream};
use crate::filter::{self, Filter};
use crate::host::{self, HostError, abi};
use crate::streams::Streams;

/// A module that is not told of ends asks the host at every so many ticks which of
/// the streams that it remembers are still there.
const TICKS_BETWEEN_SWEEPS: u32 = 64;

/// The books of one filter in one VM.
pub(super) struct Books<F: Filter> {
    pub(super) roots: Vec<Root<F>>,
    /// The stream context created last and its root. Envoy creates a context
    /// right before its first callback, so nearly always this is the one.
    pub(super) created: Option<(u32, u32)>,
    /// Whether the module is told the end of a stream by `log`; `done` then
    /// comes too late and means nothing but the end of a root.
    pub(super) ended_by_log: bool,
    pub(super) streams: Streams<F::Stream>,
    /// Whether the module exports a callback at the end of streams.
    pub(super) told_of_streams: bool,
    /// Whether it exports the one at the end of roots.
    pub(super) told_of_roots: bool,
    /// Ticks since the streams were looked through, in modules that are not told.
    pub(super) ticks: u32,
    /// Whether a configuration has ever been in force in this VM. Envoy tries each one
    /// in a fresh VM first, so that this one is then a worker's.
    pub(super) was_configured: bool,
}

/// One configuration in force. Every changed configuration is a new root; the
/// former one stays until its last stream has ended.
pub(super) struct Root<F> {
    pub(super) id: u32,
    pub(super) filter: Option<F>,
    /// A configuration for which there was no memory.
    waiting: Option<Vec<u8>>,
    pub(super) tick_period: Option<Duration>,
    pub(super) ticked: Duration,
}

impl<F> Root<F> {
    pub(super) const fn new(id: u32) -> Self {
        Self {
            id,
            filter: None,
            waiting: None,
            tick_period: None,
            ticked: Duration::ZERO,
        }
    }
}

impl<F: Filter> Books<F> {
    pub(super) fn root(&mut self, id: u32) -> Option<&mut Root<F>> {
        self.roots.iter_mut().find(|root| root.id == id)
    }

    pub(super) fn filter(&mut self, root: u32) -> Option<&mut F> {
        self.root(root)?.filter.as_mut()
    }

    pub(super) fn install(&mut self, id: u32, filter: F) {
        let wish = filter.tick_period();
        if let Some(root) = self.root_or_new(id) {
            root.tick_period = wish;
            root.filter = Some(filter);
        }
        self.was_configured = true;
        // Always, because a filter may define its first counter on a request, when
        // it is too late to ask for ticks: the timer is the root's.
        cx::set_tick_period(wish.map_or(FLUSH_PERIOD, |wish| wish.min(FLUSH_PERIOD)));
        self.say_what_is_held();
    }

    fn root_or_new(&mut self, id: u32) -> Option<&mut Root<F>> {
        if self.root(id).is_none() {
            self.roots.push(Root::new(id));
        }
        self.root(id)
    }

    /// A configuration could not be loaded. False when the host shall refuse it; in a
    /// worker that is too late (see [`super::Runtime::on_configure`]), so the root has
    /// no filter, until there is room for what it is `waiting` for.
    #[cold]
    #[inline(never)]
    pub(super) fn go_without(&mut self, id: u32, waiting: Option<&[u8]>) -> bool {
        let configured = self.was_configured;
        let Some(root) = self.root_or_new(id) else {
            return false;
        };
        if !configured || root.filter.is_some() {
            if let Some(bytes) = waiting {
                log::error!(
                    "{}: config: with {} bytes it may need {} MiB of memory, more than Envoy \
                     gives (1024, former ones included): make it smaller, or split it into plugins",
                    F::NAME,
                    bytes.len(),
                    room::needed_for(bytes.len()) >> 20
                );
            }
            return false;
        }
        root.waiting = waiting.and_then(|bytes| {
            let mut kept = Vec::new();
            kept.try_reserve_exact(bytes.len()).ok()?;
            kept.extend_from_slice(bytes);
            Some(kept)
        });
        let remedy = match root.waiting {
            Some(_) => "there is no memory for it until streams of former ones have ended",
            None => "this worker cannot load what Envoy has accepted; change it again",
        };
        let meanwhile = if F::GUARDS {
            "answered 503"
        } else {
            "not filtered"
        };
        log::error!("{}: config: {remedy}; requests are {meanwhile}", F::NAME);
        cx::set_tick_period(FLUSH_PERIOD);
        true
    }

    /// The configuration that a root waits for, once there is memory for it.
    pub(super) fn room_at_last(&mut self, id: u32) -> Option<Vec<u8>> {
        let waiting = &mut self.root(id)?.waiting;
        waiting.take_if(|bytes| room::is_there_for(bytes.len()))
    }

    /// Root and state of a stream, taken out of the books.
    pub(super) fn take(&mut self, id: u32) -> Option<(u32, Option<F::Stream>)> {
        if let Some((_, root)) = self.created.take_if(|(created, _)| *created == id) {
            return Some((root, None));
        }
        let stream = self.streams.remove(id)?;
        Some((stream.root, stream.state))
    }

    pub(super) fn with_stream<T>(
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
        if !self.told_of_streams && stream.state.is_none() {
            self.streams.remove(id);
        }
        Some(result)
    }

    pub(super) fn look_at_open(&mut self, id: u32) {
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
        if left {
            speak_of::<F>(id);
        }
    }

    /// Drops a root in one of its own callbacks. What its filter has in the host (an
    /// expression, say) belongs to the root's context and can be freed only there.
    #[cold]
    #[inline(never)]
    pub(super) fn forget_root(&mut self, id: u32) {
        self.roots.retain(|root| root.id != id);
        self.streams.retain(&|stream| stream.root != id);
        // Envoy keeps the timer of a root that is gone, and it would go on firing.
        cx::set_tick_period(Duration::ZERO);
        self.say_what_is_held();
    }

    /// Drops the root that has just told the host that its shutdown is complete.
    pub(super) fn forget_finished(&mut self, id: u32) {
        if filter::take_done() {
            self.forget_root(id);
        }
    }

    /// What being told of ends would have freed, as far as it is worth the calls at
    /// this tick of root `own`.
    #[cold]
    #[inline(never)]
    pub(super) fn forget_gone(&mut self, own: u32) {
        self.forget_gone_roots(own);
        if self.told_of_streams {
            return;
        }
        self.ticks += 1;
        if self.ticks >= TICKS_BETWEEN_SWEEPS {
            self.ticks = 0;
            self.streams.retain(&|stream| is_there(stream.id));
            speak_of::<F>(own);
        }
    }

    /// Drops the roots that the host no longer has, and their streams.
    #[cold]
    #[inline(never)]
    pub(super) fn forget_gone_roots(&mut self, own: u32) {
        let before = self.roots.len();
        if self.told_of_roots || before < 2 {
            return;
        }
        self.roots
            .retain(|root| root.id == own || is_there(root.id));
        speak_of::<F>(own);
        if self.roots.len() < before {
            let roots = &self.roots;
            self.streams
                .retain(&|stream| roots.iter().any(|root| root.id == stream.root));
            self.say_what_is_held();
        }
    }

    /// For whoever looks for memory that is not given back; tests do. A line for each
    /// change and worker, beside Envoy's own.
    #[cold]
    #[inline(never)]
    pub(super) fn say_what_is_held(&self) {
        log::info!(
            "{}: configurations held: {}, memory: {} KiB",
            F::NAME,
            self.roots.len(),
            host::memory_size() / 1024
        );
    }

    /// Also reached by streams that an earlier filter refused before this one
    /// saw their headers; those were only just created.
    pub(super) fn end(&mut self, id: u32) {
        let Some((root, state)) = self.take(id).or_else(|| self.only_root()) else {
            return;
        };
        if let Some(filter) = self.filter(root) {
            filter.on_log(&mut Log::new(), state);
        }
    }

    /// The root of a stream that kept no state: certain when there is just one.
    pub(super) fn only_root(&self) -> Option<(u32, Option<F::Stream>)> {
        match self.roots.as_slice() {
            [root] => Some((root.id, None)),
            _ => None,
        }
    }
}

/// Whether the host still has a context. Speaks of it from then on, if so.
fn is_there(id: u32) -> bool {
    abi::set_effective_context(id) != Err(HostError::BadArgument)
}

/// Makes the calls that follow speak of the plugin whose callback this is.
#[cold]
#[inline(never)]
fn speak_of<F: Filter>(own: u32) {
    if let Err(error) = abi::set_effective_context(own) {
        log::error!("{}: the host does not come back: {error}", F::NAME);
    }
}
