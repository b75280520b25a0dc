//! The host's header encoding: what decodes encodes to the same headers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_sdk::{HeaderMap, encode_pairs};

fuzz_target!(|bytes: &[u8]| {
    let Some(map) = HeaderMap::decode(bytes) else {
        return;
    };
    let pairs: Vec<(&[u8], &[u8])> = map.iter().collect();
    for (name, value) in &pairs {
        assert!(map.get_all(name).any(|other| other == *value));
    }
    let again = encode_pairs(&pairs);
    let again = HeaderMap::decode(&again).expect("its own encoding");
    assert!(again.iter().eq(pairs.iter().copied()));
});
