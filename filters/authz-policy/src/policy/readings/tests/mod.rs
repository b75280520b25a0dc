//! Readings held against models of servers, and against ordinary paths.

mod disguises;
mod models;
mod ordinary;

use super::{MOST, MOST_BYTES, Readings};
use crate::policy::model::Compare;
use crate::policy::path::PathPattern;
use disguises::{Random, disguise};
use models::{MODELS, Model};

/// Fixed, so that a test that passes goes on to; another comes from the
/// environment.
fn seed() -> u64 {
    let given = std::env::var("MESHPACK_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or(13)
}

/// Patterns that guard something, and the path that a client wants to reach.
const GUARDED: &[(&str, &str)] = &[
    ("/admin*", "/admin/secret.txt"),
    ("/admin/*", "/admin/secret.txt"),
    ("/api/admin*", "/api/admin/keys"),
    ("/admin", "/admin"),
    ("/admin/secret.txt", "/admin/secret.txt"),
    ("*/secret.txt", "/admin/secret.txt"),
    ("/api/{*}/keys", "/api/admin/keys"),
    ("/api/{**}/keys", "/api/a/b/keys"),
];

/// A path with its readings.
struct Read<'a> {
    path: &'a [u8],
    readings: Readings,
}

impl<'a> Read<'a> {
    fn new(path: &'a str) -> Self {
        let path = path.as_bytes();
        Self {
            path,
            readings: Readings::of_path(path),
        }
    }

    /// Whether a refusal with this pattern takes it.
    fn refused(&self, pattern: &str) -> bool {
        PathPattern::new(pattern, Compare::Any).matches(self.path, Some(&self.readings))
    }

    /// Whether a permission with this pattern takes it.
    fn permitted(&self, pattern: &str) -> bool {
        PathPattern::new(pattern, Compare::All).matches(self.path, Some(&self.readings))
    }
}

/// Whether a path that a server looks up is what a pattern, as Istio takes it,
/// is about. A slash at its end changes nothing for most servers.
fn is_guarded(model: &Model, pattern: &str, read: &str) -> bool {
    let read = if model.ignores_case {
        read.to_lowercase()
    } else {
        read.to_owned()
    };
    let pattern = PathPattern::new(pattern, Compare::AsSent);
    [read.as_str(), read.trim_end_matches('/')]
        .iter()
        .any(|read| pattern.matches(read.as_bytes(), None))
}

#[test]
fn no_disguise_that_a_model_serves_gets_past_a_refusal() {
    let seed = seed();
    let mut random = Random(seed);
    let (mut reached, mut passed) = (0, Vec::new());
    for round in 0..120_000 {
        let (pattern, target) = GUARDED[round % GUARDED.len()];
        let path = disguise(target, &mut random);
        let mut refused = None;
        for model in MODELS {
            let Some(read) = (model.read)(&path).filter(|r| is_guarded(model, pattern, r)) else {
                continue;
            };
            reached += 1;
            if !*refused.get_or_insert_with(|| Read::new(&path).refused(pattern)) {
                passed.push(format!("{pattern}: {path} is {read} to {}", model.name));
            }
        }
    }
    passed.sort();
    assert!(
        passed.is_empty(),
        "seed {seed}: {} pass: {:?}",
        passed.len(),
        &passed[..passed.len().min(20)]
    );
    assert!(
        reached > 50_000,
        "seed {seed}: only {reached} reach what is guarded"
    );
}

#[test]
fn no_disguise_that_a_model_reads_elsewhere_gets_a_permission() {
    let seed = seed() + 1;
    let mut random = Random(seed);
    let (mut tried, mut passed) = (0, Vec::new());
    for round in 0..60_000 {
        let (pattern, start) = [
            ("/public*", "/public"),
            ("/public/*", "/public/x"),
            ("*/secret.css", "/public/x"),
            ("/public/{*}/secret.css", "/public/x"),
        ][round % 4];
        let mut path = start.to_owned() + &disguise("/admin/secret.css", &mut random);
        if random.one_in(2) {
            path = format!("{start}/x{}", disguise("/secret.css", &mut random));
        }
        if !Read::new(&path).permitted(pattern) {
            continue;
        }
        tried += 1;
        for model in MODELS.iter().filter(|model| !model.ignores_case) {
            let Some(read) = (model.read)(&path) else {
                continue;
            };
            // What is behind a first segment is not for all to read alike.
            let allowed = is_guarded(model, pattern, &read)
                || pattern.starts_with("/public") && read.trim_end_matches('/') == "/public"
                || [
                    "what cuts everything behind a semicolon",
                    "lighttpd, path info",
                    "PHP, built in",
                    "a front controller",
                ]
                .contains(&model.name);
            if !allowed {
                passed.push(format!("{pattern}: {path} is {read} to {}", model.name));
            }
        }
    }
    passed.sort();
    assert!(
        passed.is_empty(),
        "seed {seed}: {} pass: {:?}",
        passed.len(),
        &passed[..passed.len().min(20)]
    );
    assert!(tried > 1_000, "seed {seed}: only {tried} are allowed");
}

