//! The filter between a request and the router, on the mock host.

use std::time::Duration;

use meshpack_sdk::HostError;
use meshpack_sdk::mock::{MockHost, MockStream, Plugin};

use crate::RetryBudget;

const NO_FLOOR: &str = r#"{"budgets": [{"name": "all", "budget": {"percent": 100},
    "minRetryRate": {"count": 0}}]}"#;

fn start(config: &str) -> Plugin<RetryBudget> {
    MockHost::reset();
    MockHost::set_time(Duration::from_secs(1_000_000));
    Plugin::configure(config).unwrap()
}

fn attempts(count: u64) {
    MockHost::set_property(&["upstream", "request_attempt_count"], count.to_le_bytes());
}

fn flags(flags: u64) {
    MockHost::set_property(&["response", "flags"], flags.to_le_bytes());
}

fn stat(metric: &str, budget: &str) -> i64 {
    MockHost::metric(&format!("meshpack_retry_{metric}budget=.={budget};.;"))
}

fn max_retries(stream: &MockStream<'_, RetryBudget>) -> Option<String> {
    stream.request_header("x-envoy-max-retries")
}

const REQUEST: [(&str, &str); 3] = [(":path", "/"), (":authority", "shop"), (":method", "GET")];

#[test]
fn a_request_gets_what_the_budget_has_and_gives_back_what_it_did_not_use() {
    let mut plugin = start(
        r#"{"budgets": [{"name": "all", "budget": {"percent": 0},
            "minRetryRate": {"count": 7, "interval": "1h"}}]}"#,
    );
    // Each with what it is allowed and what it makes of it; when less is left
    // than two requests could want, each gets one.
    for (allowed, made) in [("2", 0), ("2", 2), ("2", 2), ("1", 1), ("1", 0), ("1", 1)] {
        let mut stream = plugin.request(&REQUEST);
        assert_eq!(max_retries(&stream).as_deref(), Some(allowed));
        attempts(1 + made);
        stream.respond(&[(":status", "503")]);
        stream.log();
    }
    // An aborted request is settled at its end.
    let stream = plugin.request(&REQUEST);
    assert_eq!(max_retries(&stream).as_deref(), Some("1"));
    attempts(2);
    stream.log();
    assert_eq!(max_retries(&plugin.request(&REQUEST)).as_deref(), Some("0"));
    plugin.tick();
    assert_eq!(stat("requests_total", "all"), 8);
    assert_eq!(stat("retries_total", "all"), 7);
}

#[test]
fn a_healthy_request_costs_one_write_and_one_read_and_seldom_the_time() {
    let mut plugin = start(NO_FLOOR);
    attempts(1);
    let mut hundred = || {
        for _ in 0..100 {
            MockHost::advance(Duration::from_millis(2));
            let mut stream = plugin.request(&REQUEST);
            stream.respond(&[(":status", "200")]);
            stream.log();
        }
    };
    hundred();
    MockHost::reset_calls();
    hundred();
    let shared = MockHost::calls("shared_data");
    assert!(
        shared <= 8,
        "a slot of 100 ms settles at most once: {shared}"
    );
    assert_eq!(MockHost::calls("property"), 100);
    assert_eq!(MockHost::calls("replace_header"), 100);
    let now = MockHost::calls("now");
    assert!((6..=9).contains(&now), "{now}");
}

#[test]
fn an_unreadable_attempt_count_counts_as_all_that_was_reserved() {
    let mut plugin = start(NO_FLOOR);
    MockHost::fail_property(
        &["upstream", "request_attempt_count"],
        HostError::InternalFailure,
    );
    for allowed in ["1", "1", "1"] {
        let stream = plugin.request(&REQUEST);
        assert_eq!(max_retries(&stream).as_deref(), Some(allowed));
        stream.log();
    }
    plugin.tick();
    assert_eq!(stat("retries_total", "all"), 3);
}

#[test]
fn only_a_refused_wish_is_denied() {
    let mut plugin = start(
        r#"{"budgets": [{"name": "all", "budget": {"percent": 0},
            "minRetryRate": {"count": 0}, "whenExhausted": 503}]}"#,
    );
    attempts(1);
    for (status, response_flags, denied) in [("404", 0, 0), ("503", 0, 0), ("502", 0x8000, 1)] {
        flags(response_flags);
        let mut stream = plugin.request(&REQUEST);
        assert_eq!(max_retries(&stream).as_deref(), Some("0"));
        stream.respond(&[(":status", status)]);
        let reply = stream.reply().map(|reply| reply.status);
        assert_eq!(reply, (denied == 1).then_some(503), "{status}");
        stream.log();
        plugin.tick();
        assert_eq!(stat("denied_total", "all"), denied);
    }
}

