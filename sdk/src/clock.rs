//! Time and randomness from the host; the mock host lets tests set both.

use std::time::Duration;

use crate::host::abi;

/// Wall-clock time since the Unix epoch. One scalar host call.
#[must_use]
pub fn now() -> Duration {
    abi::now().unwrap_or_default()
}

/// 64 random bits, seeded per worker by the operating system.
///
/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014): not for secrets, but free of a host call per request.
#[must_use]
pub fn random() -> u64 {
    STATE.with(|state| {
        let mut seed = state.get();
        if seed == 0 || cfg!(not(target_arch = "wasm32")) {
            seed = abi::random();
        }
        let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(seed);
        let mut mixed = seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// 64 bits straight from the operating system, for identifiers that a client
/// must not be able to predict.
#[must_use]
pub fn secure_random() -> u64 {
    abi::random()
}

thread_local! {
    static STATE: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}
