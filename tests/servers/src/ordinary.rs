//! Ordinary paths: what people and programs send all day, and what a guard of
//! `/admin*` must never refuse.

use crate::Rng;

/// `count` paths of `seed`, none of them in the guarded area.
#[must_use]
pub fn generate(seed: u64, count: usize) -> Vec<String> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| path(&mut rng)).collect()
}

fn path(rng: &mut Rng) -> String {
    let mut out = String::new();
    for level in 0..=rng.below(7) {
        out.push('/');
        let segment = segment(rng);
        if level == 0 && segment.starts_with("%2F") {
            // Two slashes at the start are an authority to some, which is not ordinary.
            out.push_str("files");
        } else if level > 1 && !out.contains(".php") && rng.percent(3) {
            // Not at the beginning, where it is guarded, nor behind a script, which may
            // find its pages by what follows its name.
            out.push_str("admin");
        } else {
            out.push_str(&segment);
        }
    }
    if rng.percent(20) {
        out.push('/');
    }
    if rng.percent(20) {
        out.push_str(rng.pick(QUERIES));
    }
    out
}

const QUERIES: &[&str] = &[
    "?",
    "?page=2",
    "?q=a%2Fb&next=/admin",
    "?path=../../etc",
    "?u=http://a.test/x;y?z",
    "?a;b",
    "?x=%00",
    "?e=%E2%82%AC",
];

const WORDS: &[&str] = &[
    "users",
    "items",
    "orders",
    "api",
    "v1",
    "v2.3",
    "public",
    "static",
    "assets",
    "img",
    "css",
    "wiki",
    "blog",
    "search",
    "Products",
    "Users",
    "README.md",
    "index.html",
    "app.min.js",
    "archive.tar.gz",
    "a..b",
    "1.0.0..1.2.0",
    "main...feature",
    "~alice",
    "~",
    "@types",
    "@",
    "$metadata",
    "$batch",
    "_next",
    "-",
    "...",
    "x.",
    ".well-known",
    ".git-blame-ignore-revs",
    "acme-challenge",
    "robots.txt",
    "favicon.ico",
    "1.0-SNAPSHOT",
    "jquery@3.7.1",
    "items:batchGet",
    "Products(1)",
    "Users('o''brien')",
    "a,b,c",
    "51.5,-0.12",
    "a+b",
    "c++",
    "a=b",
    "a&b",
    "wp-content",
    "2026-12-01",
    "2026-12-01T07:00:00Z",
    "12:30",
    "urn:isbn:0451450523",
    "tel:+15551234",
    "0",
    "null",
    "*",
    "latest!",
    "feed.atom",
    "sitemap_index.xml",
    "graphql",
    "healthz",
    "index.php",
];

/// Text that a client has to encode, one of each use.
const ENCODED: &[&str] = &[
    "annual%20report",
    "a%20b%20c.pdf",
    "100%25",
    "50%25%20off",
    "c%23",
    "f%23-sharp",
    "who%3F",
    "what%3f",
    "r%26d",
    "a%2Bb",
    "%40types%2Fnode",
    "@scope%2fpackage",
    "feature%2Fnew-login",
    "refs%2Fheads%2Fmain",
    "group%2Fsub%2Fproject",
    "https%3A%2F%2Fexample.com%2Fa%2Fb",
    "https:%2F%2Fexample.com",
    "CORP%5Calice",
    "caf%C3%A9",
    "CAF%C3%89",
    "caf%E9",
    "%E6%97%A5%E6%9C%AC%E8%AA%9E",
    "%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82",
    "%F0%9F%9A%80",
    "%C4%B0stanbul",
    "na%C3%AFve",
    "stra%C3%9Fe",
    "%E2%82%AC",
    "2026-12-01T07%3A00%3A00%2B01%3A00",
    "%7B%22a%22%3A1%7D",
    "%5B1%5D",
    "a%7Cb",
    "key%3Dvalue",
    "a%3Bb",
    "%22quoted%22",
    "x%2Cy",
    "tom%27s",
    "Users('a%2Fb')",
    "%7Ealice",
    "a%2Eb",
    "line%0Abreak",
    "tab%09",
    "a%2F%2Fb",
    "arn%3Aaws%3Aiam%3A%3A123%3Auser%2Falice",
    "sha256%3Aabc",
    "%24filter",
    "%2Fabsolute",
    "trailing%2F",
];

const PARAMETERS: &[&str] = &[
    ";v=1",
    ";color=red;year=2012",
    ";jsessionid=0A1B2C3D4E",
    ";lang=de",
    ";lat=50;long=20",
    ";a=b,c",
    ";type=a%2Fb",
    ";",
];

fn segment(rng: &mut Rng) -> String {
    match rng.below(20) {
        0..=8 => rng.pick(WORDS).to_owned(),
        9..=12 => rng.pick(ENCODED).to_owned(),
        13 | 14 => [rng.pick(WORDS), rng.pick(PARAMETERS)].concat(),
        15 => format!("{}.{}%2Bnews@example.com", rng.pick(WORDS), rng.pick(WORDS)),
        16 => base64(rng),
        17 => format!(
            "{:08x}-{:04x}-4{:03x}",
            rng.below(1 << 32),
            rng.below(1 << 16),
            rng.below(1 << 12)
        ),
        18 => rng.below(100_000_000).to_string(),
        _ => encoded_text(rng),
    }
}

/// Base64 as it comes, percent-encoded or in the alphabet for URLs.
fn base64(rng: &mut Rng) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let way = rng.below(3);
    let mut out = String::new();
    for _ in 0..4 + rng.below(40) {
        let letter = ALPHABET[rng.below(64)];
        match (letter, way) {
            (b'+', 0) => out.push_str("%2B"),
            (b'/', 0) => out.push_str("%2F"),
            (b'+', 1) => out.push('-'),
            (b'/', 1 | 2) => out.push('_'),
            _ => out.push(char::from(letter)),
        }
    }
    out.push_str(["%3D%3D", "", "=="][way]);
    out
}

/// Any text, encoded as `encodeURIComponent` does.
fn encoded_text(rng: &mut Rng) -> String {
    // Dots at the beginning, alone or before what cuts a path, would be a step, which is
    // not ordinary.
    let mut text = String::from("z");
    for _ in 0..1 + rng.below(12) {
        text.push(match rng.below(6) {
            0 => char::from_u32(0xa0 + rng.below(0x500) as u32).unwrap_or('x'),
            1 => char::from_u32(0x4e00 + rng.below(0x2000) as u32).unwrap_or('x'),
            2 => char::from(b' ' + rng.below(15) as u8),
            _ => char::from(b'a' + rng.below(26) as u8),
        });
    }
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ordinary_path_is_guarded() {
        for path in generate(7, 20_000) {
            let lower = path.to_lowercase();
            assert!(!lower.starts_with("/admin"), "{path}");
            assert!(!lower.starts_with("/api/admin"), "{path}");
        }
    }
}
