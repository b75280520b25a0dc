//! What loading a configuration takes, as the sdk reserves it: an allocation that
//! fails while a worker loads one would leave the worker without the filter.
//!
//! On 64 bits, where pointers and lengths are twice as large as in a module.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write as _;

use meshpack_authz_policy::AuthzPolicy;
use meshpack_canary_split::CanarySplit;
use meshpack_pack::Meshpack;
use meshpack_retry_budget::RetryBudget;
use meshpack_sdk::mock::{MockHost, Plugin};
use meshpack_sdk::{Filter, MEMORY_BESIDE, MEMORY_PER_BYTE};
use meshpack_telemetry::Telemetry;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

/// Counts what a thread holds and has held at most.
struct Counting;

fn note(more: usize, less: usize) {
    let now = NOW.get().wrapping_add(more).wrapping_sub(less);
    NOW.set(now);
    if now < usize::MAX / 2 {
        MOST.set(MOST.get().max(now));
    }
}

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // For a moment there are both.
        note(size, 0);
        note(0, layout.size());
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// `count` entries between `before` and `after`, with their numbers for `#`.
fn list(before: &str, entry: &str, after: &str, count: usize) -> String {
    let mut text = before.to_owned();
    for index in 0..count {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{}", entry.replace('#', &index.to_string()));
    }
    text + after
}

/// Bytes taken at most while `configuration` is loaded, for each of its bytes.
fn per_byte<F: Filter>(configuration: &str) -> f64 {
    MockHost::reset();
    let mut token = 0_u32;
    MockHost::foreign_function("expr_create", move |_| {
        token += 1;
        Ok(token.to_le_bytes().to_vec())
    });
    MockHost::foreign_function("expr_delete", |_| Ok(Vec::new()));
    let before = NOW.get();
    MOST.set(before);
    let plugin = Plugin::<F>::configure(configuration)
        .unwrap_or_else(|problems| panic!("{}: {:?}", F::NAME, &problems[..1]));
    // The mock host keeps a copy of the configuration, and Envoy's metrics.
    let taken = (MOST.get() - before).saturating_sub(MEMORY_BESIDE);
    drop(plugin);
    taken as f64 / configuration.len() as f64
}

const MANY: usize = 20_000;

#[test]
fn no_configuration_takes_more_than_is_reserved_for_it() {
    let policies = |entry: &str, count| list(r#"{"policies":["#, entry, "]}", count);
    let values = |before: &str, after: &str| list(before, r##""/#""##, after, MANY);
    let hosts = |before: &str, after: &str| list(before, r##""#""##, after, MANY);
    let rows = [
        (
            "policies",
            per_byte::<AuthzPolicy>(&policies(
                r##"{"metadata":{"name":"#"},"spec":{"action":"DENY","rules":[{}]}}"##,
                MANY,
            )),
        ),
        (
            "paths",
            per_byte::<AuthzPolicy>(&values(
                r#"{"policies":[{"metadata":{"name":"p"},"spec":{"rules":[{"to":[{"operation":{"paths":["#,
                "]}}]}]}}]}",
            )),
        ),
        (
            "hosts",
            per_byte::<AuthzPolicy>(&hosts(
                r#"{"policies":[{"metadata":{"name":"p"},"spec":{"rules":[{"to":[{"operation":{"hosts":["#,
                "]}}]}]}}]}",
            )),
        ),
        (
            "rules",
            per_byte::<AuthzPolicy>(&list(
                r#"{"policies":[{"metadata":{"name":"p"},"spec":{"rules":["#,
                r##"{"to":[{"operation":{"methods":["#"]}}]}"##,
                "]}}]}",
                MANY,
            )),
        ),
        (
            "ip blocks",
            per_byte::<AuthzPolicy>(&list(
                r#"{"policies":[{"metadata":{"name":"p"},"spec":{"rules":[{"from":[{"source":{"remoteIpBlocks":["#,
                r#""::1""#,
                "]}}]}]}}]}",
                MANY,
            )),
        ),
        (
            "claims",
            per_byte::<AuthzPolicy>(&list(
                r#"{"policies":[{"metadata":{"name":"p"},"spec":{"rules":[{"when":["#,
                r##"{"key":"request.auth.claims[a]","values":["#"]}"##,
                "]}]}}]}",
                MANY,
            )),
        ),
        (
            "splits",
            per_byte::<CanarySplit>(&list(
                r#"{"splits":["#,
                r##"{"name":"#","arms":[{"value":"a","weight":1},{"value":"b","weight":1}],"abort":{"arm":"b","baseline":"a"}}"##,
                "]}",
                2000,
            )),
        ),
        (
            "split rules",
            per_byte::<CanarySplit>(&list(
                r#"{"splits":[{"name":"s","arms":[{"value":"a","weight":1},{"value":"b","weight":1}],"rules":["#,
                r##"{"match":{"headers":{"h":"#"}},"value":"b"}"##,
                "]}]}",
                MANY,
            )),
        ),
        (
            "budgets",
            per_byte::<RetryBudget>(&list(r#"{"budgets":["#, r##"{"name":"#"}"##, "]}", 1000)),
        ),
        (
            "budget hosts",
            per_byte::<RetryBudget>(&hosts(
                r#"{"budgets":[{"name":"b","match":{"hosts":["#,
                "]}}]}",
            )),
        ),
        (
            "metrics",
            per_byte::<Telemetry>(&list(
                r#"{"metrics":["#,
                r##"{"name":"m#_total","type":"counter"}"##,
                "]}",
                1000,
            )),
        ),
        (
            "labels",
            per_byte::<Telemetry>(&list(
                r#"{"metrics":[{"name":"m_total","type":"counter","labels":{"#,
                r##""a#":"response.code""##,
                "}}]}",
                40,
            )),
        ),
        (
            "templates",
            per_byte::<Telemetry>(&list(r#"{"pathTemplates":["#, r##""/#/{a}""##, "]}", 2000)),
        ),
        (
            "pack",
            per_byte::<Meshpack>(&list(
                r#"{"authz":{"policies":[{"metadata":{"name":"p"},"spec":{"rules":[{"to":[{"operation":{"paths":["#,
                r##""/#""##,
                "]}}]}]}}]}}",
                MANY,
            )),
        ),
    ];
    for (name, per_byte) in rows {
        println!("{name:<14} {per_byte:6.1} bytes for a byte");
    }
    for (name, per_byte) in rows {
        assert!(per_byte <= MEMORY_PER_BYTE as f64, "{name}: {per_byte:.1}");
    }
}
