//! One round: disguises through Envoy to every server, and what came back.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::disguise::Disguise;
use crate::proxy::Client;
use crate::servers::Servers;
use crate::wire::Answer;
use crate::{Normalization, Proxy, Through};

/// A disguise that brought back the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Number of the server.
    pub server: usize,
    /// How Envoy normalised.
    pub normalization: Normalization,
    /// What was sent.
    pub disguise: Disguise,
    /// What Envoy forwarded.
    pub forwarded: Vec<u8>,
    /// What it got through besides [`Through::Nothing`].
    pub passed: Vec<Through>,
}

impl Reached {
    /// Whether hardened mode let it through.
    #[must_use]
    pub fn passed_hardened(&self) -> bool {
        let mut hardened = Through::HARDENED.iter();
        hardened.any(|through| self.passed.contains(through))
    }
}

/// What a round came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Every disguise that reached a guarded resource.
    pub reached: Vec<Reached>,
    /// How many requests were sent.
    pub requests: usize,
    /// Requests that a server did not answer: Envoy said 502 to 504, or nothing.
    pub unanswered: Vec<usize>,
}

/// What stands for disguises that Envoy forwards alike: sent once, counted for all.
struct Group {
    normalization: Normalization,
    disguises: Vec<usize>,
}

/// Sends `disguises` through every normalisation to every server; what reaches the
/// secret is then sent through each of `filters`.
///
/// Disguises that Envoy forwards as the same bytes are one request to a server and to
/// a filter, since neither can tell them apart.
///
/// # Errors
/// If Envoy does not answer.
pub fn run(
    proxy: &Proxy,
    servers: &Servers,
    disguises: &[Disguise],
    filters: &[Through],
    connections: usize,
) -> io::Result<Outcome> {
    if servers.running.is_empty() {
        return Ok(Outcome::default());
    }
    let (groups, echoed) = forwarded(proxy, disguises, connections)?;
    let groups: Vec<(Vec<u8>, Vec<Group>)> = groups.into_iter().collect();
    let requests = AtomicUsize::new(echoed);
    let names: Vec<&str> = servers
        .running
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    let count = servers.running.len();
    let parts: Vec<_> = groups.chunks(PART).collect();
    // Part by part through all servers, so that a slow one keeps nobody waiting at the end.
    let next = AtomicUsize::new(0);
    let outcomes = thread::scope(|scope| {
        let work = || {
            let mut visitor = Visitor {
                proxy,
                secret: &servers.site.secret,
                names: &names,
                disguises,
                filters,
                requests: &requests,
                clients: HashMap::new(),
            };
            let mut outcomes = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(part) = parts.get(number / count) else {
                    return Ok(outcomes);
                };
                let server = number % count;
                outcomes.push((number, server, visitor.visit(server, part)?));
            }
        };
        let workers: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        joined(workers)
    })?;
    let mut outcome = Outcome {
        unanswered: vec![0; count],
        requests: requests.load(Ordering::Relaxed),
        ..Outcome::default()
    };
    let mut outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
    outcomes.sort_by_key(|(number, server, _)| (*server, *number));
    for (_, server, (reached, unanswered)) in outcomes {
        outcome.reached.extend(reached);
        outcome.unanswered[server] += unanswered;
    }
    Ok(outcome)
}

/// Forwarded paths that one worker takes at a time.
const PART: usize = 200;

/// A worker, with its connections.
struct Visitor<'a> {
    proxy: &'a Proxy,
    secret: &'a str,
    names: &'a [&'a str],
    disguises: &'a [Disguise],
    filters: &'a [Through],
    requests: &'a AtomicUsize,
    clients: HashMap<(Normalization, Through), Client>,
}

impl Visitor<'_> {
    /// What reaches the secret of `server`, and how many requests it did not answer.
    fn visit(
        &mut self,
        server: usize,
        part: &[(Vec<u8>, Vec<Group>)],
    ) -> io::Result<(Vec<Reached>, usize)> {
        let mut reached = Vec::new();
        let mut unanswered = 0;
        for (path, groups) in part {
            let Some(first) = groups.first() else {
                continue;
            };
            let answer = self.get(server, first, Through::Nothing)?;
            if matches!(answer.status, 502..=504) {
                unanswered += 1;
            }
            if !answer.contains(self.secret) {
                continue;
            }
            let mut passed = Vec::new();
            for through in self.filters {
                if through.fits(self.names[server])
                    && self.get(server, first, *through)?.contains(self.secret)
                {
                    passed.push(*through);
                }
            }
            for group in groups {
                for disguise in &group.disguises {
                    reached.push(Reached {
                        server,
                        normalization: group.normalization,
                        disguise: self.disguises[*disguise].clone(),
                        forwarded: path.clone(),
                        passed: passed.clone(),
                    });
                }
            }
        }
        Ok((reached, unanswered))
    }

    fn get(&mut self, server: usize, group: &Group, through: Through) -> io::Result<Answer> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let proxy = self.proxy;
        let client = self
            .clients
            .entry((group.normalization, through))
            .or_insert_with(|| proxy.client(group.normalization, through));
        client.get(&self.disguises[group.disguises[0]], server)
    }
}

fn joined<T>(workers: Vec<thread::ScopedJoinHandle<'_, io::Result<T>>>) -> io::Result<Vec<T>> {
    let joined = workers.into_iter().map(|worker| {
        worker
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))
    });
    joined.collect()
}

type Groups = HashMap<Vec<u8>, Vec<Group>>;

/// What Envoy forwards for each disguise, in each normalisation; refused ones are left
/// out. The number says how many requests were sent.
fn forwarded(
    proxy: &Proxy,
    disguises: &[Disguise],
    connections: usize,
) -> io::Result<(Groups, usize)> {
    let part = disguises.len().div_ceil(connections.max(1)).max(1);
    let mut groups = Groups::new();
    for normalization in Normalization::ALL {
        let parts: Vec<(usize, Option<Vec<u8>>)> = thread::scope(|scope| {
            let workers: Vec<_> = disguises
                .chunks(part)
                .enumerate()
                .map(|(chunk, disguises)| {
                    scope.spawn(move || {
                        let mut client = proxy.client(normalization, Through::Nothing);
                        let paths = disguises.iter().enumerate().map(|(at, disguise)| {
                            Ok((chunk * part + at, client.forwarded(disguise)?))
                        });
                        paths.collect::<io::Result<Vec<_>>>()
                    })
                })
                .collect();
            joined(workers)
        })?
        .into_iter()
        .flatten()
        .collect();
        for (number, path) in parts {
            let Some(path) = path else { continue };
            let alike = groups.entry(path).or_default();
            match alike
                .iter_mut()
                .find(|group| group.normalization == normalization)
            {
                Some(group) => group.disguises.push(number),
                None => alike.push(Group {
                    normalization,
                    disguises: vec![number],
                }),
            }
        }
    }
    Ok((groups, disguises.len() * Normalization::ALL.len()))
}
