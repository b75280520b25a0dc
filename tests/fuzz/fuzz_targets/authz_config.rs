//! A configuration is refused or it compiles.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_authz_policy::config::Config;
use meshpack_sdk::config::parse;

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes, Config::read) {
        Ok(config) => {
            let rules: usize = config
                .policies
                .iter()
                .map(|policy| policy.rules.len())
                .sum();
            assert_eq!(config.compile().rules().count(), rules);
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
});
