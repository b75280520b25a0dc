//! Counters, series bounds and shared state on the mock host.

use meshpack_sdk::HostError;
use meshpack_sdk::metrics::{Counter, CounterFamily, Gauge};
use meshpack_sdk::mock::MockHost;
use meshpack_sdk::shared::{DataCounter, MetricCounter, SharedCounter, SharedData};

#[test]
fn a_family_never_has_more_series_than_its_cap_and_one() {
    MockHost::reset();
    let mut family = CounterFamily::new("requests_total", &["tenant"], 10);
    for index in 0..1000 {
        let tenant = format!("t{index}");
        family.with(&[tenant.as_bytes()]).unwrap().add(1);
    }
    let names = MockHost::metric_names();
    assert_eq!(names.len(), 11);
    assert!(names.contains(&"requests_totaltenant=.=other;.;".to_owned()));
}

#[test]
fn the_same_name_is_the_same_counter_and_counts_before_the_tick() {
    MockHost::reset();
    let first = Counter::define("same").unwrap();
    let second = Counter::define("same").unwrap();
    first.add(2);
    second.add(3);
    assert_eq!(first.total(), Ok(5));
    assert_eq!(MockHost::calls("increment_metric"), 0);
}

#[test]
fn gauges_move_both_ways() {
    MockHost::reset();
    let gauge = Gauge::define("weight").unwrap();
    gauge.set(5);
    gauge.add(-2);
    assert_eq!(gauge.value(), Ok(3));
}

#[test]
fn shared_counters_agree_whatever_keeps_them() {
    MockHost::reset();
    let data = SharedData::new("test");
    let kept: [Box<dyn SharedCounter>; 3] = [
        Box::new(MetricCounter::counter("c").unwrap()),
        Box::new(MetricCounter::gauge("g").unwrap()),
        Box::new(DataCounter::new(data.clone(), "d")),
    ];
    for counter in kept {
        counter.add(3).unwrap();
        counter.add(0).unwrap();
        counter.add(4).unwrap();
        assert_eq!(counter.total(), Ok(7));
    }
    assert!(
        MockHost::shared("meshpack.test.d").is_some(),
        "keys carry the plugin's name"
    );
}

#[test]
fn an_update_that_loses_every_race_gives_up_with_an_error() {
    MockHost::reset();
    let data = SharedData::new("test");
    data.set("k", b"1").unwrap();
    let mut tries = 0;
    let racing = data.clone();
    let lost = data.update("k", |_| {
        tries += 1;
        racing.set("k", b"other").unwrap();
        Some(b"mine".to_vec())
    });
    assert_eq!(lost, Err(HostError::CasMismatch));
    assert_eq!(tries, 64);
}

#[test]
fn statuses_that_the_stock_crate_cannot_hold_are_errors() {
    for (raw, expected) in [
        (5, HostError::BadExpression),
        (9, HostError::ResultMismatch),
        (12, HostError::Unimplemented),
        (77, HostError::Unknown(77)),
    ] {
        assert_eq!(HostError::check(raw), Err(expected));
    }
    assert_eq!(HostError::check(0), Ok(()));
}
