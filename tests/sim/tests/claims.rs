//! What the documentation says of the simulation holds, and its files are those
//! that the simulation writes.

use std::path::Path;
use std::sync::LazyLock;

use meshpack_sim::report::{LATENCIES, RATES};
use meshpack_sim::{Budget, Kind, Report, Scenario, run};

static REPORT: LazyLock<Report> = LazyLock::new(Report::simulate);

#[test]
fn the_committed_files_are_what_the_simulation_writes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulation");
    for (name, text) in REPORT.files() {
        let committed = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(
            committed == text,
            "docs/simulation/{name} is stale: run `cargo run -p meshpack-sim`"
        );
    }
}

#[test]
fn the_filters_page_shows_the_tables() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filters/retry-budget/README.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(&REPORT.comparison_table()));
    assert!(page.contains(&REPORT.settings_table()));
    assert!(page.contains("../../docs/simulation/retry-budgets.svg"));
}

#[test]
fn without_a_limit_an_outage_outlives_its_cause() {
    for latency in LATENCIES {
        let row = REPORT.compared(Kind::NoLimit, latency).unwrap();
        assert!(row.amplification > 2.8);
        assert_eq!(row.recovery_seconds, None);
    }
}

#[test]
fn ours_holds_its_percentage_at_every_latency_and_the_others_do_not() {
    let factors = |kind| LATENCIES.map(|l| REPORT.compared(kind, l).unwrap().amplification);
    for factor in factors(Kind::Reserve(Budget::SMALL_FLOOR)) {
        assert!((1.19..=1.21).contains(&factor), "{factor}");
    }
    let [fast, .., slow] = factors(Kind::Envoy);
    assert!(fast > 2.9 && slow < 1.4, "{fast}, {slow}");
    for factor in factors(Kind::Tower) {
        assert!(factor > 1.9, "{factor}");
    }
}

#[test]
fn ours_recovers_within_a_second() {
    for latency in LATENCIES {
        let row = REPORT.compared(Kind::Reserve(Budget::SMALL_FLOOR), latency);
        assert!(row.unwrap().recovery_seconds.is_some_and(|s| s <= 1));
    }
}

#[test]
fn transient_failures_are_still_retried() {
    for latency in [1, 10, 100] {
        let row = |kind| REPORT.compared(kind, latency).unwrap().success_before;
        let unlimited = row(Kind::NoLimit);
        let ours = row(Kind::Reserve(Budget::SMALL_FLOOR));
        assert!(unlimited - ours < 0.004, "{unlimited} {ours}");
    }
    // Long requests lock what they may need; settling afterwards does not.
    let slow = |kind| REPORT.compared(kind, 1000).unwrap().success_before;
    let settled = slow(Kind::Settle(Budget::SMALL_FLOOR));
    assert!(settled > slow(Kind::Reserve(Budget::SMALL_FLOOR)) + 0.01);
}

#[test]
fn a_floor_is_the_limit_of_a_small_service() {
    let [small, _, large] = RATES.map(|rate| {
        let row = REPORT.setting(Budget::DEFAULT, rate).unwrap();
        row.amplification
    });
    assert!(small > 2.9, "{small}");
    assert!(large < 1.21, "{large}");
}

#[test]
fn a_longer_interval_helps_a_small_service_and_makes_a_larger_burst() {
    let setting = |interval, rate| {
        let budget = Budget {
            interval,
            ..Budget::SMALL_FLOOR
        };
        REPORT.setting(budget, rate).unwrap()
    };
    assert!(setting(60, 1).success_before > setting(1, 1).success_before + 0.02);
    for rate in RATES {
        assert!(setting(60, rate).worst_second > setting(1, rate).worst_second + 0.5);
    }
}

#[test]
fn another_seed_tells_the_same_story() {
    for seed in [2, 3] {
        let scenario = Scenario {
            seed,
            ..Scenario::fleet(10_000)
        };
        let ours = run(&scenario, Kind::Reserve(Budget::SMALL_FLOOR));
        assert!((1.19..=1.21).contains(&ours.amplification()));
        assert!(ours.recovery().is_some_and(|s| s <= 1));
        assert_eq!(run(&scenario, Kind::NoLimit).recovery(), None);
    }
}
