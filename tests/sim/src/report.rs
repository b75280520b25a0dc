//! The comparison and the advice as JSON, tables and a drawing.

use std::fmt::Write as _;

use serde::Serialize;

use crate::policy::Budget;
use crate::{Kind, Outcome, Scenario, run, svg};

/// Latencies compared, in milliseconds.
pub const LATENCIES: [u64; 4] = [1, 10, 100, 1000];

/// Requests a second of one proxy, from a small service to a large one.
pub const RATES: [u64; 3] = [1, 10, 100];

/// Settings tried on each of [`RATES`].
pub const SETTINGS: [Budget; 7] = [
    Budget::DEFAULT,
    Budget::SMALL_FLOOR,
    Budget {
        interval: 1,
        ..Budget::SMALL_FLOOR
    },
    Budget {
        interval: 60,
        ..Budget::SMALL_FLOOR
    },
    Budget {
        percent: 10,
        ..Budget::SMALL_FLOOR
    },
    Budget {
        percent: 40,
        ..Budget::SMALL_FLOOR
    },
    Budget {
        percent: 0,
        interval: 10,
        floor: (1, 1),
    },
];

/// All that is simulated.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The policies at each latency, 1000 proxies of 10 requests a second.
    pub comparison: Vec<Row>,
    /// Settings of ours (mode reserve) at each rate, latency 10 ms.
    pub settings: Vec<Row>,
    #[serde(skip)]
    drawn: Vec<(String, Vec<f64>)>,
}

/// One policy in one scenario.
#[derive(Debug, Serialize)]
pub struct Row {
    #[serde(skip)]
    kind: Kind,
    /// The policy.
    pub policy: String,
    /// Requests a second of one proxy.
    pub rate: u64,
    /// Mean latency of the backend, in milliseconds.
    pub latency_ms: u64,
    /// Share of requests that succeed while a tenth of the attempts fails.
    pub success_before: f64,
    /// Attempts per request while all fail.
    pub amplification: f64,
    /// The same in the worst second.
    pub worst_second: f64,
    /// Seconds from the end of the outage until 99 % succeed; null for never.
    pub recovery_seconds: Option<usize>,
}

impl Row {
    fn new(kind: Kind, scenario: &Scenario, outcome: &Outcome) -> Self {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        Self {
            kind,
            policy: kind.to_string(),
            rate: scenario.rate,
            latency_ms: scenario.latency / 1000,
            success_before: round(outcome.success_before()),
            amplification: round(outcome.amplification()),
            worst_second: round(outcome.worst_second()),
            recovery_seconds: outcome.recovery(),
        }
    }
}

/// The latency at which the load is drawn.
const DRAWN_LATENCY: u64 = 10;

impl Report {
    /// Runs everything.
    #[must_use]
    pub fn simulate() -> Self {
        let mut report = Self {
            comparison: Vec::new(),
            settings: Vec::new(),
            drawn: Vec::new(),
        };
        for kind in Kind::COMPARED {
            for latency in LATENCIES {
                let scenario = Scenario::fleet(latency * 1000);
                let outcome = run(&scenario, kind);
                report.comparison.push(Row::new(kind, &scenario, &outcome));
                if latency == DRAWN_LATENCY {
                    report.drawn.push((kind.to_string(), outcome.load()));
                }
            }
        }
        for budget in SETTINGS {
            for rate in RATES {
                let (scenario, kind) = (Scenario::service(rate), Kind::Reserve(budget));
                let outcome = run(&scenario, kind);
                report.settings.push(Row::new(kind, &scenario, &outcome));
            }
        }
        report
    }

    /// The compared policy at a latency.
    #[must_use]
    pub fn compared(&self, kind: Kind, latency_ms: u64) -> Option<&Row> {
        let same = |row: &&Row| row.kind == kind && row.latency_ms == latency_ms;
        self.comparison.iter().find(same)
    }

    /// The setting at a rate.
    #[must_use]
    pub fn setting(&self, budget: Budget, rate: u64) -> Option<&Row> {
        let same = |row: &&Row| row.kind == Kind::Reserve(budget) && row.rate == rate;
        self.settings.iter().find(same)
    }

    /// The results as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The comparison as a Markdown table, one row for each policy.
    #[must_use]
    pub fn comparison_table(&self) -> String {
        let mut out = String::from(
            "| latency 1 / 10 / 100 / 1000 ms | attempts per request in the outage | in its worst second | success before, a tenth of attempts failing | 99 % succeed again after |\n|---|---|---|---|---|\n",
        );
        for kind in Kind::COMPARED {
            let rows = LATENCIES.map(|latency| self.compared(kind, latency));
            push_row(&mut out, &kind.to_string(), &rows);
        }
        out
    }

    /// The settings as a Markdown table, one row for each.
    #[must_use]
    pub fn settings_table(&self) -> String {
        let mut out = String::from(
            "| 1 / 10 / 100 requests a second per proxy | attempts per request in the outage | in its worst second | success before, a tenth of attempts failing | 99 % succeed again after |\n|---|---|---|---|---|\n",
        );
        for budget in SETTINGS {
            let rows = RATES.map(|rate| self.setting(budget, rate));
            push_row(&mut out, &budget.to_string(), &rows);
        }
        out
    }

    /// The load over time, as a drawing.
    #[must_use]
    pub fn svg(&self) -> String {
        let scenario = Scenario::fleet(DRAWN_LATENCY * 1000);
        svg::chart(
            &self.drawn,
            scenario.before,
            scenario.before + scenario.outage,
        )
    }

    /// The files of the report: name and text.
    #[must_use]
    pub fn files(&self) -> [(&'static str, String); 4] {
        [
            ("retry-budgets.json", self.json()),
            ("retry-budgets.md", self.comparison_table()),
            ("retry-budget-settings.md", self.settings_table()),
            ("retry-budgets.svg", self.svg()),
        ]
    }
}

fn push_row(out: &mut String, name: &str, rows: &[Option<&Row>]) {
    let join = |cell: &dyn Fn(&Row) -> String| {
        let cells: Vec<String> = rows.iter().flatten().map(|row| cell(row)).collect();
        cells.join(" / ")
    };
    let amplification = join(&|row| format!("{:.2}", row.amplification));
    let worst = join(&|row| format!("{:.2}", row.worst_second));
    let success = join(&|row| format!("{:.1} %", 100.0 * row.success_before));
    let recovery = join(&|row| match row.recovery_seconds {
        Some(seconds) => format!("{seconds} s"),
        None => "never".to_owned(),
    });
    let _ = writeln!(
        out,
        "| {name} | {amplification} | {worst} | {success} | {recovery} |"
    );
}
