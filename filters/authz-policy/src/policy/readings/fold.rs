//! Letters without their case.

use super::encoding::push_character;

/// Lower case, for the alphabets that have two in two-byte UTF-8, and for the
/// characters beyond ASCII that some language's case rules turn into an ASCII
/// letter: the dotted and the dotless i, the long s, the Kelvin sign.
pub(crate) fn folded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (0xc3..=0xd1, [next @ 0x80..=0xbf, after @ ..]) => {
                let code = u16::from(first & 0x1f) << 6 | u16::from(next & 0x3f);
                push_character(lower(code), &mut out);
                after
            }
            (0xe2, [0x84, 0xaa, after @ ..]) => {
                out.push(b'k');
                after
            }
            _ => {
                out.push(first.to_ascii_lowercase());
                tail
            }
        };
    }
    out
}

/// One character from U+00C0 to U+047F.
fn lower(code: u16) -> u16 {
    match code {
        0x130 | 0x131 => u16::from(b'i'),
        0x17f => u16::from(b's'),
        0xd7 | 0x138 | 0x149 | 0x3a2 => code,
        0x178 => 0xff,
        0xc0..=0xde | 0x391..=0x3a9 | 0x410..=0x42f => code + 32,
        0x400..=0x40f => code + 80,
        0x139..=0x148 | 0x179..=0x17e => code + (code & 1),
        0x100..=0x177 | 0x460..=0x47f => code | 1,
        _ => code,
    }
}
