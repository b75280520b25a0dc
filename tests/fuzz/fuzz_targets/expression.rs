//! Any text is an expression or has a mistake at a column of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_telemetry::policy::cel::{identifiers, parse, shape, value_type};

fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(expression) => {
            let _ = shape(&expression);
            let _ = value_type(&expression);
            let _ = identifiers(&expression);
        }
        Err(error) => {
            let columns = 1..=text.chars().count() + 1;
            assert!(columns.contains(&error.column), "{error}");
        }
    }
});
