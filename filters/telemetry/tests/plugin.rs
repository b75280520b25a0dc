//! The filter on a mock host whose engine answers as Envoy's does: peer metadata
//! in the shapes that Istio's metadata exchange leaves, host calls per request,
//! failures of the host.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use meshpack_sdk::HostError;
use meshpack_sdk::mock::{MockHost, Plugin};
use meshpack_telemetry::Telemetry;

/// Envoy's CEL engine for the few forms that the filter itself writes: a list of
/// paths, each bare or behind `has(…)` and `in` guards.
#[derive(Clone, Default)]
struct Engine {
    paths: Rc<RefCell<HashMap<String, Vec<u8>>>>,
    compiled: Rc<RefCell<Vec<String>>>,
}

impl Engine {
    fn install() -> Self {
        MockHost::reset();
        let engine = Self::default();
        let compiled = Rc::clone(&engine.compiled);
        MockHost::foreign_function("expr_create", move |text| {
            let mut compiled = compiled.borrow_mut();
            compiled.push(String::from_utf8(text.to_vec()).unwrap());
            Ok((compiled.len() as u32 - 1).to_le_bytes().to_vec())
        });
        let this = engine.clone();
        MockHost::foreign_function("expr_evaluate", move |token| {
            let token = u32::from_le_bytes(token.try_into().unwrap()) as usize;
            let text = this.compiled.borrow()[token].clone();
            this.evaluate(&text).ok_or(HostError::InternalFailure)
        });
        MockHost::foreign_function("expr_delete", |_| Ok(Vec::new()));
        engine.number("xds.listener_direction", 1);
        engine.number("connection.id", 7);
        engine.number("response.code", 200);
        engine.number("response.flags", 0);
        engine.number("request.duration", 12_000_000);
        engine.number("request.total_size", 100);
        engine.number("response.total_size", 200);
        engine.text("xds.cluster_name", "");
        engine
    }

    fn text(&self, path: &str, value: &str) {
        self.paths
            .borrow_mut()
            .insert(path.to_owned(), value.as_bytes().to_vec());
    }

    fn number(&self, path: &str, value: i64) {
        self.paths
            .borrow_mut()
            .insert(path.to_owned(), value.to_le_bytes().to_vec());
    }

    fn evaluate(&self, text: &str) -> Option<Vec<u8>> {
        let Some(items) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        else {
            return self.value(text);
        };
        let values: Vec<Vec<u8>> = items
            .split(" , ")
            .map(|item| self.value(item))
            .collect::<Option<_>>()?;
        let mut out = (values.len() as u32).to_le_bytes().to_vec();
        for value in &values {
            out.extend((value.len() as u32).to_le_bytes());
            out.extend(0_u32.to_le_bytes());
        }
        for value in values {
            out.extend(value);
            out.extend([0, 0]);
        }
        Some(out)
    }

    /// `guard ? value : otherwise`, `(value)`, a literal or a path.
    fn value(&self, text: &str) -> Option<Vec<u8>> {
        let text = text.trim();
        if let Some((condition, rest)) = split_top(text, " ? ") {
            let (yes, no) = split_top(rest, " : ").unwrap();
            return if self.holds(condition) {
                self.value(yes)
            } else {
                self.value(no)
            };
        }
        for (sign, apply) in [
            (" + ", i64::checked_add as fn(i64, i64) -> Option<i64>),
            (" * ", i64::checked_mul),
        ] {
            if let Some((left, right)) = split_top(text, sign) {
                let number = |text| Some(i64::from_le_bytes(self.value(text)?.try_into().ok()?));
                return Some(apply(number(left)?, number(right)?)?.to_le_bytes().to_vec());
            }
        }
        if let Ok(number) = text.parse::<i64>() {
            return Some(number.to_le_bytes().to_vec());
        }
        if text.starts_with('[') {
            return self.evaluate(&text.replace("), (", ") , ("));
        }
        if let Some(inner) = text
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
        {
            return self.value(inner);
        }
        if text == "\"\"" || text == "b\"\"" {
            return Some(Vec::new());
        }
        self.paths.borrow().get(text).cloned()
    }

