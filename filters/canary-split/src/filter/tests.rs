use std::time::Duration;

use meshpack_sdk::HostError;
use meshpack_sdk::mock::{MockHost, Plugin};

use super::CanarySplit;

const START: Duration = Duration::from_secs(1_800_000_000);
const HEADER: &str = "x-meshpack-subset";

fn plugin(fields: &str) -> Plugin<CanarySplit> {
    MockHost::reset();
    MockHost::set_time(START);
    Plugin::configure(&config(fields)).unwrap()
}

fn config(fields: &str) -> String {
    format!(
        r#"{{"splits": [{{"name": "s", "match": {{"hosts": ["shop"]}}, "stickyBy": [{{"header": "x-user"}}],
            "arms": [{{"value": "v1", "weight": 50}}, {{"value": "v2", "weight": 50}}]{fields}}}]}}"#
    )
}

const ABORT: &str = r#", "abort": {"arm": "v2", "baseline": "v1", "cooldown": "60s"}"#;

/// Users whom the even split named "s" puts into its first and second arm.
const FIRST: &str = "user-2";
const SECOND: &str = "user-1";

fn arm(plugin: &mut Plugin<CanarySplit>, headers: &[(&str, &str)]) -> Option<String> {
    let mut all = vec![(":authority", "shop"), (":path", "/")];
    all.extend(headers);
    plugin.request(&all).request_header(HEADER)
}

/// A request of a user and its response.
fn exchange(plugin: &mut Plugin<CanarySplit>, user: &str, code: i64, flags: i64) {
    MockHost::set_property(&["response", "code"], code.to_le_bytes());
    MockHost::set_property(&["response", "flags"], flags.to_le_bytes());
    let mut stream = plugin.request(&[(":authority", "shop"), ("x-user", user)]);
    stream.respond(&[(":status", &code.to_string())]);
    stream.log();
}

#[test]
fn a_request_costs_one_map_read_and_one_header_write() {
    let mut plugin = plugin("");
    arm(&mut plugin, &[("x-user", FIRST)]);
    MockHost::reset_calls();
    arm(&mut plugin, &[("x-user", FIRST)]);
    let calls = [("add_header", 1), ("header_pairs", 1)];
    assert_eq!(MockHost::all_calls(), calls);
}

#[test]
fn forged_headers_are_replaced_or_removed() {
    let mut plugin = plugin("");
    let forged = [("x-user", FIRST), (HEADER, "v2"), (HEADER, "v2")];
    assert_eq!(arm(&mut plugin, &forged).as_deref(), Some("v1"));
    let elsewhere = [(":authority", "other"), (HEADER, "v2")];
    assert_eq!(plugin.request(&elsewhere).request_header(HEADER), None);
}

#[test]
fn a_host_that_refuses_never_stops_a_request() {
    let mut plugin = plugin(ABORT);
    for call in [
        "header_pairs",
        "add_header",
        "replace_header",
        "remove_header",
    ] {
        MockHost::fail(call, HostError::InternalFailure);
        let stream = plugin.request(&[(":authority", "shop"), (HEADER, "v2")]);
        assert!(stream.reply().is_none() && !stream.paused(), "{call}");
    }
}

#[test]
fn decisions_are_counted_and_weights_published() {
    let mut plugin = plugin("");
    for _ in 0..3 {
        arm(&mut plugin, &[("x-user", SECOND)]);
    }
    plugin.tick();
    let name = "meshpack_canary_requests_totalsplit=.=s;.;arm=.=v2;.;reason=.=sticky;.;";
    assert_eq!(MockHost::metric(name), 3);
    let weight = "meshpack_canary_weightsplit=.=s;.;arm=.=v1;.;";
    assert_eq!(MockHost::metric(weight), 500_000);
}

#[test]
fn a_ramp_moves_the_weights_on_the_tick() {
    let ramp = r#", "ramp": {"arm": "v2", "start": "2027-01-15T08:00:00Z", "steps": [{"after": "0s", "weight": 1}, {"after": "60s", "weight": 100}]}"#;
    let mut plugin = plugin(ramp);
    let weight = "meshpack_canary_weightsplit=.=s;.;arm=.=v2;.;";
    assert_eq!(MockHost::metric(weight), 10_000);
    assert_eq!(
        arm(&mut plugin, &[("x-user", FIRST)]).as_deref(),
        Some("v1")
    );
    MockHost::advance(Duration::from_secs(60));
    plugin.tick();
    assert_eq!(MockHost::metric(weight), 1_000_000);
    assert_eq!(
        arm(&mut plugin, &[("x-user", FIRST)]).as_deref(),
        Some("v2")
    );
}

const ABORTED: &str = "meshpack_canary_abortedsplit=.=s;.;";

#[test]
fn a_canary_without_endpoints_is_out_for_the_cooldown() {
    let mut plugin = plugin(ABORT);
    exchange(&mut plugin, SECOND, 503, 1 << 1);
    assert_eq!(MockHost::metric(ABORTED), 1);
    assert_eq!(
        arm(&mut plugin, &[("x-user", SECOND)]).as_deref(),
        Some("v1")
    );
    MockHost::advance(Duration::from_secs(59));
    plugin.tick();
    assert_eq!(MockHost::metric(ABORTED), 1);
    MockHost::advance(Duration::from_secs(2));
    plugin.tick();
    assert_eq!(MockHost::metric(ABORTED), 0);
    assert_eq!(
        arm(&mut plugin, &[("x-user", SECOND)]).as_deref(),
        Some("v2")
    );
}

