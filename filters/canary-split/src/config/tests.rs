use std::time::Duration;

use meshpack_sdk::config;

use super::Config;
use crate::policy::abort::FailureClasses;
use crate::policy::assign::Hash;
use crate::policy::request::{Claim, KeySource, MissingKey};

fn read(json: &str) -> Config {
    config::parse(json.as_bytes(), |value| Config::read(&value)).unwrap()
}

fn problems(json: &str) -> Vec<String> {
    match config::parse(json.as_bytes(), |value| Config::read(&value)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// A split with `fields` beside a name and two arms.
fn split(fields: &str) -> String {
    format!(
        r#"{{"splits": [{{"name": "s", "arms": [{{"value": "v1", "weight": 95}}, {{"value": "v2", "weight": 5}}]{}{fields}}}]}}"#,
        if fields.is_empty() { "" } else { ", " }
    )
}

#[test]
fn every_field_is_read() {
    let config = read(
        r#"{
            "header": "X-Subset",
            "jwtPayloadKeys": ["okta"],
            "splits": [{
                "name": "payments",
                "match": {"hosts": ["payments*"]},
                "salt": "payments-2026-11",
                "hash": "flagd",
                "arms": [{"value": "v1", "weight": 95}, {"value": "v2", "weight": 4.5}, {"value": "v3", "weight": 0.5}],
                "stickyBy": [{"header": "X-User-Id"}, {"cookie": "session"}, {"claim": "sub"}, "sourceIp"],
                "onMissingKey": "cookie",
                "cookie": {"name": "sid", "ttl": "720h", "path": "/shop"},
                "force": {"header": "X-Canary", "cookie": "canary"},
                "rules": [{"match": {"headers": {"x-beta": "1"}}, "value": "v2"}],
                "ramp": {"arm": "v2", "start": "2026-11-20T10:00:00Z", "steps": [{"after": "0s", "weight": 1}, {"after": "10m", "weight": 10}], "interpolate": "linear"},
                "abort": {"arm": "v2", "baseline": "v1", "failures": ["5xx", "grpc"], "falsePositiveRate": 1e-4, "minEffect": 3, "cooldown": "5m"}
            }]
        }"#,
    );
    assert_eq!(config.header, "x-subset");
    let [split] = config.splits.as_slice() else {
        panic!("one split");
    };
    assert_eq!(
        (split.name.as_str(), split.salt.text()),
        ("payments", "payments-2026-11")
    );
    assert_eq!(split.hash, Hash::Flagd);
    assert_eq!(split.arms, ["v1", "v2", "v3"]);
    assert_eq!(
        split.sticky_by,
        [
            KeySource::Header("x-user-id".into()),
            KeySource::Cookie("session".into()),
            KeySource::Claim(Claim {
                name: "sub".into(),
                keys: ["okta".to_owned()].into()
            }),
            KeySource::SourceIp,
        ]
    );
    let MissingKey::Cookie(cookie) = &split.on_missing_key else {
        panic!("a cookie");
    };
    assert_eq!(
        (cookie.name.as_str(), cookie.path.as_str()),
        ("sid", "/shop")
    );
    assert_eq!(cookie.ttl, Some(Duration::from_secs(720 * 3600)));
    let force = split.force.as_ref().unwrap();
    assert_eq!(force.header.as_deref(), Some("x-canary"));
    assert_eq!(split.rule_arms, [1]);
    let start = Duration::from_secs(1_795_168_800);
    assert_eq!(split.schedule.weights(start), [985_000, 10_000, 5_000]);
    let abort = split.abort.as_ref().unwrap();
    assert_eq!((abort.arm, abort.baseline), (1, 0));
    assert_eq!(
        abort.failures,
        FailureClasses {
            server_errors: true,
            resets: false,
            grpc: true
        }
    );
    assert_eq!(abort.cooldown, Duration::from_secs(300));
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = read(&split(r#""abort": {"arm": "v2", "baseline": "v1"}"#));
    assert_eq!(config.header, "x-meshpack-subset");
    let split = &config.splits[0];
    assert_eq!((split.salt.text(), split.hash), ("s", Hash::Flagd));
    assert_eq!(split.on_missing_key, MissingKey::Random);
    let abort = split.abort.as_ref().unwrap();
    assert_eq!((abort.false_positive_rate, abort.min_effect), (1e-6, 2.0));
    assert_eq!(abort.cooldown, Duration::from_secs(600));
    assert!(read("").splits.is_empty());
}

#[test]
fn problems_name_place_and_remedy() {
    for (json, expected) in [
        (
            r#"{"header": ":path"}"#,
            r#"header: ":path" is not a header name: use letters, digits and -, as in "x-meshpack-subset""#,
        ),
        (
            r#"{"header": "cookie"}"#,
            r#"header: "cookie" means something else to every server: use a header of your own, as in "x-meshpack-subset""#,
        ),
        (
            r#"{"splits": [{"arms": [{"value": "v1", "weight": 1}]}]}"#,
            "splits[0].name: is required",
        ),
        (
            r#"{"splits": [{"name": "s"}]}"#,
            "splits[0].arms: is required",
        ),
        (
            r#"{"splits": [{"name": "s", "arms": []}]}"#,
            "splits[0].arms: is empty: give at least one entry or leave the key out",
        ),
        (
            r#"{"splits": [{"name": "s", "arms": [{"value": "v1", "weight": 0}]}]}"#,
            "splits[0].arms: every weight is 0: give at least one arm a weight",
        ),
        (
            r#"{"splits": [{"name": "s", "arms": [{"value": "v1", "weight": -1}]}]}"#,
            "splits[0].arms[0].weight: -1 is out of range: use a number from 0 to 2147483647",
        ),
        (
            r#"{"splits": [{"name": "s", "arms": [{"value": "v1", "weight": 0.0000001}]}]}"#,
            "splits[0].arms[0].weight: 1e-7 is too fine: use at most six decimals",
        ),
        (
            r#"{"splits": [{"name": "s", "arms": [{"value": "a\nb", "weight": 1}]}]}"#,
            r#"splits[0].arms[0].value: "a\nb" can not be the value of a header"#,
        ),
        (
            r#"{"splits": [{"name": "s", "arms": [{"value": "v", "weight": 1}, {"value": "v", "weight": 1}]}]}"#,
            r#"splits[0].arms[1].value: "v" is the value of two arms: give each its own"#,
        ),
        (
            r#"{"splits": [{"name": "s", "hash": "unleash", "arms": [{"value": "v", "weight": 1}]}]}"#,
            "splits[0].arms: Unleash's gradual rollout knows on and off only: give two arms, or use hash: flagd",
        ),
        (
            &split(r#""hash": "md5""#),
            r#"splits[0].hash: "md5" is not one of flagd, unleash"#,
        ),
        (
            &split(r#""stickyBy": ["ip"]"#),
            r#"splits[0].stickyBy[0]: "ip" is not a source: use sourceIp, {header: NAME}, {cookie: NAME} or {claim: NAME}"#,
        ),
        (
            &split(r#""stickyBy": [{"header": "a", "cookie": "b"}]"#),
            "splits[0].stickyBy[0]: names not exactly one source: use one of header, cookie and claim",
        ),
        (
            &split(r#""stickyBy": [{"header": "a b"}]"#),
            r#"splits[0].stickyBy[0].header: "a b" is not a header name: use letters, digits and -, as in "x-user-id""#,
        ),
        (
            &split(r#""onMissingKey": "cookie""#),
            "splits[0].onMissingKey: needs to know the cookie: add cookie: {name: NAME, ttl: 720h, path: /}",
        ),
        (
            &split(r#""cookie": {"name": "c"}"#),
            "splits[0].cookie: is minted only with onMissingKey: cookie: set that or leave this out",
        ),
        (
            &split(r#""onMissingKey": "cookie", "cookie": {"name": "c", "path": "x;y"}"#),
            r#"splits[0].cookie.path: "x;y" is not a cookie path: it starts with / and has no ;"#,
        ),
        (
            &split(r#""force": {}"#),
            "splits[0].force: names nothing that could force: give a header or a cookie",
        ),
        (
            &split(r#""rules": [{"match": {}, "value": "v9"}]"#),
            r#"splits[0].rules[0].value: "v9" is not the value of an arm; the arms are v1, v2"#,
        ),
        (
            &split(
                r#""ramp": {"arm": "v1", "start": "2026-11-20T10:00:00Z", "steps": [{"after": "0s", "weight": 1}]}"#,
            ),
            "splits[0].ramp.arm: is the first arm, which gives and takes: ramp another one",
        ),
        (
            &split(
                r#""ramp": {"arm": "v2", "start": "tomorrow", "steps": [{"after": "0s", "weight": 1}]}"#,
            ),
            r#"splits[0].ramp.start: "tomorrow" is not an RFC 3339 time: use the form "2026-11-20T10:00:00Z""#,
        ),
        (
            &split(
                r#""ramp": {"arm": "v2", "start": "2026-11-20T10:00:00Z", "steps": [{"after": "5m", "weight": 1}, {"after": "1m", "weight": 101}]}"#,
            ),
            "splits[0].ramp.steps[1].after: comes not after the step before: put the steps in order",
        ),
        (
            &split(r#""abort": {"arm": "v2", "baseline": "v2"}"#),
            "splits[0].abort.baseline: is the canary itself: name the arm it is compared with",
        ),
        (
            &split(r#""abort": {"arm": "v2", "baseline": "v1", "failures": ["4xx"]}"#),
            r#"splits[0].abort.failures[0]: "4xx" is not one of 5xx, reset, grpc"#,
        ),
        (
            &split(r#""abort": {"arm": "v2", "baseline": "v1", "falsePositiveRate": 0}"#),
            "splits[0].abort.falsePositiveRate: 0 is out of range: use a number from 1e-12 to 0.1",
        ),
        (
            &split(r#""sticky": []"#),
            "splits[0].sticky: unknown key; known keys here: name, match, salt, secretSalt, hash, arms, stickyBy, onMissingKey, cookie, force, rules, ramp, abort",
        ),
    ] {
        let found = problems(json);
        assert!(
            found.iter().any(|line| line == expected),
            "{expected}\n{found:#?}"
        );
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let found = problems(
        r#"{"splits": [
            {"name": "a", "arms": [{"value": "v1", "weight": "1"}, {"value": "v2"}], "rules": [{"match": {}, "value": "v1"}]},
            {"name": "a", "arms": [{"value": "v1", "weight": 50}, {"value": "v2", "weight": 30}, {"value": "v3", "weight": 20}],
             "ramp": {"arm": "v2", "start": "2026-11-20T10:00:00Z", "steps": [{"after": "0s", "weight": 81}]}}
        ]}"#,
    );
    assert_eq!(
        found,
        [
            "splits[0].arms[0].weight: is a string, must be a number from 0 to 2147483647",
            "splits[0].arms[1].weight: is required",
            "splits[1].ramp.steps[0].weight: is more than the first arm can give: the other arms leave 80 percent",
            "splits[1].name: \"a\" is the name of two splits: give each its own",
        ]
    );
}

#[cfg(not(target_arch = "wasm32"))]
proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = config::parse(&bytes, |value| Config::read(&value));
    }
}