    fn holds(&self, condition: &str) -> bool {
        condition.split(" && ").all(|part| {
            let present = |path: &str| {
                let paths = self.paths.borrow();
                let below = [format!("{path}."), format!("{path}[")];
                paths.keys().any(|known| {
                    known == path || below.iter().any(|b| known.starts_with(b.as_str()))
                })
            };
            if let Some(path) = part
                .strip_prefix("has(")
                .and_then(|rest| rest.strip_suffix(')'))
            {
                return present(path);
            }
            if let Some((key, map)) = part.split_once(" in ") {
                return present(&format!("{map}[{key}]"));
            }
            if let Some((path, number)) = part.split_once(" == ") {
                let number: i64 = number.parse().unwrap();
                return self
                    .paths
                    .borrow()
                    .get(path)
                    .is_some_and(|value| *value == number.to_le_bytes());
            }
            part.starts_with("size(")
        })
    }
}

/// Splits at a separator outside of parentheses.
fn split_top<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ if depth == 0 && text[at..].starts_with(separator) => {
                return Some((&text[..at], &text[at + separator.len()..]));
            }
            _ => {}
        }
    }
    None
}

fn request(plugin: &mut Plugin<Telemetry>) {
    let stream = plugin.request(&[(":path", "/"), (":method", "GET")]);
    stream.log();
}

/// Labels of the only series of the request counter.
fn labels() -> HashMap<String, String> {
    let names = MockHost::metric_names();
    let mut counters = names
        .iter()
        .filter(|name| name.starts_with("meshpack_requests_total"));
    let name = counters.next().expect("a series");
    assert_eq!(counters.next(), None);
    let labels = name.strip_prefix("meshpack_requests_total").unwrap();
    labels
        .split(";.;")
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (label, value) = part.split_once("=.=").unwrap();
            (label.to_owned(), value.to_owned())
        })
        .collect()
}

const FIELDS: [(&str, &str, &str); 7] = [
    ("workload", "web-v2", "workload"),
    ("namespace", "web-ns", "workload_namespace"),
    ("service", "web", "canonical_service"),
    ("revision", "v2", "canonical_revision"),
    ("app", "web", "app"),
    ("version", "v2", "version"),
    ("cluster", "west", "cluster"),
];

fn expect(side: &str, fields: &[(&str, &str, &str)]) {
    let labels = labels();
    for (_, value, label) in fields {
        assert_eq!(labels[&format!("{side}_{label}")], *value, "{side}_{label}");
    }
}

#[test]
fn a_server_knows_its_client_by_both_spellings_of_peer_metadata() {
    for object in ["downstream_peer_obj", "downstream_peer"] {
        let engine = Engine::install();
        for (field, value, _) in FIELDS {
            engine.text(&format!("filter_state.{object}.{field}"), value);
        }
        let mut plugin = Plugin::<Telemetry>::configure("{}").unwrap();
        request(&mut plugin);
        expect("source", &FIELDS);
        assert_eq!(labels()["reporter"], "destination");
    }
}

#[test]
fn a_client_knows_its_server_by_peer_metadata_before_endpoint_metadata() {
    let outbound = || {
        let engine = Engine::install();
        engine.number("xds.listener_direction", 2);
        engine.text("upstream.address", "10.0.0.1:8080");
        engine.text(
            "xds.upstream_host_metadata.filter_metadata[\"istio\"].workload",
            "old;old-ns;old;v0;east",
        );
        engine
    };
    for object in ["upstream_peer_obj", "upstream_peer"] {
        let engine = outbound();
        for (field, value, _) in FIELDS {
            engine.text(&format!("filter_state.{object}.{field}"), value);
        }
        request(&mut Plugin::<Telemetry>::configure("{}").unwrap());
        expect("destination", &FIELDS);
    }
    outbound();
    request(&mut Plugin::<Telemetry>::configure("{}").unwrap());
    let endpoint = [
        ("", "old", "workload"),
        ("", "old-ns", "workload_namespace"),
        ("", "old", "canonical_service"),
        ("", "v0", "canonical_revision"),
        ("", "unknown", "app"),
        ("", "unknown", "version"),
        ("", "east", "cluster"),
    ];
    expect("destination", &endpoint);
}

