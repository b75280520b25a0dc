//! Disguised paths: the guarded resource written in ways that some server may read as
//! its path, and that a policy may not.
//!
//! A disguise is drawn from a grammar: an opening, a detour (segments, and as many
//! steps up), the resource, an ending; every separator, step and letter is drawn from
//! the spellings in `parts`. A third of them is then changed at random places, and
//! another part is made of two by crossing them, or of one that was found before.

mod corpus;
mod parts;

pub use corpus::corpus;

use crate::Rng;

/// A target as it stands in the request line.
pub type Disguise = Vec<u8>;

/// `count` disguises of `seed`, some of them twice.
#[must_use]
pub fn generate(seed: u64, count: usize) -> Vec<Disguise> {
    let mut rng = Rng::new(seed);
    let found = corpus();
    let mut disguises: Vec<Disguise> = Vec::with_capacity(count);
    while disguises.len() < count {
        let disguise = match rng.below(10) {
            0..=5 => compose(&mut rng),
            6 | 7 => {
                let base = compose(&mut rng);
                mutate(&mut rng, base)
            }
            8 if !found.is_empty() => {
                let base = found[rng.below(found.len())].clone();
                mutate(&mut rng, base)
            }
            _ if disguises.len() > 1 => {
                let first = &disguises[rng.below(disguises.len())];
                let second = &disguises[rng.below(disguises.len())];
                cross(&mut rng, first, second)
            }
            _ => continue,
        };
        disguises.push(writable(disguise));
    }
    disguises
}

/// What ends a request line or a token of it cannot be part of a target.
fn writable(mut disguise: Disguise) -> Disguise {
    disguise.retain(|byte| !matches!(byte, b' ' | b'\r' | b'\n' | 0));
    if disguise.is_empty() {
        disguise.push(b'/');
    }
    disguise
}

fn compose(rng: &mut Rng) -> Disguise {
    // Below the public area as often as not: that is where permissions look.
    let public = rng.percent(40);
    let resource = rng.pick(parts::RESOURCES);
    // How hard it tries: most servers decode few things at a time.
    let effort = [5, 15, 35][rng.below(3)];
    let mut out = Vec::new();

    if rng.percent(15) {
        out.extend_from_slice(rng.pick(parts::OPENINGS).as_bytes());
    }
    let mut depth = 0;
    if public {
        separator(rng, &mut out, effort / 3);
        spell(rng, &mut out, "public", effort / 3);
        depth += 1;
    }
    for _ in 0..[0, 0, 1, 1, 2, 3][rng.below(6)] {
        separator(rng, &mut out, effort);
        out.extend_from_slice(rng.pick(parts::SEGMENTS).as_bytes());
        depth += 1;
    }
    // As many steps up as segments, or nearly: what counts as one is what servers differ in.
    let steps = match rng.below(8) {
        0 => depth + 1,
        1 => usize::saturating_sub(depth, 1),
        _ => depth,
    };
    for _ in 0..steps {
        separator(rng, &mut out, effort);
        step(rng, &mut out, effort * 2);
    }
    for name in resource.split('/') {
        if rng.percent(4) {
            separator(rng, &mut out, effort);
            out.extend_from_slice(rng.pick(parts::SEGMENTS).as_bytes());
            if rng.percent(70) {
                separator(rng, &mut out, effort);
                step(rng, &mut out, effort * 2);
            }
        }
        separator(rng, &mut out, effort);
        spell(rng, &mut out, name, effort);
    }
    if rng.percent(25) {
        out.extend_from_slice(rng.pick(parts::ENDINGS).as_bytes());
    }
    out
}

fn separator(rng: &mut Rng, out: &mut Disguise, effort: usize) {
    let text = if rng.percent(effort) {
        rng.pick(parts::SEPARATORS)
    } else {
        "/"
    };
    out.extend_from_slice(text.as_bytes());
}

fn step(rng: &mut Rng, out: &mut Disguise, effort: usize) {
    let text = if rng.percent(effort) {
        rng.pick(parts::STEPS)
    } else {
        ".."
    };
    out.extend_from_slice(text.as_bytes());
}

