//! The entry point of a wasm module, and the composition of several filters.

/// Makes a wasm module of a filter.
///
/// The callbacks stand after the filter. One of `log` and `done` tells the end of
/// a stream; without either, what a filter keeps of a stream is dropped when it
/// empties it, and otherwise within about a minute of the stream's end. They differ in
/// what they offer: `log` can still read header maps, `done` costs the same and also
/// tells the plugin's own end, so that the last counts are not lost. With both,
/// streams end in `log` and `done` is the plugin's end alone. A filter that has
/// something in the host to be freed by its `Drop` needs `done`; one that has not is
/// dropped within a second of its end whatever the module exports.
///
/// Nothing else is exported: each exported callback costs every request. (The
/// `proxy-wasm` crate exports all, and with them everything that they could call is
/// linked; so the sdk speaks the ABI itself and holds its numbers against that crate
/// in tests only.)
///
/// ```text
/// meshpack_sdk::module!(CanarySplit: request_headers, done);
/// ```
#[macro_export]
macro_rules! module {
    ($filter:ty: $($callback:ident),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        mod meshpack_module {
            use super::*;

            thread_local! {
                static RUNTIME: $crate::Runtime<$filter> = const {
                    $crate::Runtime::in_module(&[$(stringify!($callback)),+])
                };
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_abi_version_0_2_1() {}

            #[unsafe(no_mangle)]
            extern "C" fn _initialize() {
                $crate::run_constructors();
                RUNTIME.with(|r| r.initialize());
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
                $crate::memory_allocate(size)
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_vm_start(_context: u32, _size: usize) -> u32 {
                let version = env!("CARGO_PKG_VERSION");
                let build = option_env!("MESHPACK_BUILD");
                RUNTIME.with(|r| u32::from(r.on_vm_start(version, build)))
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
                RUNTIME.with(|r| u32::from(r.on_configure(root, size)))
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_context_create(id: u32, root: u32) {
                RUNTIME.with(|r| r.on_context_create(id, root));
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_tick(root: u32) {
                RUNTIME.with(|r| r.on_tick(root));
            }

            $($crate::module!(@callback $callback);)+
        }
    };
    (@callback request_headers) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_request_headers(id: u32, _count: usize, end: u32) -> u32 {
            RUNTIME.with(|r| r.on_request_headers(id, end != 0))
        }
    };
    (@callback response_headers) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_response_headers(id: u32, _count: usize, end: u32) -> u32 {
            RUNTIME.with(|r| r.on_response_headers(id, end != 0))
        }
    };
    (@callback response_trailers) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_response_trailers(id: u32, _count: usize) -> u32 {
            RUNTIME.with(|r| r.on_response_trailers(id))
        }
    };
    (@callback log) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_log(id: u32) {
            RUNTIME.with(|r| r.on_log(id));
        }
    };
    (@callback done) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_done(id: u32) -> u32 {
            RUNTIME.with(|r| u32::from(r.on_done(id)))
        }
    };
    (@callback delete) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_delete(id: u32) {
            RUNTIME.with(|r| r.on_delete(id));
        }
    };
    (@callback http_call_response) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_http_call_response(
            context: u32,
            callout: u32,
            _headers: usize,
            body_size: usize,
            _trailers: usize,
        ) {
            RUNTIME.with(|r| r.on_http_call_response(context, callout, body_size));
        }
    };
}

