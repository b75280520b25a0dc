//! Path templates and canonical paths.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_authz_policy::core::model::Compare;
use meshpack_authz_policy::core::path::{PathPattern, canonical};
use meshpack_sdk::matching::PathTemplate;
use meshpack_telemetry::path_template::{Operations, UNMATCHED};

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let pattern = parts.next().unwrap_or_default();
    let path = parts.next().unwrap_or_default();
    let plain = canonical(path);
    assert!(plain.starts_with(b"/"));
    if !plain.contains(&b'%') {
        assert_eq!(
            canonical(&plain),
            plain,
            "a canonical path is its own canonical form"
        );
    }
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
    let matches = |compare| PathPattern::new(pattern, compare).matches(path, Some(&plain));
    let raw = matches(Compare::AsSent);
    assert!(
        !raw || matches(Compare::Either),
        "the wider reading takes less"
    );
    assert!(
        raw || !matches(Compare::Both),
        "the narrower reading takes more"
    );
});
