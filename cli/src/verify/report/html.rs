//! A page that needs nothing but itself.

use super::chart;
use super::junit::escaped;
use super::text::plural;
use super::{Report, ScenarioReport};
use crate::verify::judge::{Check, StepReport};
use crate::verify::suite::bounds::seconds;

const STYLE: &str = "
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2.2rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}
section{border:1px solid #d5dbe3;border-left-width:6px;border-radius:4px;padding:.2rem 1rem 1rem;margin:1rem 0}
section.good{border-left-color:#2c8f5b}section.bad{border-left-color:#c23b3b}
table{border-collapse:collapse;width:100%;table-layout:fixed}th.mark{width:1.2rem}th.what{width:34%}td{overflow-wrap:anywhere}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-top:1px solid #e6eaef}
tr.bad td:first-child{color:#c23b3b;font-weight:600}tr.good td:first-child{color:#2c8f5b}
pre{background:#f4f6f9;padding:.6rem;overflow-x:auto;font-size:13px;margin:.3rem 0;white-space:pre-wrap}
.muted{color:#5d6978}svg{display:block;max-width:100%;height:auto}svg text{font:13px system-ui,sans-serif;fill:currentColor}
svg .muted{fill:#5d6978}svg line{stroke:#98a4b3}svg .range{fill:#cfd8e6}svg .good{fill:#2c8f5b}svg .bad{fill:#c23b3b}
@media(prefers-color-scheme:dark){body{color:#e3e8ee;background:#14181d}section{border-color:#343c46}td,th{border-color:#2a3038}pre{background:#1d232a}svg .range{fill:#3a4657}.muted{color:#98a4b3}svg .muted{fill:#98a4b3}}
";

/// The whole report.
pub(crate) fn render(report: &Report) -> String {
    let all = report.scenarios().count();
    let failed = report.scenarios().filter(|s| !s.passed()).count();
    let outcome = match failed {
        0 => format!("{} passed", plural(all, "scenario")),
        _ => format!("{failed} of {} failed", plural(all, "scenario")),
    };
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>meshpack verify: {outcome}</title><style>{STYLE}</style></head><body>\n<h1>{outcome}</h1>\n"
    );
    for suite in &report.suites {
        html.push_str(&format!(
            "<h2>{} <span class=\"muted\">{}</span></h2>\n",
            escaped(&suite.title),
            escaped(&suite.file)
        ));
        for scenario in &suite.scenarios {
            push_scenario(&mut html, scenario);
        }
    }
    html.push_str("</body></html>\n");
    html
}

fn push_scenario(html: &mut String, scenario: &ScenarioReport) {
    html.push_str(&format!(
        "<section class=\"{}\"><h3>{} <span class=\"muted\">Envoy {}, {}</span></h3>\n",
        class(scenario.passed()),
        escaped(&scenario.name),
        escaped(&scenario.envoy),
        seconds(scenario.seconds)
    ));
    if let Some(error) = &scenario.error {
        html.push_str(&format!("<pre>{}</pre>\n", escaped(error)));
    }
    for step in &scenario.steps {
        // A scenario that is its own step has said its name.
        if step.name != scenario.name {
            html.push_str(&format!("<h3>{}</h3>", escaped(&step.name)));
        }
        push_step(html, step);
    }
    html.push_str("</section>\n");
}

fn push_step(html: &mut String, step: &StepReport) {
    html.push_str(&format!(
        "<p class=\"muted\">{}, {} upstream, {}</p>\n",
        plural(step.requests, "request"),
        plural(step.attempts, "attempt"),
        seconds(step.took.as_secs_f64())
    ));
    for chart in step.checks.iter().filter_map(|check| check.chart.as_ref()) {
        html.push_str(&format!(
            "<p>{} <span class=\"muted\">{}</span></p>\n{}",
            escaped(&chart.title),
            chart::key(chart),
            chart::svg(chart)
        ));
    }
    html.push_str("<table><tr><th class=\"mark\"></th><th class=\"what\">expectation</th><th>expected</th><th>seen</th></tr>\n");
    for check in &step.checks {
        push_check(html, check);
    }
    html.push_str("</table>\n");
    if !step.log.is_empty() {
        html.push_str(&format!("<pre>{}</pre>\n", escaped(&step.log.join("\n"))));
    }
}

fn push_check(html: &mut String, check: &Check) {
    let mark = if check.passed { "✓" } else { "✗" };
    html.push_str(&format!(
        "<tr class=\"{}\"><td>{mark}</td><td>{}</td><td>{}</td><td>{}",
        class(check.passed),
        escaped(&check.name),
        escaped(&check.expected),
        escaped(&check.seen)
    ));
    if !check.evidence.is_empty() {
        html.push_str(&format!(
            "<pre>{}</pre>",
            escaped(&check.evidence.join("\n"))
        ));
    }
    if let Some(advice) = &check.advice {
        html.push_str(&format!("<p class=\"muted\">{}</p>", escaped(advice)));
    }
    html.push_str("</td></tr>\n");
}

fn class(passed: bool) -> &'static str {
    if passed { "good" } else { "bad" }
}
