use std::sync::Arc;
use std::time::Duration;

use meshpack_harness::{ClientError, Recorded, Response};
use meshpack_sdk::config;

use super::*;
use crate::verify::run::seen::{Access, Answer, Attempt, Measured};
use crate::verify::suite::expect::Expect;
use crate::verify::suite::traffic::Traffic;

fn read<T>(json: &str, read: impl FnOnce(&config::Value<'_>) -> Option<T>) -> T {
    config::parse(json.as_bytes(), |v| read(&v)).unwrap()
}

/// An answer `status` from `upstream` (`""`: from Envoy) after so many attempts.
fn answer(n: usize, status: u16, upstream: &str, attempts: usize) -> Answer {
    let mut headers = http::HeaderMap::new();
    if !upstream.is_empty() {
        headers.insert("x-upstream", upstream.parse().unwrap());
    }
    let attempt = Attempt {
        upstream: upstream.to_owned(),
        request: Arc::new(Recorded::default()),
    };
    Answer {
        n,
        latency: Duration::from_millis(3),
        result: Ok(Response {
            status,
            headers,
            body: "RBAC: access denied".into(),
            trailers: None,
        }),
        attempts: vec![attempt; attempts],
        access: Some(Access {
            details: "rbac_access_denied_matched_policy[none]".to_owned(),
            flags: "UAEX".to_owned(),
        }),
    }
}

fn judge(traffic: &str, expect: &str, seen: Seen) -> StepReport {
    let upstreams = ["v1".to_owned(), "v2".to_owned()];
    let judged = Step {
        name: "step".to_owned(),
        upstreams: Vec::new(),
        pause: Duration::ZERO,
        traffic: Some(read(traffic, Traffic::read)),
        expect: read(expect, |v| Expect::read(v, &upstreams)),
    };
    step(&judged, &seen)
}

fn seen(answers: Vec<Answer>) -> Seen {
    Seen {
        answers,
        ..Seen::default()
    }
}

/// `v2` answers every tenth of `count` requests, `v1` the others.
fn a_tenth_to_v2(count: usize) -> Seen {
    let upstream = |n| if n % 10 == 0 { "v2" } else { "v1" };
    seen(
        (1..=count)
            .map(|n| answer(n, 200, upstream(n), 1))
            .collect(),
    )
}

#[test]
fn a_wrong_status_shows_the_request_and_envoys_reason() {
    let report = judge(
        r#"{"path": "/admin/{n}", "host": "shop", "headers": {"x-team": "web"}, "count": 2}"#,
        r#"{"status": 200}"#,
        seen(vec![answer(1, 200, "v1", 1), answer(2, 403, "", 0)]),
    );
    assert!(!report.passed());
    let check = &report.checks[0];
    assert_eq!(check.seen, "200 for 1, 403 for 1 (of 2 requests)");
    assert_eq!(
        check.evidence,
        [
            "request 2: GET /admin/2 host shop, x-team: web",
            "answer: 403, because rbac_access_denied_matched_policy[none] [UAEX], body \"RBAC: access denied\", after 3 ms, reached no upstream",
        ]
    );
}

#[test]
fn a_request_without_an_answer_is_none_of_the_statuses() {
    let mut lost = answer(1, 200, "v1", 1);
    lost.result = Err(ClientError::Timeout(Duration::from_secs(1)));
    let report = judge("{}", r#"{"status": 200}"#, seen(vec![lost]));
    assert_eq!(report.checks[0].seen, "no answer");
    assert!(report.checks[0].evidence[1].contains("no complete answer within 1s"));
}

#[test]
fn a_share_without_a_tolerance_may_be_what_chance_explains() {
    let judge = |expect| judge(r#"{"count": 1000}"#, expect, a_tenth_to_v2(1000));
    assert!(judge(r#"{"shares": {"v1": 90, "v2": 10}}"#).passed());
    assert!(judge(r#"{"shares": {"v1": 92, "v2": 8}}"#).passed());
    let wrong = judge(r#"{"shares": {"v1": 95, "v2": 5}}"#);
    let check = &wrong.checks[0];
    assert!(!check.passed);
    assert_eq!(check.seen, "v1 90 % (900 of 1000), v2 10 % (100 of 1000)");
    assert!(
        check.expected.contains("v2 5 % (by chance 2.9 to 7.4 %)"),
        "{}",
        check.expected
    );
}

#[test]
fn a_tolerance_that_chance_breaks_is_told_even_when_it_holds() {
    let tight = |count| {
        judge(
            &format!(r#"{{"count": {count}}}"#),
            r#"{"shares": {"v1": 90, "v2": {"percent": 10, "tolerance": 1}}}"#,
            a_tenth_to_v2(count),
        )
    };
    let report = tight(500);
    assert!(report.passed());
    let advice = report.checks[0].advice.clone().unwrap();
    assert!(advice.contains("too tight for 500"), "{advice}");
    assert!(advice.contains("send about 9800"), "{advice}");
    assert_eq!(tight(20_000).checks[0].advice, None);
}

#[test]
fn an_exact_share_is_doubted_only_when_it_is_missed() {
    let judge = |percent: u32| {
        let rest = 100 - percent;
        let expect = format!(
            r#"{{"shares": {{"v1": {rest}, "v2": {{"percent": {percent}, "tolerance": 0}}}}}}"#
        );
        judge("{}", &expect, a_tenth_to_v2(1000)).checks[0].clone()
    };
    assert!(judge(10).passed && judge(10).advice.is_none());
    assert!(!judge(11).passed && judge(11).advice.is_some());
}

#[test]
fn users_who_come_again_are_no_further_evidence() {
    let traffic = r#"{"path": "/{user}", "users": 10, "count": 1000}"#;
    let report = judge(
        traffic,
        r#"{"shares": {"v1": 75, "v2": 25}}"#,
        a_tenth_to_v2(1000),
    );
    assert!(report.passed(), "{:?}", report.checks);
}

#[test]
fn a_place_that_nobody_mentioned_spoils_shares_that_are_the_whole() {
    let mut all = a_tenth_to_v2(100);
    all.answers.push(answer(101, 503, "", 0));
    let whole = judge("{}", r#"{"shares": {"v1": 90, "v2": 10}}"#, all);
    assert!(!whole.passed());
    assert!(
        whole.checks[0]
            .seen
            .ends_with("(no upstream) 0.99 % (1 of 101)"),
        "{:?}",
        whole.checks[0]
    );
}

#[test]
fn a_user_who_moves_is_named() {
    let answers = vec![
        answer(1, 200, "v1", 1),
        answer(2, 200, "v1", 1),
        answer(3, 200, "v2", 1),
        answer(4, 200, "v1", 1),
    ];
    let report = judge(
        r#"{"path": "/{user}", "users": 2, "count": 4}"#,
        r#"{"sticky": true}"#,
        seen(answers),
    );
    let check = &report.checks[0];
    assert_eq!(check.seen, "1 of 2 users met several");
    assert_eq!(check.evidence[2], "user 1 met v1 and v2");
}

#[test]
fn attempts_are_counted_one_by_one_and_together() {
    let answers = (1..=10).map(|n| answer(n, 503, "v1", if n == 10 { 3 } else { 1 }));
    let report = judge(
        r#"{"count": 10}"#,
        r#"{"attempts": {"atMost": 2}, "amplification": {"atMost": 1.2}}"#,
        seen(answers.collect()),
    );
    let [each, all] = report.checks.as_slice() else {
        panic!("{:?}", report.checks)
    };
    assert!(!each.passed);
    assert!(
        each.evidence[1].contains("3 attempts: v1, v1, v1"),
        "{:?}",
        each.evidence
    );
    assert!(all.passed);
    assert_eq!(all.seen, "1.2 (12 attempts for 10 requests)");
}

#[test]
fn a_metric_is_judged_by_its_growth() {
    let metric = r#"{"metrics": [{"name": "m_total", "labels": {"a": "b"}, "increase": 5}]}"#;
    let report = |after| {
        let metrics = vec![Measured {
            before: Some(2.0),
            after,
            similar: vec!["m_totals".to_owned()],
        }];
        judge(
            "{}",
            metric,
            Seen {
                metrics,
                ..Seen::default()
            },
        )
    };
    assert!(report(Some(7.0)).passed());
    let wrong = report(Some(6.0));
    assert_eq!(wrong.checks[0].name, "metric m_total{a=\"b\"}");
    assert_eq!(wrong.checks[0].seen, "grew by 4 (from 2 to 6)");
    let missing = report(None);
    assert_eq!(missing.checks[0].seen, "no such series");
    assert_eq!(missing.checks[0].evidence, ["there are:", "  m_totals"]);
}

#[test]
fn the_log_of_a_failed_step_keeps_what_plugins_said() {
    let log = "[1][info][main] [a.cc:1] started\n[1][warning][wasm] [context.cc:1] wasm log vm: canary_split: aborted\n";
    let all = Seen {
        answers: vec![answer(1, 503, "", 0)],
        log: log.to_owned(),
        ..Seen::default()
    };
    let report = judge(
        "{}",
        r#"{"status": 200, "log": ["canary_split: aborted"]}"#,
        all,
    );
    assert!(report.checks[1].passed);
    assert_eq!(report.log, ["canary_split: aborted"]);
}
