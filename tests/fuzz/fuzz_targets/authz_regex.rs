//! Any expression is refused or matches in bounded time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_authz_policy::policy::regex::Regex;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let pattern = parts.next().unwrap_or_default();
    let text = parts.next().unwrap_or_default();
    if let Ok(pattern) = std::str::from_utf8(pattern)
        && let Ok(regex) = Regex::new(pattern)
    {
        let _ = regex.matches(text);
        let _ = regex.matches(b"");
    }
});
