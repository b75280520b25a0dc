//! A worker never fails to load what Envoy has accepted: Envoy would serve without the
//! filter.

use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::mock::MockHost;
use meshpack_sdk::{Filter, Flow, MEMORY_PER_BYTE, RequestHeaders, Runtime};

/// Takes what is no problem, and lets everything through.
struct Guard;

impl Filter for Guard {
    const NAME: &'static str = "guard";
    const GUARDS: bool = true;
    type Config = ();
    type Stream = ();

    fn read(value: Value<'_>) -> Option<()> {
        value.object()?.get("name")?.string().map(|_| ())
    }

    fn start((): ()) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }

    fn on_request_headers(&mut self, _: &mut RequestHeaders<'_>, _: &mut Option<()>) -> Flow {
        Flow::Continue
    }
}

const GOOD: &str = r#"{"name": "a"}"#;
const BAD: &str = r#"{"name": 7}"#;
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

fn configure(runtime: &Runtime<Guard>, root: u32, configuration: &str) -> bool {
    MockHost::set_configuration(configuration);
    runtime.on_context_create(root, 0);
    runtime.on_configure(root, configuration.len())
}

fn request(runtime: &Runtime<Guard>, root: u32) -> u32 {
    runtime.on_context_create(1000, root);
    runtime.on_request_headers(1000, true)
}

fn no_room() {
    MockHost::limit_memory(Some(GOOD.len() * MEMORY_PER_BYTE));
}

#[test]
fn in_the_vm_where_envoy_tries_it_a_configuration_is_refused() {
    MockHost::reset();
    assert!(!configure(&Runtime::new(), 1, BAD));
    no_room();
    assert!(!configure(&Runtime::new(), 1, GOOD));
    let said = |(_, line): &(u32, String)| line.contains("make it smaller");
    assert!(MockHost::logs().iter().any(said));
}

#[test]
fn a_worker_guards_until_there_is_room_and_then_serves() {
    MockHost::reset();
    let runtime = Runtime::new();
    assert!(configure(&runtime, 1, GOOD));
    no_room();
    assert!(configure(&runtime, 2, GOOD));
    assert_eq!(request(&runtime, 2), PAUSE);
    assert_eq!(
        request(&runtime, 1),
        CONTINUE,
        "the former one serves its streams"
    );
    runtime.on_tick(2);
    assert_eq!(request(&runtime, 2), PAUSE);
    MockHost::limit_memory(None);
    runtime.on_tick(2);
    assert_eq!(request(&runtime, 2), CONTINUE);
    assert!(MockHost::logs().iter().any(|(_, line)| line
        == "guard: config: there is no memory for it until streams of former ones have ended; \
            requests are answered 503"));
}

#[test]
fn what_only_a_worker_refuses_guards_until_it_changes() {
    MockHost::reset();
    let runtime = Runtime::new();
    assert!(configure(&runtime, 1, GOOD));
    assert!(configure(&runtime, 2, BAD));
    for _ in 0..3 {
        runtime.on_tick(2);
        assert_eq!(request(&runtime, 2), PAUSE);
    }
    assert!(configure(&runtime, 3, GOOD));
    assert_eq!(request(&runtime, 3), CONTINUE);
}

#[test]
fn a_bad_configuration_of_a_root_that_serves_changes_nothing() {
    MockHost::reset();
    let runtime = Runtime::new();
    assert!(configure(&runtime, 1, GOOD));
    assert!(!configure(&runtime, 1, BAD));
    assert_eq!(request(&runtime, 1), CONTINUE);
}