#[test]
fn a_peer_that_is_half_known_is_unknown_only_where_it_is() {
    let engine = Engine::install();
    engine.text("filter_state.downstream_peer_obj.workload", "web-v2");
    request(&mut Plugin::<Telemetry>::configure("{}").unwrap());
    let labels = labels();
    assert_eq!(labels["source_workload"], "web-v2");
    assert_eq!(labels["source_app"], "unknown");
    assert_eq!(labels["source_canonical_revision"], "latest");
}

#[test]
fn a_waypoint_has_peers_on_both_sides() {
    let engine = Engine::install();
    MockHost::set_property(&["xds", "node", "id"], "waypoint~10.0.0.9~wp.ns~ns.svc");
    engine.text("upstream.address", "10.0.0.1:8080");
    engine.text("filter_state.downstream_peer_obj.workload", "web-v2");
    engine.text("filter_state.upstream_peer_obj.workload", "shop-v1");
    request(&mut Plugin::<Telemetry>::configure("{}").unwrap());
    let labels = labels();
    assert_eq!(labels["reporter"], "waypoint");
    assert_eq!(labels["source_workload"], "web-v2");
    assert_eq!(labels["destination_workload"], "shop-v1");
}

#[test]
fn a_warm_request_makes_one_evaluation_and_four_metric_calls() {
    Engine::install();
    let mut plugin = Plugin::<Telemetry>::configure("{}").unwrap();
    for _ in 0..3 {
        request(&mut plugin);
    }
    MockHost::reset_calls();
    request(&mut plugin);
    assert_eq!(
        MockHost::all_calls(),
        [
            ("call_foreign_function", 1),
            ("increment_metric", 1),
            ("record_metric", 3)
        ]
    );
}

#[test]
fn a_client_that_goes_away_costs_one_evaluation_more_and_is_counted() {
    let engine = Engine::install();
    let mut plugin = Plugin::<Telemetry>::configure("{}").unwrap();
    request(&mut plugin);
    engine.paths.borrow_mut().remove("response.code");
    request(&mut plugin);
    MockHost::reset_calls();
    request(&mut plugin);
    assert_eq!(MockHost::calls("call_foreign_function"), 2);
    let aborted: i64 = MockHost::metric_names()
        .iter()
        .filter(|name| {
            name.contains("response_code=.=0;.;") && name.starts_with("meshpack_requests_total")
        })
        .map(|name| MockHost::metric(name))
        .sum();
    assert_eq!(aborted, 2);
}

#[test]
fn a_host_that_refuses_everything_harms_no_request() {
    for call in [
        "call_foreign_function",
        "define_metric",
        "shared_data",
        "set_shared_data",
        "header_pairs",
        "http_call",
    ] {
        let engine = Engine::install();
        engine.text("filter_state.downstream_peer_obj.workload", "web-v2");
        let config = r#"{
            "accessLog": {"sink": {"otlpHttp": {"cluster": "c"}}},
            "trace": {"propagate": "w3c", "generateWhenMissing": true}
        }"#;
        let mut plugin = Plugin::<Telemetry>::configure(config).unwrap();
        MockHost::fail(call, HostError::InternalFailure);
        for _ in 0..5 {
            let stream = plugin.request(&[(":path", "/")]);
            assert!(!stream.paused(), "{call}");
            stream.log();
            MockHost::advance(Duration::from_secs(1));
            plugin.tick();
        }
    }
}

#[test]
fn what_waits_is_sent_when_the_plugin_goes_and_lost_records_are_counted() {
    Engine::install();
    let config =
        r#"{"accessLog": {"sink": {"otlpHttp": {"cluster": "c"}}, "batch": {"interval": "1h"}}}"#;
    for (answer, dropped) in [(Some((200, &b""[..])), 0), (None, 3)] {
        Engine::install();
        let mut plugin = Plugin::<Telemetry>::configure(config).unwrap();
        for _ in 0..3 {
            request(&mut plugin);
        }
        assert!(!plugin.shut_down());
        let sent = MockHost::take_callouts();
        assert_eq!(sent.len(), 1);
        plugin.answer_callout(sent[0].id, answer);
        assert_eq!(MockHost::calls("done"), 1);
        plugin.tick();
        let name = "meshpack_log_dropped_totaldrop_reason=.=shutdown;.;";
        assert_eq!(MockHost::metric(name), dropped);
    }
}