/// `name` with some of its letters spelt otherwise.
fn spell(rng: &mut Rng, out: &mut Disguise, name: &str, effort: usize) {
    if !rng.percent(effort) {
        out.extend_from_slice(name.as_bytes());
        return;
    }
    let way = rng.below(9);
    let upper = rng.percent(50);
    for byte in name.bytes() {
        let plain = match way {
            // Some ways change every letter, others one in three.
            0 | 1 => false,
            _ => !rng.percent(33),
        };
        if plain {
            out.push(byte);
            continue;
        }
        let text = match way {
            1 | 2 if byte.is_ascii_alphabetic() => {
                char::from(byte).to_ascii_uppercase().to_string()
            }
            3 => format!("%25{byte:02x}"),
            4 => format!("%u{byte:04x}"),
            // Two bytes where one would do.
            5 => format!("%{:02x}%{:02x}", 0xc0 | (byte >> 6), 0x80 | (byte & 0x3f)),
            6 => parts::likeness(byte, rng).to_owned(),
            _ if upper => format!("%{byte:02X}"),
            _ => format!("%{byte:02x}"),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Changes one to three places.
fn mutate(rng: &mut Rng, mut out: Disguise) -> Disguise {
    for _ in 0..=rng.below(3) {
        if out.is_empty() {
            break;
        }
        let at = rng.below(out.len());
        match rng.below(9) {
            0 => {
                out.remove(at);
            }
            1 => {
                let byte = out[at];
                out.insert(at, byte);
            }
            // Encoded once more, whatever it is.
            2 | 3 => {
                let text = format!("%{:02x}", out[at]);
                out.splice(at..=at, text.bytes());
            }
            4 => {
                if let Some(percent) = out.iter().skip(at).position(|byte| *byte == b'%') {
                    let percent = at + percent + 1;
                    out.splice(percent..percent, *b"25");
                }
            }
            5 => out[at] = out[at].to_ascii_uppercase(),
            6 => {
                // A part of it twice.
                let end = at + rng.below(out.len() - at) + 1;
                let part: Vec<u8> = out[at..end].to_vec();
                out.splice(at..at, part);
            }
            7 => out[at] = *rng.pick(&parts::BYTES.iter().collect::<Vec<_>>()),
            _ => {
                let token = match rng.below(4) {
                    0 => rng.pick(parts::STEPS),
                    1 => rng.pick(parts::ENDINGS),
                    2 => rng.pick(parts::SEGMENTS),
                    _ => rng.pick(parts::SEPARATORS),
                };
                out.splice(at..at, token.bytes());
            }
        }
        out.truncate(400);
    }
    out
}

/// The beginning of one and the end of the other, each cut at a slash.
fn cross(rng: &mut Rng, first: &[u8], second: &[u8]) -> Disguise {
    let cut = |rng: &mut Rng, path: &[u8]| {
        let slashes: Vec<usize> = (0..path.len()).filter(|at| path[*at] == b'/').collect();
        if slashes.is_empty() {
            0
        } else {
            slashes[rng.below(slashes.len())]
        }
    };
    let (end, start) = (cut(rng, first), cut(rng, second));
    let mut out = [&first[..end], &second[start..]].concat();
    out.truncate(400);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_round() {
        assert_eq!(generate(3, 500), generate(3, 500));
        assert_ne!(generate(3, 500), generate(4, 500));
    }

    #[test]
    fn disguises_fit_into_a_request_line() {
        for disguise in generate(5, 20_000) {
            let broken = |byte: &u8| matches!(byte, b' ' | b'\r' | b'\n' | 0);
            assert!(!disguise.is_empty() && !disguise.iter().any(broken));
        }
    }

    #[test]
    fn every_spelling_is_drawn() {
        let all = generate(6, 40_000).join(&b'\n');
        for spelling in [
            parts::SEPARATORS,
            parts::STEPS,
            parts::SEGMENTS,
            parts::ENDINGS,
            parts::OPENINGS,
        ]
        .concat()
        {
            let spelling = spelling.replace(' ', "");
            let drawn = all
                .windows(spelling.len().max(1))
                .any(|window| window == spelling.as_bytes());
            assert!(spelling.is_empty() || drawn, "{spelling}");
        }
    }
}