#[test]
fn the_call_of_an_application_marks_the_answer_to_its_caller() {
    let mut plugin = start(r#"{"stopAmplification": true}"#);
    let answer = |plugin: &mut Plugin<RetryBudget>, id: &str, status: &str| {
        let mut stream = plugin.request(&[(":path", "/"), ("x-request-id", id)]);
        stream.respond(&[(":status", status)]);
        let mark = stream.response_header("x-envoy-ratelimited");
        stream.log();
        mark.is_some()
    };
    // The application fails without having called anybody.
    attempts(1);
    flags(0);
    assert!(!answer(&mut plugin, "own", "500"));
    // Its call is retried in vain; that answer is final and marked.
    attempts(3);
    assert!(answer(&mut plugin, "4f1e", "503"));
    // The application's own answer, in the same process and of the same request.
    attempts(1);
    assert!(answer(&mut plugin, "4f1e", "503"));
    assert!(!answer(&mut plugin, "4f1f", "503"));
    assert!(!answer(&mut plugin, "", "503"));
    // It made up for the failure: there is nothing to retry.
    assert!(!answer(&mut plugin, "4f1e", "200"));
    // A later attempt of the same request fails by itself.
    MockHost::advance(Duration::from_millis(1));
    assert!(!answer(&mut plugin, "4f1e", "503"));
    plugin.tick();
    assert_eq!(MockHost::metric("meshpack_retry_marked_total"), 2);
}

#[test]
fn answers_of_requests_without_an_id_are_not_taken_for_each_others() {
    let mut plugin = start(r#"{"stopAmplification": true}"#);
    let missing: &[(&str, &str)] = &[(":path", "/")];
    let empty: &[(&str, &str)] = &[(":path", "/"), ("x-request-id", "")];
    for id in [missing, empty] {
        // What was retried here itself is marked whatever its id; what another stream
        // retried is not known to belong to it.
        for (made, marked) in [(3, true), (1, false)] {
            attempts(made);
            flags(0);
            let mut stream = plugin.request(id);
            stream.respond(&[(":status", "503")]);
            let mark = stream.response_header("x-envoy-ratelimited");
            assert_eq!(mark.is_some(), marked, "{id:?} after {made}");
            stream.log();
        }
    }
}

#[test]
fn a_refused_retry_marks_and_a_full_connection_pool_does_not() {
    let mut plugin = start(r#"{"stopAmplification": true}"#);
    attempts(1);
    for (response_flags, details, marked) in [
        (0x8000, "via_upstream", true),
        (0x80, "via_upstream", true),
        (
            0x80,
            "upstream_reset_before_response_started{overflow}",
            false,
        ),
        (
            0x20,
            "upstream_reset_before_response_started{connection_failure}",
            false,
        ),
    ] {
        flags(response_flags);
        MockHost::set_property(&["response", "code_details"], details);
        let mut stream = plugin.request(&[(":path", "/"), ("x-request-id", "a")]);
        stream.respond(&[(":status", "503")]);
        let mark = stream.response_header("x-envoy-ratelimited").is_some();
        assert_eq!(mark, marked, "{details}");
        stream.log();
        MockHost::advance(Duration::from_millis(1));
    }
    // A gRPC error in the response headers is a failure too.
    flags(0x8000);
    let mut stream = plugin.request(&REQUEST);
    stream.respond(&[(":status", "200"), ("grpc-status", "14")]);
    let mark = stream.response_header("x-envoy-ratelimited");
    assert_eq!(mark.as_deref(), Some("true"));
    stream.log();
}

#[test]
fn any_attempt_count_header_is_survived() {
    let mut plugin = start(r#"{"server": {"maxRetryPercent": 0, "minRetryRate": {"count": 0}}}"#);
    for (value, refused) in [
        (&b"1"[..], false),
        (b"2", true),
        (b"", false),
        (b"\xff", false),
        (b"-1", false),
        (b"99999999999999999999", false),
        (b"4294967295", true),
        (b"4294967296", true),
        (b" 2", true),
        (b"2,2", false),
    ] {
        MockHost::set_property(&["connection", "mtls"], [1]);
        let stream = plugin.request_bytes(&[(b":path", b"/"), (b"x-envoy-attempt-count", value)]);
        assert_eq!(stream.reply().is_some(), refused, "{value:?}");
        if let Some(reply) = stream.reply() {
            let mark = (b"x-envoy-ratelimited".to_vec(), b"true".to_vec());
            assert_eq!((reply.status, reply.headers.contains(&mark)), (503, true));
        }
        stream.log();
    }
}

#[test]
fn requests_that_no_budget_matches_are_left_alone() {
    let mut plugin = start(r#"{"budgets": [{"name": "p", "match": {"hosts": ["payments*"]}}]}"#);
    let stream = plugin.request(&REQUEST);
    assert_eq!(max_retries(&stream), None);
    stream.log();
    let stream = plugin.request(&[(":path", "/"), (":authority", "payments:8080")]);
    assert_eq!(max_retries(&stream).as_deref(), Some("2"));
    stream.log();
}

#[test]
fn the_balance_shows_what_is_left_and_recovers_by_itself() {
    let mut plugin = start(
        r#"{"budgets": [{"name": "all", "budget": {"percent": 0},
            "minRetryRate": {"count": 4, "interval": "1s"}}]}"#,
    );
    attempts(3);
    plugin.request(&REQUEST).log();
    plugin.tick();
    assert_eq!(stat("balance", "all"), 2);
    for _ in 0..12 {
        MockHost::advance(Duration::from_secs(1));
        plugin.tick();
    }
    assert_eq!(stat("balance", "all"), 4);
    let before = MockHost::calls("shared_data");
    MockHost::advance(Duration::from_secs(1));
    plugin.tick();
    assert_eq!(MockHost::calls("shared_data"), before, "idle costs nothing");
}

const SERVER: &str = r#"{"server": {"maxRetryPercent": 20, "interval": "10s",
    "minRetryRate": {"count": 10, "interval": "10s"}}}"#;
