//! The report that a person reads in a terminal or a pipeline's log.

use super::{Report, ScenarioReport, SuiteReport};
use crate::verify::judge::{Check, StepReport};
use crate::verify::suite::bounds::seconds;

/// What stands above a file's scenarios.
pub(crate) fn heading(suite: &SuiteReport) -> String {
    if suite.title == suite.file {
        format!("{}\n", suite.file)
    } else {
        format!("{} ({})\n", suite.title, suite.file)
    }
}

/// A scenario that has run.
pub(crate) fn scenario(scenario: &ScenarioReport) -> String {
    let mut text = format!(
        "\n  {} {}  (Envoy {}, {})\n",
        mark(scenario.passed()),
        scenario.name,
        scenario.envoy,
        seconds(scenario.seconds)
    );
    for step in &scenario.steps {
        // The only step of a scenario bears its name.
        if step.name != scenario.name || scenario.steps.len() > 1 {
            text.push_str(&format!("    {} {}\n", mark(step.passed()), step.name));
        }
        text.push_str(&format!("      {}\n", traffic(step)));
        for check in &step.checks {
            text.push_str(&self::check(check));
        }
        if !step.log.is_empty() {
            text.push_str("      Envoy's log:\n");
            for line in &step.log {
                text.push_str(&format!("        {line}\n"));
            }
        }
    }
    if let Some(error) = &scenario.error {
        for line in error.lines() {
            text.push_str(&format!("      {line}\n"));
        }
    }
    text
}

fn traffic(step: &StepReport) -> String {
    if step.requests == 0 {
        return "no requests".to_owned();
    }
    let counts = |counts: &std::collections::BTreeMap<String, usize>| {
        let parts: Vec<String> = counts.iter().map(|(k, n)| format!("{k}: {n}")).collect();
        parts.join(", ")
    };
    let mut text = format!(
        "{} in {}; {}",
        plural(step.requests, "request"),
        seconds(step.took.as_secs_f64()),
        counts(&step.statuses)
    );
    if !step.upstreams.is_empty() {
        text.push_str(&format!("; from {}", counts(&step.upstreams)));
    }
    if step.attempts != step.requests {
        text.push_str(&format!("; {} upstream", plural(step.attempts, "attempt")));
    }
    text
}

fn check(check: &Check) -> String {
    if check.passed {
        let mut text = format!("      ✓ {}: {}\n", check.name, check.seen);
        if let Some(advice) = &check.advice {
            text.push_str(&format!("        beware: {advice}\n"));
        }
        return text;
    }
    let mut text = format!("      ✗ {}\n", check.name);
    text.push_str(&format!("        expected  {}\n", check.expected));
    text.push_str(&format!("        seen      {}\n", check.seen));
    for line in &check.evidence {
        text.push_str(&format!("        {line}\n"));
    }
    if let Some(advice) = &check.advice {
        text.push_str(&format!("        beware: {advice}\n"));
    }
    text
}

/// The last line: how much failed.
pub(crate) fn summary(report: &Report) -> String {
    let scenarios = report.scenarios().count();
    let failed = report.scenarios().filter(|s| !s.passed()).count();
    let checks = report.checks().count();
    let wrong = report.checks().filter(|check| !check.passed).count();
    if failed == 0 {
        format!(
            "\n{} passed, {}\n",
            plural(scenarios, "scenario"),
            plural(checks, "expectation")
        )
    } else {
        format!(
            "\n{failed} of {} failed, {wrong} of {}\n",
            plural(scenarios, "scenario"),
            plural(checks, "expectation")
        )
    }
}

fn mark(passed: bool) -> &'static str {
    if passed { "✓" } else { "✗" }
}

pub(super) fn plural(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