/// What got past one canonical form, each to a server that serves it.
#[test]
fn known_disguises_are_refused() {
    for path in [
        "/x%3f/..%2fadmin/secret.txt",
        "/x%23/..%2fadmin/secret.txt",
        "/%2500/..%2fadmin/secret.txt",
        "/a%5cb/..%2fadmin/secret.txt",
        "/a%252fb/..%2fadmin/secret.txt",
        "/x%c0%afy/..%2fadmin/secret.txt",
        "/ADMIN/..%2fx",
        "/api%2fadmin/..%5cx",
        "/api%2fadmin/%252e%252e/x",
        "/x%3f/.%2e;/admin/secret.txt",
        "/a%252fb/.%2e;/admin/secret.txt",
        "/x%c1%9cy/.%2e;/admin/secret.txt",
        "/%u0061dmin/",
        "/x/%u002e%u002e/admin/",
        "//x/admin/",
        "/\\x/admin/",
        "/.//x/admin/",
        "//x//y/admin/",
        "http://x//y/admin/",
        "//u:p@x:1/admin/",
        "///x/admin/",
        "//x%2fy/admin/",
        "/%2fadmin/%3b/..%2fsecret.txt",
        "/%2fadmin/;%2f../secret.txt",
        "//admin/;/..%2fsecret.txt",
        "//admin/%5c/..%2fsecret.txt",
        "//admin/%252e/..%2fsecret.txt",
        "/;%2fx/admin/",
        "/api/;%2fx/admin/",
        "/%2fadmin%2f..",
        "//admin/%252e%252e",
        "/api%2fadmin/%252e.",
        "/api%2fadmin/..%3b",
        "/public/../admin/..",
        "/a/../admin/../b",
        "/adm%c4%b0n/x",
        "/adm%c4%b1n/x",
        "/api/ADM\u{130}N/x",
        "/index.php/admin/x",
        "/%09/admin/",
        "/ad%09min/",
    ] {
        let read = Read::new(path);
        assert!(
            read.refused("/admin*") || read.refused("/api/admin*"),
            "{path}: {:?}",
            read.readings
        );
        assert!(!read.permitted("/public*"), "{path}");
    }
    for path in [
        "/public%3f/.%2e;/admin/secret.txt",
        "/public/a%252fb/.%2e;/.%2e;/admin/secret.txt",
        "/public/%u002e%u002e/admin/",
        "/public;%2fx/..%2fadmin/",
        "/public/x%3f/..%2f..%2fadmin/secret.txt",
        "/public%23/..%2fadmin/secret.txt",
        "/public/../admin/x",
        "/public/../PUBLIC/x",
    ] {
        assert!(!Read::new(path).permitted("/public*"), "{path}");
    }
    for (pattern, path) in [
        ("/admin.php", "/admin.php/x"),
        ("/secret.txt", "/secret.txt/.."),
        ("/secret.txt", "/SECRET.TXT/x/y"),
        ("*.php", "/x.php/y"),
        ("/admin", "/admin%20"),
        ("/admin", "/admin;x/y"),
        ("/a%20b", "/a+b"),
        ("/\u{c9}t\u{e9}", "/%C3%A9t%C3%89"),
        ("/", "/%2f;x"),
    ] {
        assert!(Read::new(path).refused(pattern), "{pattern} {path}");
    }
    // Plain dots are no disguise.
    for path in ["/a/../b", "/docs/my%20file/../x", "/a/b/../../c", "/../x"] {
        assert!(!Read::new(path).refused("/admin*"), "{path}");
    }
    assert!(Read::new("/public/a/../b").permitted("/public*"));
}

#[test]
fn work_is_bounded() {
    for path in [
        "/%25".repeat(10_000),
        "%25".repeat(10_000),
        "/;x%2f\\%3f%23".repeat(3_000),
        "//".repeat(30_000),
        "/x.php".repeat(10_000),
        "/a/..".repeat(10_000),
        "/%u0025".repeat(8_000),
        "/.".repeat(30_000),
    ] {
        let readings = Readings::of_path(path.as_bytes());
        assert!(readings.all().count() <= MOST);
        assert!(readings.all().map(<[u8]>::len).sum::<usize>() <= MOST_BYTES);
        assert!(readings.over() || readings.all().count() < MOST);
    }
}
