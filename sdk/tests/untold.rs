//! Configurations and streams that are gone leave nothing behind, whatever callbacks a
//! module exports.

use std::cell::Cell;
use std::time::Duration;

use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::metrics::Counter;
use meshpack_sdk::mock::MockHost;
use meshpack_sdk::{Filter, Flow, HostError, RequestHeaders, ResponseHeaders, Runtime};

thread_local! {
    /// Filters alive.
    static ALIVE: Cell<usize> = const { Cell::new(0) };
}

/// Counts responses of streams that it still knows; forgets a stream with the
/// second response headers (after a 100-continue, say).
struct Remember {
    known: Counter,
}

impl Drop for Remember {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
    }
}

impl Filter for Remember {
    const NAME: &'static str = "remember";
    type Config = ();
    type Stream = u32;

    fn read(_: Value<'_>) -> Option<()> {
        Some(())
    }

    fn start((): ()) -> Result<Self, Vec<Problem>> {
        let known = Counter::define("known").map_err(|e| vec![Problem::new("", e.to_string())])?;
        ALIVE.set(ALIVE.get() + 1);
        Ok(Self { known })
    }

    fn on_request_headers(&mut self, _: &mut RequestHeaders<'_>, stream: &mut Option<u32>) -> Flow {
        *stream = Some(0);
        Flow::Continue
    }

    fn on_response_headers(
        &mut self,
        _: &mut ResponseHeaders<'_>,
        stream: &mut Option<u32>,
    ) -> Flow {
        if let Some(seen) = stream {
            self.known.add(1);
            *seen += 1;
            if *seen == 2 {
                *stream = None;
            }
        }
        Flow::Continue
    }
}

const ROOT: u32 = 1;
const UNTOLD: &[&str] = &["request_headers", "response_headers"];
/// More ticks than between two looks at the streams.
const TICKS: usize = 65;

fn plugin(callbacks: &[&str]) -> Runtime<Remember> {
    MockHost::reset();
    MockHost::set_time(Duration::from_secs(1_700_000_000));
    let runtime = Runtime::in_module(callbacks);
    configure(&runtime, ROOT);
    runtime
}

fn configure(runtime: &Runtime<Remember>, root: u32) {
    runtime.on_context_create(root, 0);
    assert!(runtime.on_configure(root, 0));
}

fn request(runtime: &Runtime<Remember>, id: u32, root: u32) {
    runtime.on_context_create(id, root);
    runtime.on_request_headers(id, true);
}

fn known(runtime: &Runtime<Remember>, root: u32) -> i64 {
    runtime.on_tick(root);
    MockHost::metric("known")
}

#[test]
fn a_state_that_the_filter_empties_is_gone() {
    let runtime = plugin(UNTOLD);
    request(&runtime, 2, ROOT);
    for _ in 0..5 {
        runtime.on_response_headers(2, false);
    }
    assert_eq!(known(&runtime, ROOT), 2);
}

#[test]
fn a_stream_is_known_as_long_as_the_host_has_it_and_no_longer() {
    let runtime = plugin(UNTOLD);
    request(&runtime, 2, ROOT);
    request(&runtime, 3, ROOT);
    request(&runtime, 4, ROOT);
    for _ in 0..TICKS {
        MockHost::advance(Duration::from_secs(3600));
        runtime.on_tick(ROOT);
    }
    runtime.on_response_headers(2, false);
    assert_eq!(known(&runtime, ROOT), 1, "an open one, after days");
    MockHost::end_context(3);
    for _ in 0..TICKS {
        runtime.on_tick(ROOT);
    }
    runtime.on_response_headers(3, false);
    assert_eq!(known(&runtime, ROOT), 1, "one that has ended");
}

#[test]
fn a_configuration_lives_until_the_host_drops_it() {
    let runtime = plugin(UNTOLD);
    let second = 7;
    configure(&runtime, second);
    for _ in 0..TICKS {
        MockHost::advance(Duration::from_secs(3600));
        runtime.on_tick(second);
    }
    assert_eq!(ALIVE.get(), 2, "it may serve open streams, ticking or not");
    request(&runtime, 8, ROOT);
    MockHost::end_context(ROOT);
    runtime.on_tick(second);
    assert_eq!(ALIVE.get(), 1);
    runtime.on_response_headers(8, false);
    assert_eq!(known(&runtime, second), 0, "its streams went with it");
}

#[test]
fn of_many_quick_changes_no_more_than_the_living_configurations_are_kept() {
    for callbacks in [
        UNTOLD,
        &["request_headers", "log"],
        &["request_headers", "done"],
    ] {
        let runtime = plugin(callbacks);
        for root in ROOT + 1..200 {
            // The host starts the new one first, on every worker, and then ends the old.
            configure(&runtime, root);
            assert!(ALIVE.get() <= 3, "{callbacks:?}: {} kept", ALIVE.get());
            if callbacks.contains(&"done") {
                assert!(runtime.on_done(root - 1));
            }
            MockHost::end_context(root - 1);
        }
        runtime.on_tick(199);
        assert_eq!(ALIVE.get(), 1, "{callbacks:?}");
        drop(runtime);
        assert_eq!(ALIVE.get(), 0);
    }
}

#[test]
fn a_host_that_does_not_allow_the_question_loses_no_configuration() {
    let runtime = plugin(UNTOLD);
    MockHost::fail("set_effective_context", HostError::InternalFailure);
    configure(&runtime, 2);
    runtime.on_tick(2);
    assert_eq!(ALIVE.get(), 2);
}
