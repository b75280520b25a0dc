//! SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012):
//! without the key, what it says of one input says nothing about others. The
//! bucketing of feature-flag services is no such function, whatever its salt: its
//! state behind the salt is 32 bits, which a few known answers give away.

/// The 64-bit hash of `bytes` under `key`.
#[must_use]
pub(crate) fn siphash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let [k0, k1] = key;
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        compress(&mut state, word(chunk));
    }
    let length = (bytes.len() as u64) << 56;
    compress(&mut state, length | word(chunks.remainder()));
    let [_, _, v2, _] = &mut state;
    *v2 ^= 0xff;
    (0..4).for_each(|_| round(&mut state));
    state.iter().fold(0, |all, v| all ^ v)
}

/// At most eight bytes, little-endian.
fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

fn compress(state: &mut [u64; 4], word: u64) {
    let [_, _, _, v3] = state;
    *v3 ^= word;
    round(state);
    round(state);
    let [v0, ..] = state;
    *v0 ^= word;
}

fn round([v0, v1, v2, v3]: &mut [u64; 4]) {
    *v0 = v0.wrapping_add(*v1);
    *v1 = v1.rotate_left(13) ^ *v0;
    *v0 = v0.rotate_left(32);
    *v2 = v2.wrapping_add(*v3);
    *v3 = v3.rotate_left(16) ^ *v2;
    *v0 = v0.wrapping_add(*v3);
    *v3 = v3.rotate_left(21) ^ *v0;
    *v2 = v2.wrapping_add(*v1);
    *v1 = v1.rotate_left(17) ^ *v2;
    *v2 = v2.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use super::*;

    #[test]
    #[allow(deprecated)]
    fn it_is_the_standard_librarys() {
        let bytes: Vec<u8> = (0..100_u32).map(|byte| ((byte * 37) ^ 5) as u8).collect();
        for length in 0..bytes.len() {
            for key in [
                [0, 0],
                [7, u64::MAX],
                [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908],
            ] {
                let mut reference = std::hash::SipHasher::new_with_keys(key[0], key[1]);
                reference.write(&bytes[..length]);
                assert_eq!(siphash(key, &bytes[..length]), reference.finish());
            }
        }
    }
}