const RETRY: [(&str, &str); 2] = [(":path", "/"), ("x-envoy-attempt-count", "5")];

/// The peer of the requests that follow; none is one without a certificate.
fn peer(identity: Option<&str>) {
    MockHost::set_property(&["connection", "mtls"], [u8::from(identity.is_some())]);
    let san = ["connection", "uri_san_peer_certificate"];
    match identity {
        Some(identity) => MockHost::set_property(&san, identity),
        None => MockHost::clear_property(&san),
    }
}

fn let_through(plugin: &mut Plugin<RetryBudget>) -> bool {
    let stream = plugin.request(&RETRY);
    let through = stream.reply().is_none();
    stream.log();
    through
}

#[test]
fn what_a_peer_without_a_certificate_says_is_not_believed_and_uses_nothing_up() {
    let mut plugin = start(SERVER);
    peer(None);
    for _ in 0..100 {
        assert!(let_through(&mut plugin), "a first attempt is never refused");
    }
    plugin.tick();
    assert_eq!(stat("retries_total", "server"), 0);
    peer(Some("spiffe://mesh/honest"));
    assert!(let_through(&mut plugin));
    let warnings: Vec<String> = MockHost::logs().into_iter().map(|(_, line)| line).collect();
    let unbelieved = warnings
        .iter()
        .filter(|line| line.contains("without a certificate"));
    assert_eq!(unbelieved.count(), 1, "{warnings:?}");
}

#[test]
fn one_peer_leaves_a_part_of_the_share_to_the_others() {
    let mut plugin = start(SERVER);
    peer(Some("spiffe://mesh/forger"));
    let taken = (0..100).filter(|_| let_through(&mut plugin)).count();
    assert_eq!(taken, 8, "four fifths of the floor");
    peer(Some("spiffe://mesh/honest"));
    assert!(let_through(&mut plugin));
}

#[test]
fn a_header_that_never_comes_is_said_once() {
    for (header, warns) in [(None, true), (Some("1"), false)] {
        let mut plugin = start(SERVER);
        for _ in 0..100 {
            let mut request = vec![(":path", "/")];
            request.extend(header.map(|value| ("x-envoy-attempt-count", value)));
            plugin.request(&request).log();
        }
        let logs = MockHost::logs();
        let said = logs
            .iter()
            .filter(|(_, line)| line.contains("none of the first 20"));
        assert_eq!(said.count(), usize::from(warns), "{logs:?}");
    }
}
