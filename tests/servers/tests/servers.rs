//! Real servers behind a stock Envoy judge hardened mode.
//!
//! `SERVERS_CASES` sizes the round, `SERVERS_SEED` repeats one; both are printed. The
//! disguises have a new seed each time; ordinary paths only if one is given.
//! `SERVERS_PAGE` names a page to write the table into, `SERVERS_REACHED` a file for
//! everything that reached a secret. Servers that are not installed are named.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use meshpack_servers::round::{self, Outcome};
use meshpack_servers::servers::{Server, Servers};
use meshpack_servers::{Normalization, Proxy, Through, disguise, ordinary, table};

/// Clients at a time; each server sees one.
const CONNECTIONS: usize = 8;

/// Disguises of a round unless `SERVERS_CASES` says otherwise.
const CASES: u64 = 400;

/// Ordinary paths.
const ORDINARY: usize = 5_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}

/// Seed of the ordinary paths unless `SERVERS_SEED` says otherwise. A new one each time
/// would be a lottery, if a rare one: none of twenty million had more readings than are
/// tried.
const ORDINARY_SEED: u64 = 666_134_818;

/// The environment's seed, or a new one.
fn seed() -> u64 {
    number("SERVERS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_nanos() as u64 % 1_000_000_000
    })
}

/// Says it to the person in front of the test, not only when the test fails.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The guarded resource by its own name, as a server of files or of routes has it.
const PLAIN: &[&str] = &["/admin/secret.txt", "/api/admin/secret.txt"];

/// Every server serves the guarded resource under its plain name: it is set up as it
/// should be, and it still runs.
fn check_plain(proxy: &Proxy, servers: &Servers, when: &str) {
    for normalization in Normalization::ALL {
        let mut client = proxy.client(normalization, Through::Nothing);
        for (number, server) in servers.running.iter().enumerate() {
            for path in PLAIN {
                let answer = client.get(path.as_bytes(), number).unwrap();
                assert!(
                    answer.contains(&servers.site.secret),
                    "{when} {server} does not serve {path}: {} {}",
                    answer.status,
                    lossy(&answer.body)
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_disguise_reaches_a_guarded_resource_in_hardened_mode() {
    let seed = seed();
    let cases = number("SERVERS_CASES").unwrap_or(CASES) as usize;
    say(&format!(
        "servers: SERVERS_SEED={seed} SERVERS_CASES={cases}"
    ));
    let servers = Servers::start().unwrap();
    for (name, why) in &servers.missing {
        say(&format!("servers: NOT run: {name}: {why}"));
    }
    let proxy = Proxy::start(&servers.running).await.unwrap();
    let outcome = tokio::task::block_in_place(|| {
        check_plain(&proxy, &servers, "before the round");
        let mut disguises = disguise::corpus();
        disguises.extend(disguise::generate(seed, cases));
        let filters = &Through::ALL[1..];
        let outcome = round::run(&proxy, &servers, &disguises, filters, CONNECTIONS).unwrap();
        check_plain(&proxy, &servers, "after the round");
        outcome
    });
    report(&servers, &outcome);

    let mut passed = String::new();
    for reached in outcome
        .reached
        .iter()
        .filter(|reached| reached.passed_hardened())
    {
        let server: &Server = &servers.running[reached.server];
        let _ = writeln!(
            passed,
            "{} as {} through {}, {:?}: {server}",
            lossy(&reached.disguise),
            lossy(&reached.forwarded),
            reached.normalization,
            reached.passed
        );
    }
    assert!(
        passed.is_empty(),
        "SERVERS_SEED={seed} SERVERS_CASES={cases}\n{passed}"
    );
}

fn report(servers: &Servers, outcome: &Outcome) {
    let table = table::markdown(servers, outcome);
    say(&format!(
        "servers: {} of {} run, {} requests; disguises that reach the secret / past Istio's mode / past hardened mode:\n{table}",
        servers.running.len(),
        servers.running.len() + servers.missing.len(),
        outcome.requests,
    ));
    for (server, unanswered) in servers.running.iter().zip(&outcome.unanswered) {
        if *unanswered > 0 {
            say(&format!(
                "servers: {server} left {unanswered} requests without an answer"
            ));
        }
    }
    if let Some(page) = std::env::var_os("SERVERS_PAGE") {
        table::write_page(Path::new(&page), &table).unwrap();
    }
    if let Some(file) = std::env::var_os("SERVERS_REACHED") {
        let mut text = String::new();
        for reached in &outcome.reached {
            let _ = writeln!(
                text,
                "{}\t{}\t{}\t{}\t{:?}",
                servers.running[reached.server].name,
                reached.normalization,
                lossy(&reached.disguise),
                lossy(&reached.forwarded),
                reached.passed
            );
        }
        std::fs::write(file, text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_paths_are_never_refused() {
    let seed = number("SERVERS_SEED").unwrap_or(ORDINARY_SEED);
    say(&format!("servers: ordinary paths of SERVERS_SEED={seed}"));
    let proxy = Proxy::start(&[]).await.unwrap();
    let refused = tokio::task::block_in_place(|| {
        let mut refused = String::new();
        for normalization in Normalization::ALL {
            for (through, below) in [
                (Through::HardenedDeny, ""),
                (Through::HardenedAllow, "/public"),
            ] {
                let mut without = proxy.client(normalization, Through::Nothing);
                let mut client = proxy.client(normalization, through);
                for path in ordinary::generate(seed, ORDINARY) {
                    let path = format!("{below}{path}");
                    let taken = without.forwarded(path.as_bytes()).unwrap();
                    assert!(taken.is_some(), "Envoy itself refuses {path}");
                    if client.forwarded(path.as_bytes()).unwrap() != taken {
                        let _ = writeln!(refused, "{path} through {normalization}, {through}");
                    }
                }
            }
        }
        refused
    });
    assert!(refused.is_empty(), "SERVERS_SEED={seed}\n{refused}");
}
