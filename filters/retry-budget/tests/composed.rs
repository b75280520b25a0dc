//! Beside a filter that reads the number of attempts anyway, at the end of a stream.

use std::time::Duration;

use meshpack_retry_budget::RetryBudget;
use meshpack_sdk::attributes::Attribute;
use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::mock::{MockHost, Plugin};
use meshpack_sdk::{Filter, Flow, Log, RequestHeaders};

/// Notes what the configuration says as every attribute wanted.
struct Reader {
    value: i64,
    wanted: Vec<&'static Attribute<i64>>,
}

impl Filter for Reader {
    const NAME: &'static str = "reader";
    type Config = i64;
    type Stream = ();

    fn read(value: Value<'_>) -> Option<i64> {
        value.object()?.required("attempts")?.integer(0..=9)
    }

    fn start(value: i64) -> Result<Self, Vec<Problem>> {
        let wanted = Vec::new();
        Ok(Self { value, wanted })
    }

    fn on_request_headers(&mut self, _: &mut RequestHeaders<'_>, _: &mut Option<()>) -> Flow {
        Flow::Continue
    }

    fn reads_at_end(&mut self, wanted: &[&'static Attribute<i64>]) -> bool {
        self.wanted = wanted.to_vec();
        true
    }

    fn on_log(&mut self, cx: &mut Log<'_>, _: Option<()>) {
        for wanted in &self.wanted {
            cx.note(wanted, self.value);
        }
    }
}

meshpack_sdk::compose! {
    /// Both.
    struct Both("both") { retry: RetryBudget, reader: Reader }
}

const HEADERS: [(&str, &str); 3] = [(":path", "/"), (":authority", "shop"), (":method", "GET")];

/// A budget of seven retries, beside a reader of so many attempts.
fn both(attempts: i64) -> Plugin<Both> {
    MockHost::reset();
    MockHost::set_time(Duration::from_secs(1_000_000));
    let plugin = Plugin::configure(&format!(
        r#"{{"retry": {{"budgets": [{{"name": "all", "budget": {{"percent": 0}},
            "minRetryRate": {{"count": 7, "interval": "1h"}}, "whenExhausted": 503}}]}},
            "reader": {{"attempts": {attempts}}}}}"#
    ));
    MockHost::set_property(&["response", "flags"], 0x8000_u64.to_le_bytes());
    property(3);
    plugin.unwrap()
}

fn property(attempts: u64) {
    MockHost::set_property(
        &["upstream", "request_attempt_count"],
        attempts.to_le_bytes(),
    );
}

fn stat(metric: &str) -> i64 {
    MockHost::metric(&format!("meshpack_retry_{metric}budget=.=all;.;"))
}

#[test]
fn an_answer_waits_for_what_is_read_anyway() {
    let mut plugin = both(3);
    MockHost::reset_calls();
    let mut stream = plugin.request(&HEADERS);
    stream.respond(&[(":status", "200")]);
    stream.log();
    assert_eq!(MockHost::calls("property"), 0);
    plugin.tick();
    assert_eq!(stat("retries_total"), 2);
    assert_eq!(MockHost::calls("set_effective_context"), 0);
}

#[test]
fn a_long_answer_is_settled_by_the_next_tick_and_once() {
    let mut plugin = both(3);
    plugin.request(&HEADERS).respond(&[(":status", "200")]);
    MockHost::reset_calls();
    plugin.tick();
    plugin.tick();
    assert_eq!(stat("retries_total"), 2);
    assert_eq!(MockHost::calls("property"), 1);
    // There and back.
    assert_eq!(MockHost::calls("set_effective_context"), 2);
}

#[test]
fn a_request_without_an_answer_keeps_what_it_may_need() {
    let mut plugin = both(1);
    let _ = plugin.request(&HEADERS);
    plugin.tick();
    assert_eq!(MockHost::calls("set_effective_context"), 0);
    assert_eq!(stat("retries_total"), 0);
}

#[test]
fn a_request_that_was_refused_retries_is_decided_when_its_answer_comes() {
    let mut plugin = both(3);
    let mut refused = 0;
    for _ in 0..5 {
        let mut stream = plugin.request(&HEADERS);
        let allowed = stream.request_header("x-envoy-max-retries");
        property(1 + allowed.unwrap().parse::<u64>().unwrap());
        stream.respond(&[(":status", "503")]);
        refused += i64::from(stream.reply().is_some());
        stream.log();
    }
    plugin.tick();
    assert_eq!((stat("denied_total"), refused), (3, 3));
    assert_eq!(stat("retries_total"), 7);
}
