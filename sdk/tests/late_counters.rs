//! Counters that a filter defines on a request rather than when it starts.

use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::metrics::Counter;
use meshpack_sdk::mock::{MockHost, Plugin};
use meshpack_sdk::{Filter, Flow, RequestHeaders};

struct Late;

impl Filter for Late {
    const NAME: &'static str = "late";
    type Config = ();
    type Stream = ();

    fn read(value: Value<'_>) -> Option<()> {
        value.object().map(|_| ())
    }

    fn start((): ()) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }

    fn on_request_headers(&mut self, _: &mut RequestHeaders<'_>, _: &mut Option<()>) -> Flow {
        Counter::define("late_total").unwrap().add(1);
        Flow::Continue
    }
}

#[test]
fn a_counter_defined_on_a_request_reaches_envoy_on_the_next_tick() {
    MockHost::reset();
    let mut plugin = Plugin::<Late>::configure("{}").unwrap();
    // The timer is the root's: on a request it is too late to start it.
    assert!(MockHost::tick_period().is_some());
    plugin.request(&[(":path", "/")]);
    plugin.tick();
    assert_eq!(MockHost::metric("late_total"), 1);
}
