//! A configuration of canary_split is refused with its problems or read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_canary_split::config::Config;
use meshpack_sdk::config::parse;

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes, |value| Config::read(&value)) {
        Ok(config) => {
            for split in &config.splits {
                assert!(
                    !split.arms.is_empty()
                        && split.rule_arms.iter().all(|arm| *arm < split.arms.len())
                );
            }
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
});
