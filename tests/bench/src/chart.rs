//! Charts for the pages.

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{IntoSegmentedCoord as _, Ranged, SegmentValue};
use plotters::prelude::*;

use crate::results::{Cost, Series};
use crate::rows::{BASELINE, OURS};

/// Told apart in colour and in grey.
const COLORS: [RGBColor; 6] = [
    RGBColor(33, 102, 172),
    RGBColor(178, 24, 43),
    RGBColor(27, 120, 55),
    RGBColor(224, 130, 20),
    RGBColor(128, 115, 172),
    RGBColor(80, 80, 80),
];

/// Bars longer than this many thousand instructions are cut, and say how long they are.
const LONGEST: f64 = 320.0;

const LINE_HEIGHT: u32 = 24;

/// A bar for each row, ours beside its peers, with the bounds as black strokes.
pub(crate) fn bars(cost: &Cost) -> Result<String> {
    let lines: Vec<_> = cost
        .rows
        .iter()
        .filter(|line| !line.name.starts_with(BASELINE))
        .collect();
    let height = 90 + LINE_HEIGHT * u32::try_from(lines.len())?;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (960, height)).into_drawing_area();
        root.fill(&WHITE).map_err(drawing)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .set_label_area_size(LabelAreaPosition::Left, 330)
            .set_label_area_size(LabelAreaPosition::Bottom, 40)
            .build_cartesian_2d(0.0..LONGEST + 40.0, (0..lines.len()).into_segmented())
            .map_err(drawing)?;
        let name = |at: &SegmentValue<usize>| match at {
            SegmentValue::CenterOf(index) | SegmentValue::Exact(index) => {
                // The first row is at the top.
                let line = lines
                    .len()
                    .checked_sub(index + 1)
                    .and_then(|n| lines.get(n));
                line.map_or(String::new(), |line| line.name.clone())
            }
            SegmentValue::Last => String::new(),
        };
        chart
            .configure_mesh()
            .max_light_lines(1)
            .disable_y_mesh()
            .y_labels(lines.len())
            .y_label_formatter(&name)
            .x_desc("thousand instructions per request over no filter (black stroke: bound)")
            .draw()
            .map_err(drawing)?;
        for (index, line) in lines.iter().rev().enumerate() {
            let thousands = line.instructions_over_no_filter / 1000.0;
            let color = if line.at_most.is_some() || OURS.contains(&line.name.as_str()) {
                COLORS[0]
            } else {
                RGBColor(170, 170, 170)
            };
            let end = thousands.clamp(0.0, LONGEST);
            let (low, high) = (SegmentValue::Exact(index), SegmentValue::Exact(index + 1));
            let mut bar = Rectangle::new([(0.0, low.clone()), (end, high.clone())], color.filled());
            bar.set_margin(4, 4, 0, 0);
            chart.draw_series([bar]).map_err(drawing)?;
            if let Some(bound) = line.at_most {
                let stroke = [(bound / 1000.0, low), (bound / 1000.0, high)];
                chart
                    .draw_series([PathElement::new(stroke, BLACK.stroke_width(2))])
                    .map_err(drawing)?;
            }
            let label = format!("{thousands:+.1}k");
            let past = line.at_most.map_or(end, |bound| end.max(bound / 1000.0));
            let at = EmptyElement::at((past, SegmentValue::CenterOf(index)))
                + Text::new(label, (6, -6), ("sans-serif", 13));
            chart.draw_series([at]).map_err(drawing)?;
        }
        root.present().map_err(drawing)?;
    }
    Ok(svg)
}

/// A line for each series of one axis; sizes by powers of ten get a logarithmic axis.
pub(crate) fn lines(axis: &str, series: &[&Series]) -> Result<String> {
    let points = || series.iter().flat_map(|one| one.points.iter().copied());
    let least = points().map(|point| point.0).min().unwrap_or(0).max(1);
    let most = points()
        .map(|point| point.0)
        .max()
        .unwrap_or(1)
        .max(least + 1);
    // Room for the legend above the lines.
    let room = 1.1 + 0.08 * series.len() as f64;
    let highest = points().map(|point| point.1).fold(1.0, f64::max) / 1000.0 * room;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (720, 380)).into_drawing_area();
        root.fill(&WHITE).map_err(drawing)?;
        let mut builder = ChartBuilder::on(&root);
        builder
            .margin(14)
            .set_label_area_size(LabelAreaPosition::Left, 64)
            .set_label_area_size(LabelAreaPosition::Bottom, 44);
        if most / least >= 100 {
            let range = (least as f64..most as f64).log_scale();
            let chart = builder
                .build_cartesian_2d(range, 0.0..highest)
                .map_err(drawing)?;
            plot(chart, axis, series)?;
        } else {
            let from = points().map(|point| point.0).min().unwrap_or(0) as f64;
            let chart = builder
                .build_cartesian_2d(from..most as f64, 0.0..highest)
                .map_err(drawing)?;
            plot(chart, axis, series)?;
        }
        root.present().map_err(drawing)?;
    }
    Ok(svg)
}

type Canvas<'a, 'b, X> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, plotters::coord::types::RangedCoordf64>>;

fn plot<'a, 'b: 'a, X>(mut chart: Canvas<'a, 'b, X>, axis: &str, series: &[&Series]) -> Result<()>
where
    X: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64> + 'a,
{
    chart
        .configure_mesh()
        .max_light_lines(1)
        .x_desc(axis)
        .y_desc("thousand instructions per request")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .draw()
        .map_err(drawing)?;
    for (one, color) in series.iter().zip(COLORS.iter().cycle()) {
        let points: Vec<(f64, f64)> = one
            .points
            .iter()
            .map(|(size, over)| (*size as f64, over / 1000.0))
            .collect();
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))
            .map_err(drawing)?
            .label(one.name.clone())
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
        let dots = points
            .into_iter()
            .map(|point| Circle::new(point, 3, color.filled()));
        chart.draw_series(dots).map_err(drawing)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()
        .map_err(drawing)?;
    Ok(())
}

fn drawing(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw the chart: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{cost, line};

    #[test]
    fn every_row_has_a_bar_with_its_name_and_figure() {
        let svg = bars(&cost(vec![
            line("no filter", 0.0, None),
            line("ours", 20_500.0, Some(22_000.0)),
            line("theirs & others", 783_800.0, None),
        ]))
        .unwrap();
        for text in ["ours", "theirs &amp; others", "+20.5k", "+783.8k"] {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn every_series_has_a_line_and_a_legend() {
        let series = |name: &str, points: &[(usize, f64)]| Series {
            axis: "policies".to_owned(),
            name: name.to_owned(),
            points: points.to_vec(),
        };
        let (ours, theirs) = (
            series("ours", &[(1, 20_000.0), (10_000, 21_000.0)]),
            series("theirs", &[(1, 8_000.0), (1000, 700_000.0)]),
        );
        let svg = lines("policies", &[&ours, &theirs]).unwrap();
        // Axis ticks are lines of width 1.
        let width = |width: &str| svg.matches(&format!("stroke-width=\"{width}\"")).count();
        assert_eq!((width("2"), width("3")), (2, 2), "lines, legends");
        assert!(svg.contains("ours") && svg.contains("theirs"));
        assert!(lines("labels", &[&series("flat", &[(0, 0.0)])]).is_ok());
    }
}
