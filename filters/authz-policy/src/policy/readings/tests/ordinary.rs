//! Paths that people and programs send for good reasons.

use super::disguises::Random;
use super::{Read, Readings, seed};

const WORDS: &[&str] = &[
    "users",
    "orders",
    "files",
    "a",
    "v1",
    "v2.1",
    "v1beta1",
    "1.2.3",
    "report.pdf",
    "index.html",
    "app.min.js",
    "jan.doe@example.com",
    "jan.doe%40example.com",
    "group%2Fproject",
    "my%20file.txt",
    "my+file",
    "caf%C3%A9",
    "café",
    "%E6%97%A5%E6%9C%AC",
    "日本",
    "~jan",
    "@scope",
    "a..b",
    "main...feature",
    ".well-known",
    ".git",
    "12345",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "SGVsbG8gd29ybGQ=",
    "SGVsbG8%3D",
    "a-_.~!$&'()*,:=",
    "100%25",
    "C%23",
    "What%3F",
    "a;v=1",
    "book;color=red;size=10",
    "jsessionid;x",
    "2026-12-01T08:00:00Z",
    "2026-12-01T08%3A00%3A00Z",
    "sha256:0a1b2c",
    "a,b,c",
    "(x)",
    "[id]",
    "%5Bid%5D",
    "{id}",
    "%7Bid%7D",
    "Report",
    "README.md",
    "x.php",
    "O'Neil",
    "x%2By",
    "a&b",
    "50%",
    "1+1",
    "=x",
    "ÄÖÜ",
    "İstanbul",
    "-",
    "_",
    "...",
    "a.",
    "#",
    "name.",
    "my-admin2",
    "x-admin",
    "badministrator.txt",
    "%2B49%20170%201234",
];

fn ordinary(random: &mut Random) -> String {
    let mut path = String::new();
    for _ in 0..=random.below(5) {
        path.push('/');
        let word = random.pick(WORDS);
        path += if word == "#" { "x" } else { word };
        if random.one_in(6) {
            path += random.pick(&["1", "-2", "%20copy", ".bak", ";v=2"]);
        }
    }
    if random.one_in(5) {
        path.push('/');
    }
    path
}

#[test]
fn ordinary_paths_are_neither_refused_nor_kept_out() {
    let seed = seed();
    let mut random = Random(seed);
    for _ in 0..20_000 {
        let path = ordinary(&mut random);
        let read = Read::new(&path);
        let readings = &read.readings;
        assert!(
            !readings.over(),
            "seed {seed}: {path}: {}",
            readings.all().count()
        );
        for guarded in [
            "/admin*",
            "/admin",
            "/admin/*",
            "/internal/{**}",
            "/secret.txt",
            "/metrics",
            "*/shutdown",
        ] {
            assert!(
                !read.refused(guarded),
                "seed {seed}: {guarded} refuses {path}"
            );
        }
        for allowed in ["/public*", "/public/*", "/public/{**}", "/*", "*"] {
            // Istio's templates know less of UTF-8 than prefixes do.
            if allowed.contains('{')
                && !path
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b"[]{}".contains(&b))
            {
                continue;
            }
            let path = format!("/public{path}");
            assert!(
                Read::new(&path).permitted(allowed),
                "seed {seed}: {allowed} keeps {path} out"
            );
        }
        let exact = format!("/public{path}");
        assert!(
            Read::new(&exact).permitted(&exact) || exact.contains(['{', '}', '*']),
            "seed {seed}: {exact}"
        );
    }
}

#[test]
fn most_paths_have_one_reading_and_odd_ones_a_handful() {
    let count = |path: &str| Readings::of_path(path.as_bytes()).all().count();
    for (path, most) in [
        ("/", 1),
        ("/api/v1/users/42", 1),
        ("/API/Users/", 1),
        ("/files/report.pdf", 1),
        ("/files/my%20report.pdf", 2),
        ("/projects/group%2Fproject/issues", 2),
        ("/a;v=1/b", 3),
        ("/.well-known/acme", 1),
        ("/caf%C3%A9", 2),
        ("/wiki/What%3F", 3),
    ] {
        assert!(count(path) <= most, "{path}: {}", count(path));
    }
}