#[test]
fn a_latch_outlives_a_new_configuration_but_not_a_new_experiment() {
    let mut plugin = plugin(ABORT);
    exchange(&mut plugin, SECOND, 503, 1 << 1);
    let other = format!(r#", "onMissingKey": "default"{ABORT}"#);
    plugin.reconfigure(&config(&other)).unwrap();
    assert_eq!(
        arm(&mut plugin, &[("x-user", SECOND)]).as_deref(),
        Some("v1")
    );
    let other = format!(r#", "salt": "s", "onMissingKey": "default"{ABORT}"#);
    plugin.reconfigure(&config(&other)).unwrap();
    assert_eq!(
        arm(&mut plugin, &[("x-user", SECOND)]).as_deref(),
        Some("v1"),
        "the same salt"
    );
    let other = format!(r#", "salt": "next"{ABORT}"#);
    plugin.reconfigure(&config(&other)).unwrap();
    assert_eq!(MockHost::metric(ABORTED), 0);
}

#[test]
fn a_failing_canary_is_out_and_the_log_says_so() {
    let mut plugin = plugin(ABORT);
    for step in 0..200 {
        MockHost::advance(Duration::from_millis(50));
        let user = format!("user-{step}");
        let canary = arm(&mut plugin, &[("x-user", &user)]).as_deref() == Some("v2");
        exchange(&mut plugin, &user, if canary { 500 } else { 200 }, 0);
        if step % 20 == 19 {
            plugin.tick();
        }
        if MockHost::metric(ABORTED) == 1 {
            let told = MockHost::logs().into_iter().any(|(_, line)| {
                line.contains("split s: arm v2 fails more often") && line.contains("v1 for 60 s")
            });
            assert!(told);
            return;
        }
    }
    panic!("200 requests and no abort");
}

#[test]
fn grpc_statuses_are_taken_from_headers_and_trailers() {
    for in_trailers in [false, true] {
        let mut plugin = plugin(ABORT);
        MockHost::set_property(&["response", "code"], 200_i64.to_le_bytes());
        MockHost::set_property(&["response", "flags"], 0_i64.to_le_bytes());
        let mut aborted = false;
        for step in 0..200 {
            MockHost::advance(Duration::from_millis(50));
            let user = format!("user-{step}");
            let mut stream = plugin.request(&[
                (":authority", "shop"),
                ("x-user", &user),
                ("content-type", "application/grpc"),
            ]);
            let canary = stream.request_header(HEADER).as_deref() == Some("v2");
            let status = ("grpc-status", if canary { "14" } else { "0" });
            if in_trailers {
                stream.respond(&[(":status", "200")]);
                stream.respond_trailers(&[status]);
            } else {
                stream.respond(&[(":status", "200"), status]);
            }
            stream.log();
            if step % 20 == 19 {
                plugin.tick();
            }
            aborted |= MockHost::metric(ABORTED) == 1;
        }
        assert!(aborted, "in trailers: {in_trailers}");
    }
}

#[test]
fn an_id_cookie_is_set_on_the_response() {
    let mut plugin =
        plugin(r#", "onMissingKey": "cookie", "cookie": {"name": "sid", "ttl": "1h"}"#);
    let mut stream = plugin.request(&[(":authority", "shop"), ("x-forwarded-proto", "https")]);
    stream.respond(&[(":status", "200"), ("set-cookie", "theirs=1")]);
    assert_eq!(
        stream.response_header("set-cookie").as_deref(),
        Some("theirs=1")
    );
    assert_eq!(
        MockHost::calls("add_header"),
        2,
        "the steering header and the cookie"
    );
}

/// Two plugins of one proxy, as two listeners have them.
#[test]
fn splits_of_one_name_have_a_latch_each() {
    let mut first = plugin(ABORT);
    let other = format!(r#", "salt": "other"{ABORT}"#);
    let mut second: Plugin<CanarySplit> = Plugin::configure(&config(&other)).unwrap();
    exchange(&mut first, SECOND, 503, 1 << 1);
    let user = (0..).map(|number| format!("user-{number}"));
    let user = user
        .take(100)
        .find(|user| arm(&mut second, &[("x-user", user)]).as_deref() == Some("v2"));
    assert!(user.is_some(), "the second canary is still on");
    MockHost::advance(Duration::from_secs(1));
    second.tick();
    assert_eq!(
        arm(&mut first, &[("x-user", SECOND)]).as_deref(),
        Some("v1")
    );
    first.tick();
    assert_eq!(MockHost::metric(ABORTED), 1);
    MockHost::advance(Duration::from_secs(60));
    first.tick();
    assert_eq!(MockHost::metric(ABORTED), 0);
}

#[test]
fn names_of_more_than_a_label_keep_their_own_series() {
    let long = "n".repeat(100);
    let split = |end: &str| {
        format!(
            r#"{{"name": "{long}{end}", "match": {{"hosts": ["{end}"]}}, "abort": {{"arm": "v2", "baseline": "v1"}},
                "arms": [{{"value": "v1", "weight": 50}}, {{"value": "v2", "weight": 50}}]}}"#
        )
    };
    MockHost::reset();
    let config = format!(r#"{{"splits": [{}, {}]}}"#, split("a"), split("b"));
    let _plugin: Plugin<CanarySplit> = Plugin::configure(&config).unwrap();
    let series = |metric: &str| {
        let names = MockHost::metric_names();
        names.iter().filter(|name| name.starts_with(metric)).count()
    };
    assert_eq!(series("meshpack_canary_aborted"), 2);
    assert_eq!(series("meshpack_canary_latch"), 2);
    assert_eq!(series("meshpack_canary_weight"), 4);
}