/// Composes filters into one that runs them in one context, in the order given.
///
/// Each part is optional in the configuration, under its own key. Request phases
/// run in order, response phases and the end in reverse, as in a chain of separate filters;
/// a reply of one part hides the request from the parts behind it, but every
/// part is told the end of every stream.
///
/// ```text
/// meshpack_sdk::compose! {
///     /// All filters in one module.
///     pub struct Meshpack("meshpack") { authz: AuthzPolicy, canary: CanarySplit }
/// }
/// ```
#[macro_export]
macro_rules! compose {
    ($(#[$doc:meta])* $vis:vis struct $name:ident($label:literal) { $($part:ident: $filter:ty),+ $(,)? }) => {
        $(#[$doc])*
        $vis struct $name {
            $($part: Option<$filter>,)+
            tick: $crate::PartTicks<{ [$(stringify!($part)),+].len() }>,
        }

        const _: () = {
            /// The parts' configurations.
            pub struct Config { $($part: Option<<$filter as $crate::Filter>::Config>),+ }

            /// The parts' stream states; `reached` counts the parts that saw the request.
            pub struct Stream {
                reached: usize,
                $($part: Option<<$filter as $crate::Filter>::Stream>),+
            }

            #[allow(non_camel_case_types, clippy::enum_variant_names)]
            enum Index { $($part),+ }

            impl $name {
                /// Some part may read what others want at the end of a stream.
                fn read_for_each_other(&mut self) {
                    let mut wanted = Vec::new();
                    $(wanted.extend(self.$part.iter().flat_map(|part| $crate::Filter::wants_at_end(part)));)+
                    let mut read = false;
                    $(read = read || self.$part.as_mut().is_some_and(|part| {
                        $crate::Filter::reads_at_end(part, &wanted)
                    });)+
                    if read {
                        $(self.$part.iter_mut().for_each($crate::Filter::is_read_for);)+
                    }
                }
            }

            impl $crate::Filter for $name {
                const NAME: &'static str = $label;
                const COMPOSED: bool = true;
                const GUARDS: bool = $(<$filter as $crate::Filter>::GUARDS)||+;
                type Config = Config;
                type Stream = Stream;

                fn read(value: $crate::config::Value<'_>) -> Option<Config> {
                    let mut fields = value.object()?;
                    $(let $part = fields
                        .get(stringify!($part))
                        .map(<$filter as $crate::Filter>::read);)+
                    Some(Config {
                        $($part: match $part { Some(read) => Some(read?), None => None },)+
                    })
                }

                fn start(config: Config) -> Result<Self, Vec<$crate::config::Problem>> {
                    let mut problems = Vec::new();
                    $(let $part = match config.$part.map(<$filter as $crate::Filter>::start) {
                        Some(Ok(filter)) => Some(filter),
                        Some(Err(found)) => {
                            problems.extend(found.into_iter().map(|p| p.within(stringify!($part))));
                            None
                        }
                        None => None,
                    };)+
                    if !problems.is_empty() {
                        return Err(problems);
                    }
                    let mut composed = Self { $($part,)+ tick: $crate::PartTicks::default() };
                    composed.read_for_each_other();
                    Ok(composed)
                }

                fn on_request_headers(
                    &mut self,
                    cx: &mut $crate::RequestHeaders<'_>,
                    stream: &mut Option<Stream>,
                ) -> $crate::Flow {
                    let state = stream.insert(Stream { reached: 0, $($part: None),+ });
                    $(
                        state.reached = Index::$part as usize + 1;
                        if let Some(filter) = &mut self.$part {
                            let flow = filter.on_request_headers(cx, &mut state.$part);
                            if flow != $crate::Flow::Continue {
                                return flow;
                            }
                        }
                    )+
                    $crate::Flow::Continue
                }

                fn on_response_headers(
                    &mut self,
                    cx: &mut $crate::ResponseHeaders<'_>,
                    stream: &mut Option<Stream>,
                ) -> $crate::Flow {
                    let Some(state) = stream else { return $crate::Flow::Continue };
                    $crate::compose!(@reverse_headers self cx state Index [] $($part)+);
                    $crate::Flow::Continue
                }

                fn on_response_trailers(
                    &mut self,
                    cx: &mut $crate::ResponseTrailers<'_>,
                    stream: &mut Option<Stream>,
                ) {
                    let Some(state) = stream else { return };
                    $crate::compose!(@reverse_trailers self cx state Index [] $($part)+);
                }

                fn on_log(&mut self, cx: &mut $crate::Log<'_>, stream: Option<Stream>) {
                    let mut state = stream;
                    $crate::compose!(@reverse_log self cx state [] $($part)+);
                }

                const LOOKS_AT_OPEN_STREAMS: bool =
                    $(<$filter as $crate::Filter>::LOOKS_AT_OPEN_STREAMS)||+;

                fn on_open_stream(&mut self, cx: &mut $crate::OpenStream, stream: &mut Stream) {
                    $(if let Some(filter) = &mut self.$part
                        && let Some(state) = &mut stream.$part
                    {
                        filter.on_open_stream(cx, state);
                    })+
                }

                fn tick_period(&self) -> Option<::std::time::Duration> {
                    [$(self.$part.as_ref().and_then(|filter| filter.tick_period())),+]
                        .into_iter()
                        .flatten()
                        .min()
                }

                fn on_tick(&mut self) {
                    let shortest = self.tick_period().unwrap_or_default();
                    $(if let Some(filter) = &mut self.$part
                        && self.tick.due(Index::$part as usize, filter.tick_period(), shortest)
                    {
                        filter.on_tick();
                    })+
                }

                fn on_http_call_response(
                    &mut self,
                    id: $crate::CalloutId,
                    response: &mut $crate::CalloutResponse<'_>,
                ) {
                    $(if let Some(filter) = &mut self.$part {
                        filter.on_http_call_response(id, response);
                    })+
                }

                fn on_shutdown(&mut self) -> $crate::Shutdown {
                    let mut shutdown = $crate::Shutdown::Done;
                    $(if let Some(filter) = &mut self.$part
                        && filter.on_shutdown() == $crate::Shutdown::Pending
                    {
                        shutdown = $crate::Shutdown::Pending;
                    })+
                    shutdown
                }
            }
        };
    };
    (@reverse_headers $self:ident $cx:ident $state:ident $index:ident [$($part:ident)*] $head:ident $($tail:ident)*) => {
        $crate::compose!(@reverse_headers $self $cx $state $index [$head $($part)*] $($tail)*)
    };
    (@reverse_headers $self:ident $cx:ident $state:ident $index:ident [$($part:ident)*]) => {
        $(if $state.reached > $index::$part as usize
            && let Some(filter) = &mut $self.$part
        {
            let flow = filter.on_response_headers($cx, &mut $state.$part);
            if flow != $crate::Flow::Continue {
                return flow;
            }
        })*
    };
    (@reverse_log $self:ident $cx:ident $state:ident [$($part:ident)*] $head:ident $($tail:ident)*) => {
        $crate::compose!(@reverse_log $self $cx $state [$head $($part)*] $($tail)*)
    };
    (@reverse_log $self:ident $cx:ident $state:ident [$($part:ident)*]) => {
        $(if let Some(filter) = &mut $self.$part {
            filter.on_log($cx, $state.as_mut().and_then(|state| state.$part.take()));
        })*
    };
    (@reverse_trailers $self:ident $cx:ident $state:ident $index:ident [$($part:ident)*] $head:ident $($tail:ident)*) => {
        $crate::compose!(@reverse_trailers $self $cx $state $index [$head $($part)*] $($tail)*)
    };
    (@reverse_trailers $self:ident $cx:ident $state:ident $index:ident [$($part:ident)*]) => {
        $(if $state.reached > $index::$part as usize
            && let Some(filter) = &mut $self.$part
        {
            filter.on_response_trailers($cx, &mut $state.$part);
        })*
    };
}

/// When each part of a composed filter is due for its tick; the host ticks at
/// the shortest of their periods.
#[derive(Debug)]
pub struct PartTicks<const PARTS: usize> {
    since: [std::time::Duration; PARTS],
}

impl<const PARTS: usize> Default for PartTicks<PARTS> {
    fn default() -> Self {
        Self {
            since: [std::time::Duration::ZERO; PARTS],
        }
    }
}

impl<const PARTS: usize> PartTicks<PARTS> {
    /// Notes that `elapsed` has passed; true when the part's own period is over.
    pub fn due(
        &mut self,
        part: usize,
        period: Option<std::time::Duration>,
        elapsed: std::time::Duration,
    ) -> bool {
        let (Some(period), Some(since)) = (period, self.since.get_mut(part)) else {
            return false;
        };
        *since += elapsed;
        if *since < period {
            return false;
        }
        *since = std::time::Duration::ZERO;
        true
    }
}
