//! Bar charts as SVG: what was seen, over the range it should be in.

use super::junit::escaped;
use crate::verify::judge::{Bar, Chart};
use crate::verify::suite::bounds::number;

const WIDTH: f64 = 760.0;
const LABELS: f64 = 190.0;
const VALUES: f64 = 200.0;
const ROW: f64 = 28.0;
const TOP: f64 = 8.0;

/// What the colours of a chart mean.
pub(crate) fn key(chart: &Chart) -> &'static str {
    let expects = |bar: &Bar| bar.low.is_some() || bar.high.is_some();
    match (chart.bars.iter().any(expects), chart.unit) {
        (false, _) => "",
        (true, "%") => "bar: seen, grey: expected",
        (true, _) => "bar: seen, grey: expected, line: one per request",
    }
}

/// A chart as an `svg` element that needs nothing from outside.
pub(crate) fn svg(chart: &Chart) -> String {
    let plot = WIDTH - LABELS - VALUES;
    let scale = full_scale(chart);
    let x = |value: f64| LABELS + plot * (value / scale).clamp(0.0, 1.0);
    let height = TOP * 2.0 + ROW * chart.bars.len() as f64;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{}\">\n",
        escaped(&chart.title)
    );
    for (index, bar) in chart.bars.iter().enumerate() {
        let y = TOP + ROW * index as f64;
        push_row(&mut svg, bar, y, chart.unit, scale, &x);
    }
    push_line(&mut svg, LABELS, height);
    if chart.unit != "%" {
        push_line(&mut svg, x(1.0), height);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where a scale begins, or a value worth knowing is.
fn push_line(svg: &mut String, x: f64, height: f64) {
    let bottom = height - TOP / 2.0;
    svg.push_str(&format!(
        "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>\n",
        TOP / 2.0
    ));
}

/// What a bar should be, in words.
fn expected(bar: &Bar) -> Option<String> {
    match (bar.low, bar.high) {
        (Some(low), Some(high)) if (low - high).abs() < 1e-9 => Some(number(low)),
        (Some(low), Some(high)) => Some(format!("{} to {}", number(low), number(high))),
        (Some(low), None) => Some(format!("at least {}", number(low))),
        (None, Some(high)) => Some(format!("at most {}", number(high))),
        (None, None) => None,
    }
}

fn push_row(svg: &mut String, bar: &Bar, y: f64, unit: &str, scale: f64, x: &impl Fn(f64) -> f64) {
    let middle = y + ROW / 2.0;
    let class = if fits(bar) { "good" } else { "bad" };
    let expected = expected(bar);
    if let Some(expected) = &expected {
        let (low, high) = (x(bar.low.unwrap_or(0.0)), x(bar.high.unwrap_or(scale)));
        // A range of nothing is still to be seen.
        let width = (high - low).max(2.0);
        svg.push_str(&format!(
            "<rect class=\"range\" x=\"{low:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\"><title>expected: {expected} {unit}</title></rect>\n",
            y + 2.0,
            ROW - 4.0,
        ));
    }
    svg.push_str(&format!(
        "<rect class=\"{class}\" x=\"{LABELS}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\n",
        middle - 5.0,
        (x(bar.seen) - LABELS).max(1.0),
        10.0
    ));
    svg.push_str(&format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
        LABELS - 8.0,
        middle + 4.0,
        escaped(&short(&bar.label))
    ));
    svg.push_str(&format!(
        "<text x=\"{:.1}\" y=\"{:.1}\">{} {unit}{}</text>\n",
        WIDTH - VALUES + 8.0,
        middle + 4.0,
        number(bar.seen),
        expected.map_or(String::new(), |range| format!(
            " <tspan class=\"muted\">({range})</tspan>"
        ))
    ));
}

fn fits(bar: &Bar) -> bool {
    bar.low.is_none_or(|low| bar.seen >= low - 1e-9)
        && bar.high.is_none_or(|high| bar.seen <= high + 1e-9)
}

/// Percentages go to 100; other numbers a little beyond the largest.
fn full_scale(chart: &Chart) -> f64 {
    if chart.unit == "%" {
        return 100.0;
    }
    let numbers = chart
        .bars
        .iter()
        .flat_map(|bar| [Some(bar.seen), bar.low, bar.high]);
    numbers.flatten().fold(1.0, f64::max) * 1.1
}

fn short(label: &str) -> String {
    if label.chars().count() <= 22 {
        return label.to_owned();
    }
    label.chars().take(21).chain(['…']).collect()
}
