//! Figures of one run, and the file that keeps them.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::rows::{BASELINE, PACK, Row, STOCK_CHAINED};

/// The cost table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) envoy: String,
    pub(crate) instructions_no_filter: f64,
    pub(crate) rows: Vec<Line>,
}

/// One row of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) group: String,
    pub(crate) name: String,
    /// Over no filter on the same routes; of a row without filters, over plain ones.
    pub(crate) instructions_over_no_filter: f64,
    pub(crate) at_most: Option<f64>,
}

impl Line {
    /// Within its bound, where it has one.
    pub(crate) fn met(&self) -> Option<bool> {
        self.at_most
            .map(|bound| self.instructions_over_no_filter <= bound)
    }
}

impl Cost {
    /// What was measured, each with the instructions per request; baselines included.
    pub(crate) fn new(measured: &[(&Row, f64)]) -> Result<Self> {
        let of = |name: &str| {
            let row = measured.iter().find(|(row, _)| row.name == name);
            row.map(|(_, figure)| *figure)
                .with_context(|| format!("{name:?} was not measured"))
        };
        let rows = measured.iter().map(|(row, figure)| {
            let against = if row.is_baseline() {
                BASELINE
            } else {
                row.chain.routes.baseline()
            };
            Ok(Line {
                group: row.group.to_owned(),
                name: row.name.to_owned(),
                instructions_over_no_filter: (figure - of(against)?).round(),
                at_most: row.at_most,
            })
        });
        Ok(Self {
            envoy: version(),
            instructions_no_filter: of(BASELINE)?.round(),
            rows: rows.collect::<Result<_>>()?,
        })
    }

    pub(crate) fn line(&self, name: &str) -> Option<&Line> {
        self.rows.iter().find(|line| line.name == name)
    }

    /// These figures, and those of `before` for rows of the table not measured now.
    pub(crate) fn over(mut self, before: &Self, table: &[Row]) -> Self {
        let of = |name| self.line(name).or_else(|| before.line(name)).cloned();
        self.rows = table.iter().filter_map(|row| of(row.name)).collect();
        self
    }

    /// What the pack costs of the same four on the stock SDK, in percent.
    pub(crate) fn pack_share(&self) -> Option<f64> {
        let over = |name| self.line(name).map(|line| line.instructions_over_no_filter);
        Some(100.0 * over(PACK)? / over(STOCK_CHAINED)?)
    }

    /// Names of rows over their bounds.
    pub(crate) fn missed(&self) -> Vec<&str> {
        let missed = self.rows.iter().filter(|line| line.met() == Some(false));
        missed.map(|line| line.name.as_str()).collect()
    }
}

/// Figures at several sizes of one thing, each over no filter at the same size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    /// What grows: `headers`, `policies`, `splits`, `labels`, `workers`.
    pub(crate) axis: String,
    pub(crate) name: String,
    pub(crate) points: Vec<(usize, f64)>,
}

impl Series {
    /// Instructions for each step of `step`, over the whole range.
    pub(crate) fn per(&self, step: usize) -> Option<f64> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        (last.0 > first.0).then(|| (last.1 - first.1) / (last.0 - first.0) as f64 * step as f64)
    }
}

/// The Envoy that is measured.
pub(crate) fn version() -> String {
    std::env::var("ENVOY_VERSION").unwrap_or_else(|_| meshpack_harness::DEFAULT_VERSION.to_string())
}

/// Reads a file of results; `None` when there is none or it has another form.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Writes a file of results.
pub(crate) fn write(path: &Path, results: &impl Serialize) -> Result<()> {
    write_text(path, &(serde_json::to_string_pretty(results)? + "\n"))
}

/// Writes any file of the report.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn line(name: &str, over: f64, at_most: Option<f64>) -> Line {
        Line {
            group: "group".to_owned(),
            name: name.to_owned(),
            instructions_over_no_filter: over,
            at_most,
        }
    }

    pub(crate) fn cost(rows: Vec<Line>) -> Cost {
        Cost {
            envoy: "1.40.0".to_owned(),
            instructions_no_filter: 150_000.0,
            rows,
        }
    }

    #[test]
    fn a_row_is_compared_with_no_filter_on_its_own_routes() {
        let rows = crate::rows::all();
        let measured: Vec<(&Row, f64)> = rows
            .iter()
            .map(|row| {
                let figure = match row.name {
                    "no filter" => 1000.0,
                    "no filter, the two routes of a canary" => 1100.0,
                    "canary, stock SDK" => 1500.0,
                    _ => 1200.0,
                };
                (row, figure)
            })
            .collect();
        let cost = Cost::new(&measured).unwrap();
        let over = |name| cost.line(name).unwrap().instructions_over_no_filter;
        assert_eq!(over("no filter, the two routes of a canary"), 100.0);
        assert_eq!(over("canary, stock SDK"), 400.0);
        assert_eq!(over("empty filter, stock SDK"), 200.0);
        let without = &measured[1..];
        assert!(Cost::new(without).is_err(), "no baseline, no figure");
    }

    #[test]
    fn rows_that_were_not_measured_keep_their_figures_in_the_order_of_the_table() {
        let before = cost(vec![
            line(PACK, 90.0, None),
            line("gone", 1.0, None),
            line(BASELINE, 0.0, None),
        ]);
        let now = cost(vec![line(PACK, 80.0, None)]);
        let whole = now.over(&before, &crate::rows::all());
        let names: Vec<_> = whole
            .rows
            .iter()
            .map(|l| (l.name.as_str(), l.instructions_over_no_filter))
            .collect();
        assert_eq!(names, [(BASELINE, 0.0), (PACK, 80.0)]);
    }

    #[test]
    fn growth_is_per_step_over_the_whole_range() {
        let series = |points: &[(usize, f64)]| Series {
            axis: "headers".to_owned(),
            name: "a".to_owned(),
            points: points.to_vec(),
        };
        assert_eq!(
            series(&[(10, 100.0), (20, 150.0), (40, 220.0)]).per(10),
            Some(40.0)
        );
        assert_eq!(series(&[(10, 100.0)]).per(10), None);
    }
}
