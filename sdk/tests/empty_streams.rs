//! A stream that a filter keeps nothing of costs it nothing but its end.

use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::metrics::Counter;
use meshpack_sdk::mock::MockHost;
use meshpack_sdk::{Filter, Flow, Log, RequestHeaders, ResponseHeaders, ResponseTrailers, Runtime};

/// Counts its callbacks and keeps the first stream only.
struct Sparing {
    kept: bool,
    headers: Counter,
    trailers: Counter,
    ends: Counter,
}

impl Filter for Sparing {
    const NAME: &'static str = "sparing";
    type Config = ();
    type Stream = ();

    fn read(_: Value<'_>) -> Option<()> {
        Some(())
    }

    fn start((): ()) -> Result<Self, Vec<Problem>> {
        let define =
            |name| Counter::define(name).map_err(|e| vec![Problem::new("", e.to_string())]);
        Ok(Self {
            kept: false,
            headers: define("headers")?,
            trailers: define("trailers")?,
            ends: define("ends")?,
        })
    }

    fn on_request_headers(&mut self, _: &mut RequestHeaders<'_>, stream: &mut Option<()>) -> Flow {
        if !self.kept {
            self.kept = true;
            *stream = Some(());
        }
        Flow::Continue
    }

    fn on_response_headers(&mut self, _: &mut ResponseHeaders<'_>, _: &mut Option<()>) -> Flow {
        self.headers.add(1);
        Flow::Continue
    }

    fn on_response_trailers(&mut self, _: &mut ResponseTrailers<'_>, _: &mut Option<()>) {
        self.trailers.add(1);
    }

    fn on_log(&mut self, _: &mut Log<'_>, _: Option<()>) {
        self.ends.add(1);
    }
}

#[test]
fn only_its_end_is_told() {
    MockHost::reset();
    let runtime = Runtime::<Sparing>::new();
    runtime.on_context_create(1, 0);
    assert!(runtime.on_configure(1, 0));
    for (stream, callbacks) in [(2, 1), (3, 1)] {
        runtime.on_context_create(stream, 1);
        runtime.on_request_headers(stream, true);
        runtime.on_response_headers(stream, false);
        runtime.on_response_trailers(stream);
        runtime.on_log(stream);
        runtime.on_tick(1);
        let ends = i64::from(stream) - 1;
        let seen = ["headers", "trailers", "ends"].map(MockHost::metric);
        assert_eq!(seen, [callbacks, callbacks, ends]);
    }
}
