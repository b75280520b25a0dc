//! Path templates and readings of paths.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_authz_policy::policy::model::Compare;
use meshpack_authz_policy::policy::path::PathPattern;
use meshpack_authz_policy::policy::readings::{MOST, MOST_BYTES, Readings};
use meshpack_sdk::matching::PathTemplate;
use meshpack_telemetry::policy::path_template::{Operations, UNMATCHED};

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let pattern = parts.next().unwrap_or_default();
    let path = parts.next().unwrap_or_default();
    let readings = Readings::of_path(path);
    assert!(readings.all().count() <= MOST);
    assert!(readings.all().map(<[u8]>::len).sum::<usize>() <= MOST_BYTES);
    assert!(readings.over() || readings.all().next().is_some());
    let Ok(pattern) = std::str::from_utf8(pattern) else {
        return;
    };
    if let Ok(template) = PathTemplate::parse(pattern)
        && template.matches(path)
    {
        assert!(path.starts_with(template.literal_prefix().as_bytes()));
    }
    let mut operations = Operations::default();
    if operations.push(pattern).is_ok() {
        let name = operations.name(path);
        assert!(name == pattern || name == UNMATCHED);
    }
    let matches = |compare| PathPattern::new(pattern, compare).matches(path, Some(&readings));
    let raw = matches(Compare::AsSent);
    assert!(
        !raw || matches(Compare::Any),
        "the wider reading takes less"
    );
    assert!(
        raw || !matches(Compare::All),
        "the narrower reading takes more"
    );
});
