//! JUnit XML: a suite per scenario and Envoy, a case per step.

use super::{Report, ScenarioReport};
use crate::verify::judge::{Check, StepReport};

/// The whole report.
pub(crate) fn render(report: &Report) -> String {
    let cases: usize = report.scenarios().map(cases).sum();
    let failures: usize = report.scenarios().map(failures).sum();
    let errors = report.scenarios().filter(|s| s.error.is_some()).count();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"meshpack verify\" tests=\"{cases}\" failures=\"{failures}\" errors=\"{errors}\">\n"
    );
    for suite in &report.suites {
        for scenario in &suite.scenarios {
            push_scenario(&mut xml, &suite.file, scenario);
        }
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn cases(scenario: &ScenarioReport) -> usize {
    scenario.steps.len() + usize::from(scenario.error.is_some())
}

fn failures(scenario: &ScenarioReport) -> usize {
    scenario.steps.iter().filter(|step| !step.passed()).count()
}

fn push_scenario(xml: &mut String, file: &str, scenario: &ScenarioReport) {
    let name = format!("{} (Envoy {})", scenario.name, scenario.envoy);
    xml.push_str(&format!(
        "  <testsuite name=\"{}\" file=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{}\">\n",
        escaped(&name),
        escaped(file),
        cases(scenario),
        failures(scenario),
        usize::from(scenario.error.is_some()),
        scenario.seconds
    ));
    for step in &scenario.steps {
        push_step(xml, &name, step);
    }
    if let Some(error) = &scenario.error {
        let first = error.lines().next().unwrap_or_default();
        xml.push_str(&format!(
            "    <testcase classname=\"{}\" name=\"Envoy runs\">\n      <error message=\"{}\">{}</error>\n    </testcase>\n",
            escaped(&name),
            escaped(first),
            escaped(error)
        ));
    }
    xml.push_str("  </testsuite>\n");
}

fn push_step(xml: &mut String, suite: &str, step: &StepReport) {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
        escaped(suite),
        escaped(&step.name),
        step.took.as_secs_f64()
    );
    let failed: Vec<&Check> = step.checks.iter().filter(|check| !check.passed).collect();
    if failed.is_empty() {
        xml.push_str(&format!("{head}/>\n"));
        return;
    }
    xml.push_str(&format!("{head}>\n"));
    // Readers of JUnit differ in how many failures of a case they show: one is safe.
    let names: Vec<&str> = failed.iter().map(|check| check.name.as_str()).collect();
    let mut body = String::new();
    for check in &failed {
        body.push_str(&format!(
            "{}\n  expected  {}\n  seen      {}\n",
            check.name, check.expected, check.seen
        ));
        for line in check.evidence.iter().chain(&check.advice) {
            body.push_str(&format!("  {line}\n"));
        }
    }
    for line in &step.log {
        body.push_str(&format!("  {line}\n"));
    }
    xml.push_str(&format!(
        "      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
        escaped(&format!("wrong: {}", names.join(", "))),
        escaped(&body)
    ));
}

/// Text for XML and HTML; characters that XML 1.0 cannot hold become U+FFFD.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => out.push(c),
            c if (c as u32) < 0x20 || c == '\u{fffe}' || c == '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
