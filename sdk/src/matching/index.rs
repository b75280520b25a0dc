//! Finds the first of many matches that takes a request.

use super::request::PathMatch;
use super::texts::TextIndex;
use super::{RequestHead, RequestMatch, TextMatch};

/// Up to this many entries are simply tried one after the other: that is faster
/// than any index.
const LINEAR: usize = 8;

/// An entry is stored under every combination of its hosts, paths and header
/// values, if these are no more than so many, or than so many for each of its
/// texts; else under its hosts alone. So what an index takes grows with the
/// configuration and not with a product.
const FREE_PLACES: usize = 64;
const PLACES_PER_TEXT: usize = 4;

/// Many [`RequestMatch`]es in order; the first that takes a request wins.
///
/// Three levels, host, path and one header, each a hash of exact texts, prefixes
/// and suffixes. So a lookup costs what the request's own length costs, plus one
/// full check per entry that shares host, path and header value with it.
#[derive(Debug, Clone)]
pub struct MatchIndex {
    entries: Vec<RequestMatch>,
    index: Option<ByHost>,
}

type ByHost = TextIndex<ByPath, true>;
type ByPath = TextIndex<ByHeader, false>;

/// Entries that share host and path.
#[derive(Debug, Clone, Default)]
struct ByHeader {
    /// Entries that ask for no header.
    plain: Vec<u32>,
    /// The others, under the name of one header that they ask for.
    names: TextIndex<TextIndex<Vec<u32>, false>, false>,
    any_names: bool,
}

impl MatchIndex {
    /// Indexes the matches; the order is kept.
    #[must_use]
    #[cold]
    pub fn new(entries: Vec<RequestMatch>) -> Self {
        let index = (entries.len() > LINEAR).then(|| {
            let mut index = ByHost::default();
            for (number, entry) in entries.iter().enumerate() {
                insert(&mut index, number as u32, entry);
            }
            index
        });
        Self { entries, index }
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Position of the first entry that takes the request.
    #[must_use]
    pub fn first(&self, request: &RequestHead<'_>) -> Option<usize> {
        let Some(index) = &self.index else {
            return self.entries.iter().position(|entry| entry.matches(request));
        };
        let mut best = self.entries.len();
        index.visit(request.host(), &mut |by_path| {
            by_path.visit(request.path(), &mut |by_header| {
                best = self.first_below(best, &by_header.plain, request);
                if by_header.any_names {
                    for (name, _) in request.headers().iter() {
                        by_header.names.visit(name, &mut |values| {
                            request.with_header(name, |value| {
                                values.visit(value, &mut |places| {
                                    best = self.first_below(best, places, request);
                                });
                            });
                        });
                    }
                }
            });
        });
        (best < self.entries.len()).then_some(best)
    }

    /// The first of `places` (ascending) below `best` whose entry really matches.
    fn first_below(&self, best: usize, places: &[u32], request: &RequestHead<'_>) -> usize {
        let matching = places
            .iter()
            .map(|&place| place as usize)
            .take_while(|&place| place < best)
            .find(|&place| {
                self.entries
                    .get(place)
                    .is_some_and(|entry| entry.matches(request))
            });
        matching.unwrap_or(best)
    }
}

#[cold]
fn insert(index: &mut ByHost, number: u32, entry: &RequestMatch) {
    let mut hosts: Vec<Option<&TextMatch>> = entry.hosts.iter().map(Some).collect();
    let heads: Vec<Option<TextMatch>> = entry.paths.iter().map(path_key).collect();
    let mut paths: Vec<Option<&TextMatch>> = heads.iter().map(Option::as_ref).collect();
    // The header that says most: one with a value, if there is any.
    let mut header = entry
        .headers
        .iter()
        .max_by_key(|(_, values)| !values.contains(&TextMatch::Present));
    let size = |places: usize| places.max(1);
    let values = header.map_or(0, |(_, values)| values.len());
    let texts = hosts.len() + paths.len() + values;
    let most = FREE_PLACES.max(PLACES_PER_TEXT * texts);
    let by_path = size(hosts.len()) * size(paths.len());
    if by_path * size(values) > most {
        header = None;
        if by_path > most {
            paths.clear();
        }
    }
    for list in [&mut hosts, &mut paths] {
        if list.is_empty() {
            list.push(None);
        }
    }
    for host in hosts {
        for path in &paths {
            let by_header = index.entry(host).entry(*path);
            match header {
                None => push(&mut by_header.plain, number),
                Some((name, values)) => {
                    by_header.any_names = true;
                    let by_value = by_header.names.entry(Some(&TextMatch::Exact(name.clone())));
                    for value in values {
                        push(by_value.entry(Some(value)), number);
                    }
                }
            }
        }
    }
}

fn push(places: &mut Vec<u32>, number: u32) {
    if places.last() != Some(&number) {
        places.push(number);
    }
}

/// What every path that fits starts or ends with; `None` when that is nothing.
fn path_key(path: &PathMatch) -> Option<TextMatch> {
    match path {
        PathMatch::Text(text) => Some(text.clone()),
        PathMatch::Template(template) => Some(TextMatch::Prefix(template.literal_prefix())),
    }
}
