//! Several filters in one context behave like a chain of separate ones.

use std::time::Duration;

use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::metrics::Counter;
use meshpack_sdk::mock::{MockHost, Plugin};
use meshpack_sdk::{
    Filter, Flow, LocalReply, Log, RequestHeaders, ResponseHeaders, ResponseTrailers,
};

/// Refuses requests that carry a header, and says in the response that it was there.
struct Gate {
    header: String,
}

impl Filter for Gate {
    const NAME: &'static str = "gate";
    const GUARDS: bool = true;
    type Config = String;
    type Stream = ();

    fn read(value: Value<'_>) -> Option<String> {
        let mut fields = value.object()?;
        fields
            .required("header")?
            .non_empty_string()
            .map(str::to_owned)
    }

    fn start(header: String) -> Result<Self, Vec<Problem>> {
        if header == "refused-by-the-host" {
            return Err(vec![Problem::new("header", "cannot be used")]);
        }
        Ok(Self { header })
    }

    fn on_request_headers(&mut self, cx: &mut RequestHeaders<'_>, _: &mut Option<()>) -> Flow {
        let map = cx.headers().unwrap();
        if map.get(self.header.as_bytes()).is_some() {
            return Flow::Reply(LocalReply::new(403, "gate_closed").body("no"));
        }
        cx.set_header(b"x-gate", b"open").unwrap();
        Flow::Continue
    }

    fn on_response_headers(&mut self, cx: &mut ResponseHeaders<'_>, _: &mut Option<()>) -> Flow {
        cx.add_header(b"x-order", b"gate").unwrap();
        Flow::Continue
    }
}

/// Counts streams at their end, with and without state.
struct Count {
    ended: Counter,
    unseen: Counter,
    trailers: Counter,
    ticks: Counter,
}

impl Filter for Count {
    const NAME: &'static str = "count";
    type Config = ();
    type Stream = String;

    fn read(value: Value<'_>) -> Option<()> {
        value.object().map(|_| ())
    }

    fn start((): ()) -> Result<Self, Vec<Problem>> {
        let define =
            |name| Counter::define(name).map_err(|e| vec![Problem::new("", e.to_string())]);
        Ok(Self {
            ended: define("ended")?,
            unseen: define("unseen")?,
            trailers: define("trailers")?,
            ticks: define("ticks")?,
        })
    }

    fn on_request_headers(
        &mut self,
        cx: &mut RequestHeaders<'_>,
        stream: &mut Option<String>,
    ) -> Flow {
        let gate = cx.headers().unwrap().get(b"x-gate").unwrap_or_default();
        *stream = Some(String::from_utf8_lossy(gate).into_owned());
        Flow::Continue
    }

    fn on_response_headers(
        &mut self,
        cx: &mut ResponseHeaders<'_>,
        stream: &mut Option<String>,
    ) -> Flow {
        let seen = stream.clone().unwrap_or_default();
        cx.add_header(b"x-order", b"count").unwrap();
        cx.set_header(b"x-seen-gate", seen.as_bytes()).unwrap();
        Flow::Continue
    }

    fn on_response_trailers(&mut self, cx: &mut ResponseTrailers<'_>, _: &mut Option<String>) {
        if cx.trailers().unwrap().get(b"grpc-status").is_some() {
            self.trailers.add(1);
        }
    }

    fn on_log(&mut self, _: &mut Log<'_>, stream: Option<String>) {
        match stream {
            Some(_) => self.ended.add(1),
            None => self.unseen.add(1),
        }
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(Duration::from_millis(200))
    }

    fn on_tick(&mut self) {
        self.ticks.add(1);
    }
}

meshpack_sdk::compose! {
    /// Both.
    struct Both("both") { gate: Gate, count: Count }
}

fn both(configuration: &str) -> Plugin<Both> {
    MockHost::reset();
    Plugin::configure(configuration).unwrap()
}

#[test]
fn the_header_map_is_read_once_and_later_parts_see_earlier_writes() {
    let mut plugin = both(r#"{"gate": {"header": "x-bad"}, "count": {}}"#);
    let mut stream = plugin.request(&[(":path", "/")]);
    assert_eq!(MockHost::calls("header_pairs"), 1);
    stream.respond(&[(":status", "200")]);
    assert_eq!(
        stream.response_header("x-seen-gate").as_deref(),
        Some("open")
    );
    assert_eq!(
        stream.response_header("x-order").as_deref(),
        Some("count"),
        "response phases run in reverse"
    );
}

#[test]
fn a_reply_hides_the_request_from_later_parts_but_not_its_end() {
    let mut plugin = both(r#"{"gate": {"header": "x-bad"}, "count": {}}"#);
    let stream = plugin.request(&[(":path", "/"), ("x-bad", "1")]);
    assert!(stream.paused());
    assert_eq!(
        stream.reply().map(|r| (r.status, r.details.as_str())),
        Some((403, "gate_closed"))
    );
    stream.log();
    plugin.request(&[(":path", "/")]).log();
    plugin.tick();
    assert_eq!(
        (MockHost::metric("ended"), MockHost::metric("unseen")),
        (1, 1)
    );
}

#[test]
fn parts_are_optional_and_their_problems_carry_the_part() {
    let mut plugin = both(r#"{"count": {}}"#);
    let stream = plugin.request(&[("x-bad", "1")]);
    assert!(stream.reply().is_none());
    MockHost::reset();
    let refused = |text| Plugin::<Both>::configure(text).err().unwrap();
    assert_eq!(
        refused(r#"{"gate": {"header": 1}, "counts": {}}"#),
        [
            "gate.header: is a number, must be a string",
            "counts: unknown key; known keys here: gate, count",
        ]
    );
    assert_eq!(
        refused(r#"{"gate": {"header": "refused-by-the-host"}}"#),
        ["gate.header: cannot be used"]
    );
}

#[test]
fn trailers_ticks_and_the_last_counts_arrive() {
    let mut plugin = both(r#"{"count": {}}"#);
    assert_eq!(MockHost::tick_period(), Some(Duration::from_millis(200)));
    let mut stream = plugin.request(&[(":path", "/")]);
    stream.respond(&[(":status", "200")]);
    stream.respond_trailers(&[("grpc-status", "0")]);
    stream.log();
    plugin.tick();
    assert_eq!(MockHost::metric("trailers"), 1);
    plugin.tick();
    assert!(plugin.shut_down());
    assert_eq!(MockHost::metric("ticks"), 2);
}

#[test]
fn a_bad_configuration_leaves_the_old_one_in_force() {
    let mut plugin = both(r#"{"gate": {"header": "x-bad"}}"#);
    assert!(plugin.reconfigure(r#"{"gate": {}}"#).is_err());
    assert!(plugin.request(&[("x-bad", "1")]).reply().is_some());
    let logged = MockHost::logs();
    assert!(
        logged
            .iter()
            .any(|(_, line)| line == "both: config: gate.header: is required"),
        "{logged:?}"
    );
}

#[test]
fn a_host_that_cannot_hand_over_headers_does_not_trap_the_filter() {
    let mut plugin = both(r#"{"count": {}}"#);
    MockHost::fail("add_header", meshpack_sdk::HostError::Unimplemented);
    let stream = plugin.request_bytes(&[(b"\xff\xfe", b"\x00\xff")]);
    assert!(!stream.paused());
    stream.log();
}
