//! A telemetry configuration, expressions included, is refused or usable.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_telemetry::config::parse;
use meshpack_telemetry::config::{histogram_buckets, label_names};
use meshpack_telemetry::policy::labels::{PACK_LABELS, check_label, check_metric_name};

fuzz_target!(|bytes: &[u8]| {
    let config = match parse(bytes) {
        Ok(config) => config,
        Err(problems) => return assert!(!problems.is_empty()),
    };
    let names = label_names(&config);
    for name in &names {
        if !PACK_LABELS.contains(&name.as_str()) {
            let others = names.iter().map(String::as_str);
            assert_eq!(
                check_label(name, others),
                Ok(()),
                "{name:?} breaks extraction"
            );
        }
    }
    for metric in &config.metrics {
        assert_eq!(check_metric_name(&metric.name), Ok(()));
    }
    for (metric, bounds) in histogram_buckets(&config) {
        let name = metric.strip_prefix("wasmcustom.").expect("Envoy's prefix");
        assert!(config.metrics.iter().any(|own| own.name == name));
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
    }
    assert!((2..=100_000).contains(&config.cardinality.max_series));
});
