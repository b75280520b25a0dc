//! Asks the filter again about what earlier rounds found, without any server: a second
//! for what took a quarter of an hour. Arguments: files that `SERVERS_REACHED` named.
//!
//! Prints each disguise that hardened mode lets through, with the servers that serve the
//! guarded resource for it; fails if there is one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use meshpack_servers::{Normalization, Proxy, Through};

#[tokio::main]
async fn main() -> Result<()> {
    let mut found: BTreeMap<(Normalization, String), BTreeSet<String>> = BTreeMap::new();
    for file in std::env::args().skip(1) {
        for line in std::fs::read_to_string(&file).context(file)?.lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let [server, normalization, disguise, ..] = columns[..] else {
                continue;
            };
            // What is not text was not written as it was sent.
            if disguise.contains('\u{fffd}') {
                continue;
            }
            let mut all = Normalization::ALL.into_iter();
            let normalization = all
                .find(|one| one.to_string() == normalization)
                .with_context(|| format!("{normalization} is no normalization"))?;
            let servers = found
                .entry((normalization, disguise.to_owned()))
                .or_default();
            servers.insert(server.to_owned());
        }
    }
    ensure!(!found.is_empty(), "name files that SERVERS_REACHED wrote");
    let proxy = Proxy::start(&[]).await?;
    let (asked, passed) = tokio::task::block_in_place(|| {
        let (mut asked, mut passed) = (0, 0);
        for through in Through::HARDENED {
            let mut clients = Normalization::ALL.map(|one| (one, proxy.client(one, through)));
            for ((normalization, disguise), servers) in &found {
                if !servers.iter().any(|server| through.fits(server)) {
                    continue;
                }
                asked += 1;
                let client = clients.iter_mut().find(|(one, _)| one == normalization);
                let (_, client) = client.context("there is a client for each")?;
                if let Some(forwarded) = client.forwarded(disguise.as_bytes())? {
                    passed += 1;
                    println!(
                        "{through}\t{normalization}\t{disguise}\t{}\t{}",
                        String::from_utf8_lossy(&forwarded),
                        names(servers, through)
                    );
                }
            }
        }
        Ok::<_, anyhow::Error>((asked, passed))
    })?;
    ensure!(passed == 0, "{passed} of {asked} passed");
    println!("none of {asked} passed");
    Ok(())
}

/// The servers that the policy fits.
fn names(servers: &BTreeSet<String>, through: Through) -> String {
    let fitting = servers.iter().filter(|server| through.fits(server));
    fitting.map(String::as_str).collect::<Vec<_>>().join("; ")
}
