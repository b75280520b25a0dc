//! What loading costs grows with the number of what is loaded, not with its square:
//! a configuration is loaded by the workers that serve, and they serve nobody
//! meanwhile.
//!
//! Each row is a kind of thing that a configuration has many of, right or wrong. What
//! is judged is how many times longer eight times as many take: 8 if the cost grows
//! in proportion, 64 if it grows with the square. Processor time of this thread only,
//! the least of several runs, tried again until the machine is quiet enough.

use std::fmt::Write as _;
use std::time::Duration;

use meshpack_pack::Meshpack;
use meshpack_sdk::mock::{MockHost, Plugin};

/// More than caches and allocation add to 8, far less than 64.
const MOST: f64 = 24.0;
const TRIES: usize = 12;
/// Eight of the longest steps in which systems count a thread's time.
const LEAST: Duration = Duration::from_millis(32);

/// A kind: the part of the configuration before its entries, one entry, the end.
struct Kind {
    name: &'static str,
    before: &'static str,
    entry: fn(usize) -> String,
    after: &'static str,
    /// Most that are accepted.
    most: usize,
    /// Whether the configuration is right.
    loads: bool,
}

const fn right(
    name: &'static str,
    before: &'static str,
    entry: fn(usize) -> String,
    after: &'static str,
) -> Kind {
    Kind {
        name,
        before,
        entry,
        after,
        most: 4000,
        loads: true,
    }
}

const fn wrong(
    name: &'static str,
    before: &'static str,
    entry: fn(usize) -> String,
    after: &'static str,
) -> Kind {
    Kind {
        loads: false,
        ..right(name, before, entry, after)
    }
}

fn budget(n: usize) -> String {
    format!(
        r#"{{"name": "b{n}", "match": {{"hosts": ["h{n}.example", "*.h{n}"], "paths": ["/v{n}/*"]}}}}"#
    )
}

fn split(n: usize) -> String {
    format!(
        r#"{{"name": "s{n}", "match": {{"hosts": ["h{n}"]}}, "stickyBy": ["sourceIp"],
            "arms": [{{"value": "v1", "weight": 90}}, {{"value": "v2", "weight": 10}}]}}"#
    )
}

fn policy(n: usize) -> String {
    format!(
        r#"{{"metadata": {{"name": "p{n}"}}, "spec": {{"action": "DENY", "rules": [{{
            "to": [{{"operation": {{"paths": ["/a{n}/*", "/b{n}"], "hosts": ["h{n}"]}}}}],
            "from": [{{"source": {{"principals": ["cluster.local/ns/n{n}/sa/*"]}}}}]}}]}}}}"#
    )
}

fn metric(n: usize) -> String {
    format!(
        r#"{{"name": "m{n}", "type": "counter", "when": "response.code == {n}",
            "labels": {{"l{}": "request.headers['x-{n}']", "operation": "path_template"}}}}"#,
        n % 200
    )
}

