//! A module without a callback at the end of streams keeps nothing for ever.

use std::time::Duration;

use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::metrics::Counter;
use meshpack_sdk::mock::MockHost;
use meshpack_sdk::{Filter, Flow, RequestHeaders, ResponseHeaders, Runtime, told_of_ends};

/// Counts responses of streams that it still knows; forgets a stream with the
/// second response headers (after a 100-continue, say).
struct Remember {
    known: Counter,
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

fn plugin() -> Runtime<Remember> {
    MockHost::reset();
    MockHost::set_time(Duration::from_secs(1_700_000_000));
    let runtime = Runtime::in_module(told_of_ends(&["request_headers", "response_headers"]));
    runtime.on_context_create(ROOT, 0);
    assert!(runtime.on_configure(ROOT, 0));
    runtime
}

fn request(runtime: &Runtime<Remember>, id: u32, root: u32) {
    runtime.on_context_create(id, root);
    runtime.on_request_headers(id, true);
}

fn known(runtime: &Runtime<Remember>) -> i64 {
    runtime.on_tick(ROOT);
    MockHost::metric("known")
}

#[test]
fn a_state_that_the_filter_empties_is_gone() {
    let runtime = plugin();
    request(&runtime, 2, ROOT);
    for _ in 0..5 {
        runtime.on_response_headers(2, false);
    }
    assert_eq!(known(&runtime), 2);
}

#[test]
fn a_stream_without_an_answer_is_forgotten_after_ten_minutes() {
    let runtime = plugin();
    request(&runtime, 2, ROOT);
    MockHost::advance(Duration::from_secs(500));
    runtime.on_tick(ROOT);
    runtime.on_response_headers(2, false);
    assert_eq!(known(&runtime), 1, "a slow answer is still known");
    request(&runtime, 3, ROOT);
    MockHost::advance(Duration::from_secs(601));
    runtime.on_tick(ROOT);
    runtime.on_response_headers(3, false);
    assert_eq!(known(&runtime), 1);
}

#[test]
fn a_root_that_no_longer_ticks_is_gone_and_one_that_has_not_ticked_yet_is_not() {
    let runtime = plugin();
    let second = 7;
    runtime.on_context_create(second, 0);
    assert!(runtime.on_configure(second, 0));
    runtime.on_tick(ROOT);
    request(&runtime, 8, second);
    runtime.on_response_headers(8, false);
    assert_eq!(known(&runtime), 1);
    for _ in 0..61 {
        MockHost::advance(Duration::from_secs(1));
        runtime.on_tick(ROOT);
    }
    request(&runtime, 9, second);
    runtime.on_response_headers(9, false);
    assert_eq!(known(&runtime), 1, "the second root's filter is gone");
}

#[test]
fn either_end_callback_counts() {
    assert!(told_of_ends(&["request_headers", "done"]));
    assert!(told_of_ends(&["log"]));
    assert!(!told_of_ends(&["request_headers"]));
}
