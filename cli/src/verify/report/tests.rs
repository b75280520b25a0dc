use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::verify::judge::{Bar, Chart};

fn report(passed: bool) -> Report {
    let check = Check {
        name: "shares by <upstream>".to_owned(),
        passed,
        expected: "v1 95 %".to_owned(),
        seen: "v1 90 % & \"more\"".to_owned(),
        evidence: vec!["request 1: GET /\u{1}".to_owned()],
        advice: Some("too tight".to_owned()),
        chart: Some(Chart {
            title: "shares".to_owned(),
            unit: "%",
            bars: vec![Bar {
                label: "v1".to_owned(),
                seen: 90.0,
                low: Some(93.0),
                high: Some(97.0),
            }],
        }),
    };
    let step = StepReport {
        name: "step".to_owned(),
        requests: 10,
        attempts: 12,
        took: Duration::from_millis(1500),
        statuses: BTreeMap::from([("200".to_owned(), 10)]),
        upstreams: BTreeMap::from([("v1".to_owned(), 10)]),
        checks: vec![check],
        log: vec!["wasm: <said>".to_owned()],
    };
    let scenario = ScenarioReport {
        name: "canary".to_owned(),
        envoy: "1.40.0".to_owned(),
        seconds: 2.5,
        steps: vec![step],
        error: None,
    };
    Report {
        suites: vec![SuiteReport {
            title: "Payments".to_owned(),
            file: "payments.yaml".to_owned(),
            scenarios: vec![scenario],
        }],
    }
}

#[test]
fn the_text_says_what_was_expected_and_what_was_seen() {
    let report = report(false);
    let text = text::scenario(&report.suites[0].scenarios[0]);
    assert_eq!(
        text,
        "
  ✗ canary  (Envoy 1.40.0, 2.5 s)
    ✗ step
      10 requests in 1.5 s; 200: 10; from v1: 10; 12 attempts upstream
      ✗ shares by <upstream>
        expected  v1 95 %
        seen      v1 90 % & \"more\"
        request 1: GET /\u{1}
        beware: too tight
      Envoy's log:
        wasm: <said>
"
    );
    assert_eq!(
        text::summary(&report),
        "\n1 of 1 scenario failed, 1 of 1 expectation\n"
    );
}

#[test]
fn junit_counts_and_escapes() {
    let xml = junit::render(&report(false));
    assert!(
        xml.contains("tests=\"1\" failures=\"1\" errors=\"0\""),
        "{xml}"
    );
    assert!(xml.contains("wrong: shares by &lt;upstream&gt;"), "{xml}");
    assert!(xml.contains("GET /\u{fffd}"), "{xml}");
    let passed = junit::render(&report(true));
    assert!(!passed.contains("<failure"), "{passed}");
}

#[test]
fn an_envoy_that_does_not_start_is_an_error_in_junit() {
    let mut report = report(true);
    report.suites[0].scenarios[0].error = Some("no <start>\nbecause".to_owned());
    assert!(!report.passed());
    let xml = junit::render(&report);
    assert!(
        xml.contains("tests=\"2\" failures=\"0\" errors=\"1\""),
        "{xml}"
    );
    assert!(
        xml.contains("<error message=\"no &lt;start&gt;\">"),
        "{xml}"
    );
}

#[test]
fn the_page_needs_nothing_from_outside_and_draws_the_range() {
    let html = html::render(&report(false));
    for outside in ["http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("1 of 1 scenario failed"), "{html}");
    assert!(html.contains("expected: 93 to 97 %"), "{html}");
    assert!(html.contains("shares by &lt;upstream&gt;"), "{html}");
}

#[test]
fn the_machine_form_has_every_number() {
    let json = serde_json::to_value(report(false)).unwrap();
    let step = &json["suites"][0]["scenarios"][0]["steps"][0];
    assert_eq!(step["seconds"], 1.5);
    assert_eq!(step["checks"][0]["passed"], false);
    assert_eq!(step["checks"][0]["chart"]["bars"][0]["seen"], 90.0);
}