fn kinds() -> Vec<Kind> {
    vec![
        Kind {
            most: 1000,
            ..right("budgets", r#"{"retry": {"budgets": ["#, budget, "]}}")
        },
        right("splits", r#"{"canary": {"splits": ["#, split, "]}}"),
        right(
            "rules of a split",
            r#"{"canary": {"splits": [{"name": "s", "arms": [{"value": "v1", "weight": 9}, {"value": "v2", "weight": 1}], "rules": ["#,
            |n| format!(r#"{{"match": {{"headers": {{"x-user": "u{n}"}}}}, "value": "v2"}}"#),
            "]}]}}",
        ),
        right("policies", r#"{"authz": {"policies": ["#, policy, "]}}"),
        right(
            "paths of a policy",
            r#"{"authz": {"policies": [{"metadata": {"name": "p"}, "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["#,
            |n| format!(r#""/a{n}/*""#),
            "]}}]}]}}]}}",
        ),
        right(
            "hosts and paths of a budget",
            r#"{"retry": {"budgets": [{"name": "other"}, {"name": "b", "match": {"#,
            |_| String::new(),
            "}}]}}",
        ),
        Kind {
            most: 1000,
            ..right(
                "metrics",
                r#"{"telemetry": {"golden": {"enabled": false}, "pathTemplates": ["/a"], "metrics": ["#,
                metric,
                "]}}",
            )
        },
        Kind {
            most: 2000,
            ..right(
                "path templates",
                r#"{"telemetry": {"pathTemplates": ["#,
                |n| format!(r#""/a{n}/{{id}}/b{n}""#),
                "]}}",
            )
        },
        wrong("unknown keys", "{", |n| format!(r#""key{n}": {n}"#), "}"),
        wrong(
            "repeated keys",
            "{",
            |n| format!(r#""authz{}": 1"#, n % 7),
            "}",
        ),
        wrong(
            "wrong budgets",
            r#"{"retry": {"budgets": ["#,
            |n| format!(r#"{{"name": {n}, "maxRetries": "x{n}", "y{n}": 1}}"#),
            "]}}",
        ),
        wrong(
            "budgets of one name",
            r#"{"retry": {"budgets": ["#,
            |_| r#"{"name": "same"}"#.to_owned(),
            "]}}",
        ),
        wrong(
            "wrong splits",
            r#"{"canary": {"splits": ["#,
            |n| format!(r#"{{"name": "s{n}", "arms": [{{"value": "v{n}"}}], "stickyBy": [{n}]}}"#),
            "]}}",
        ),
        wrong(
            "wrong policies",
            r#"{"authz": {"policies": ["#,
            |n| {
                format!(
                    r#"{{"metadata": {{"name": "p{n}"}}, "spec": {{"action": "DENYY", "rules": [{{"x{n}": 1}}]}}}}"#
                )
            },
            "]}}",
        ),
        wrong(
            "wrong metrics",
            r#"{"telemetry": {"metrics": ["#,
            |n| {
                format!(
                    r#"{{"name": "m{n}", "type": "counter", "value": "((", "labels": {{"l-{n}": "a"}}}}"#
                )
            },
            "]}}",
        ),
        wrong(
            "label names",
            r#"{"telemetry": {"metrics": [{"name": "m", "type": "counter", "labels": {"#,
            |n| format!(r#""l{n}": "request.path""#),
            "}}]}}",
        ),
        wrong(
            "overrides",
            r#"{"telemetry": {"tagOverrides": {"#,
            |n| format!(r#""m{n}": {{"remove": ["a{n}"]}}"#),
            "}}}",
        ),
    ]
}

fn configuration(kind: &Kind, count: usize) -> String {
    let mut text = kind.before.to_owned();
    if kind.name == "hosts and paths of a budget" {
        let hosts: Vec<String> = (0..count / 2).map(|n| format!(r#""h{n}""#)).collect();
        let paths: Vec<String> = (0..count / 2).map(|n| format!(r#""/p{n}""#)).collect();
        let _ = write!(
            text,
            r#""hosts": [{}], "paths": [{}]"#,
            hosts.join(", "),
            paths.join(", ")
        );
    } else {
        let entries: Vec<String> = (0..count).map(kind.entry).collect();
        text.push_str(&entries.join(", "));
    }
    text.push_str(kind.after);
    text
}

/// Envoy's engine takes every expression.
fn install_engine() {
    MockHost::reset();
    let mut token = 0_u32;
    MockHost::foreign_function("expr_create", move |_| {
        token += 1;
        Ok(token.to_le_bytes().to_vec())
    });
    MockHost::foreign_function("expr_delete", |_| Ok(Vec::new()));
}

fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let first = text.split(' ').next().unwrap();
    Duration::from_nanos(first.parse().unwrap())
}

/// How long it takes to load a configuration so often.
fn time(kind: &Kind, text: &str, times: usize) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..times {
        install_engine();
        let began = processor_time();
        let loaded = Plugin::<Meshpack>::configure(text);
        spent += processor_time() - began;
        assert_eq!(
            loaded.is_ok(),
            kind.loads,
            "{}: {:?}",
            kind.name,
            loaded.err()
        );
    }
    spent
}

#[test]
fn eight_times_as_many_take_about_eight_times_as_long() {
    let filter = std::env::var("KIND").unwrap_or_default();
    let mut slow = Vec::new();
    for kind in kinds().iter().filter(|kind| kind.name.contains(&filter)) {
        let small = configuration(kind, kind.most / 8);
        let large = configuration(kind, kind.most);
        let mut times = 1;
        while time(kind, &small, times) < LEAST && times < 4096 {
            times *= 2;
        }
        let [mut least, mut most] = [Duration::MAX; 2];
        let mut ratio = f64::INFINITY;
        for _ in 0..TRIES {
            least = least.min(time(kind, &small, times));
            most = most.min(time(kind, &large, times));
            ratio = most.as_secs_f64() / least.max(LEAST / 8).as_secs_f64();
            if ratio <= MOST {
                break;
            }
        }
        println!(
            "{}: {least:?}, {most:?} for {times} times: {ratio:.1}",
            kind.name
        );
        if ratio > MOST {
            slow.push(format!("{}: {ratio:.1} times", kind.name));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}
