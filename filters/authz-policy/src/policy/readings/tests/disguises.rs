//! Disguises of a path: composed of known tricks, then changed at random.

/// A generator of numbers (splitmix64), so that a seed says everything.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

const SLASHES: &[&str] = &[
    "/", "//", "/./", "%2f", "%2F", "\\", "%5c", "/;/", "/;x/", "%252f", "/%2e/", "%c0%af",
    "%u002f", "/%3b/", "/;%2fx/", "/%2f", "///", "/.;/", "/%5c/", "/%09/",
];
const CLIMBS: &[&str] = &[
    "..",
    "%2e%2e",
    ".%2e",
    "..;",
    "..;x",
    ".%2e;",
    "%252e%252e",
    "..%3b",
    "%u002e%u002e",
    "..%00",
    "%c0%ae%c0%ae",
    ".%u002e",
    "..%2f",
    "..%5c",
    "..%09",
    "..%23",
    "..%3f",
];
const JUNK: &[&str] = &[
    "x",
    "x;y",
    ";x",
    "%3b",
    "%5c",
    "x%3f",
    "x%23",
    "%2500",
    "a%5cb",
    "a%252fb",
    "x%c0%afy",
    "",
    ".",
    "public",
    "x%2fy",
    "%252e",
    "x.php",
    "index.php",
    ";%2fx",
    "é",
    "a%20b",
    "a+b",
    "%3fx",
];
const ENDS: &[&str] = &[
    "",
    "",
    "",
    "/",
    "/.",
    ";x",
    "%2f",
    "%3f",
    "%23x",
    "%00",
    "%20",
    ".",
    "/..",
    "/x/..",
    "%2f..",
    "/%252e%252e",
    ";/x",
    "%3b",
    "//",
    "/%2e",
    "%3fx/../..",
    "/;x=/..",
    "%u002f",
];
const STARTS: &[&str] = &[
    "",
    "",
    "",
    "/",
    "//x",
    "/\\x",
    "/.//x",
    "http://x",
    "//x//y",
    "/;x",
    "/%2f",
    "/index.php",
    "///x",
    "//x%2fy",
    "/%09/x",
    "/./",
];
const ODD: &[&str] = &[
    "%2e",
    "%2f",
    ";",
    "%3b",
    "%5c",
    "\\",
    "/",
    ".",
    "%25",
    "%u002e",
    "%3f",
    "%23",
    "%00",
    "%09",
    "%c0%ae",
    "%61",
    "2e",
    "2f",
    "+",
    "%20",
    "%E2%84%AA",
    "..",
];

/// A path that some server may read as `target`, or as something else.
pub(super) fn disguise(target: &str, random: &mut Random) -> String {
    let mut out = random.pick(STARTS).to_owned();
    for _ in 0..random.below(3) {
        out += random.pick(SLASHES);
        out += random.pick(JUNK);
        if random.one_in(2) {
            for _ in 0..=random.below(2) {
                out += random.pick(SLASHES);
                out += random.pick(CLIMBS);
            }
        }
    }
    for segment in target.split('/').skip(1) {
        out += if random.one_in(3) {
            random.pick(SLASHES)
        } else {
            "/"
        };
        if random.one_in(8) {
            out += random.pick(JUNK);
            out += random.pick(SLASHES);
            out += random.pick(CLIMBS);
            out += random.pick(SLASHES);
        }
        for letter in segment.chars() {
            out += &hidden(letter, random);
        }
    }
    out += random.pick(ENDS);
    for _ in 0..random.below(3).saturating_sub(1) {
        mutate(&mut out, random);
    }
    if !out.starts_with('/') {
        out.insert(0, '/');
    }
    // Envoy ends the path there.
    let end = out.find(['?', '#']).unwrap_or(out.len());
    out.truncate(end);
    out
}

fn hidden(letter: char, random: &mut Random) -> String {
    let code = letter as u32;
    match random.below(60) {
        0 => format!("%{code:02x}"),
        1 => format!("%25{code:02X}"),
        2 => format!("%u{code:04x}"),
        3 => letter.to_ascii_uppercase().to_string(),
        4 if letter == 'i' => "%C4%B0".to_owned(),
        5 => format!("%{:02x}%{:02x}", 0xc0 | code >> 6, 0x80 | (code & 0x3f)),
        _ => letter.to_string(),
    }
}

fn mutate(path: &mut String, random: &mut Random) {
    let places: Vec<usize> = path.char_indices().map(|(at, _)| at).collect();
    if places.is_empty() {
        return;
    }
    let at = places[random.below(places.len())];
    match random.below(3) {
        0 => path.insert_str(at, random.pick(ODD)),
        1 => {
            path.remove(at);
        }
        _ => {
            let end = places[random.below(places.len())];
            if at < end {
                let part = path[at..end].to_owned();
                path.insert_str(at, &part);
            }
        }
    }
}
