//! A configuration of retry_budget is refused with its problems or read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_retry_budget::config::Config;
use meshpack_sdk::config::parse;

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes, |value| Config::read(&value)) {
        Ok(config) => {
            for (index, budget) in config.budgets.iter().enumerate() {
                let earlier = config.budgets.iter().take(index);
                assert!(earlier.into_iter().all(|other| other.name != budget.name));
            }
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
});
