//! A line chart.

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 880.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 260.0;
/// Largest value shown.
const MOST: f64 = 3.0;
/// Told apart in both colours and greys.
const COLORS: [&str; 6] = [
    "#b2182b", "#e08214", "#8073ac", "#92c5de", "#2166ac", "#1b7837",
];

/// Attempts per request over time, one line for each policy; the outage is
/// between two seconds.
#[must_use]
pub fn chart(lines: &[(String, Vec<f64>)], down: u64, up: u64) -> String {
    let seconds = lines.iter().map(|(_, line)| line.len()).max().unwrap_or(1);
    let x = |second: f64| LEFT + second / seconds as f64 * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - value.min(MOST) / MOST * (BOTTOM - TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let (from, to) = (x(down as f64), x(up as f64));
    out += &format!(
        "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#eeeeee\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">outage: every attempt fails</text>\n",
        to - from,
        BOTTOM - TOP,
        (from + to) / 2.0,
        TOP - 8.0,
    );
    for value in 0..=3 {
        let line = y(f64::from(value));
        out += &format!(
            "<line x1=\"{LEFT}\" y1=\"{line:.1}\" x2=\"{RIGHT}\" y2=\"{line:.1}\" stroke=\"#cccccc\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>\n",
            LEFT - 8.0,
            line + 4.0,
        );
    }
    for second in (0..=seconds).step_by(10) {
        out += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{second} s</text>\n",
            x(second as f64),
            BOTTOM + 18.0,
        );
    }
    out += &format!(
        "<text x=\"16\" y=\"{:.1}\" transform=\"rotate(-90 16 {:.1})\" text-anchor=\"middle\">attempts per request</text>\n",
        (TOP + BOTTOM) / 2.0,
        (TOP + BOTTOM) / 2.0,
    );
    for (index, (name, line)) in lines.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        // Every other line is dashed, so that two that coincide are both seen.
        let dashes = if index % 2 == 1 {
            " stroke-dasharray=\"8 6\""
        } else {
            ""
        };
        let points: Vec<String> = line
            .iter()
            .enumerate()
            .map(|(second, value)| format!("{:.1},{:.1}", x(second as f64 + 0.5), y(*value)))
            .collect();
        out += &format!(
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"3\"{dashes} points=\"{}\"/>\n",
            points.join(" ")
        );
        let legend = BOTTOM + 44.0 + 18.0 * index as f64;
        out += &format!(
            "<line x1=\"{LEFT}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{color}\" stroke-width=\"3\"{dashes}/>\n<text x=\"{:.1}\" y=\"{legend:.1}\">{name}</text>\n",
            legend - 4.0,
            LEFT + 30.0,
            legend - 4.0,
            LEFT + 40.0,
        );
    }
    out + "</svg>\n"
}
