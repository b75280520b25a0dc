//! An index over many items (rules, or the values of one field) by what a
//! request must have for them to match.
//!
//! Each item is filed under the keys of its rarest constraint. A request then
//! looks up its own path, host, headers and so on, and checks only the items
//! it finds: work grows with the request. Items that say nothing a table can
//! hold are checked always.

mod keys;
mod lookup;
mod table;

use keys::{Dimension, Key, ways};
use table::{Form, Table, Tag};

use super::model::{Field, Pattern, Subject};
use super::sort::{sort, sort_and_dedup};

/// Patterns of which one must match.
pub(crate) type AnyOf<'a> = Vec<(&'a Subject, &'a Pattern)>;
/// Fields that must all match; each that names values is one [`AnyOf`].
pub(crate) type AllOf<'a> = Vec<AnyOf<'a>>;
/// Something an item needs: one of several conjunctions. Every constraint of an
/// item is enough to find it by.
pub(crate) type Constraint<'a> = Vec<AllOf<'a>>;

/// An index over items numbered from zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct KeyIndex {
    table: Table,
    dimensions: Vec<Use>,
    /// From the names of headers, parameters, cookies and outermost claims to
    /// the dimensions that want their values.
    names: Table,
    /// Dimensions that are looked up one by one.
    plain: Vec<u32>,
    wants: Wants,
    /// Items that no key finds.
    residue: Vec<u32>,
}

/// A dimension in use.
#[derive(Debug, Clone, PartialEq)]
struct Use {
    dimension: Dimension,
    exact: bool,
    /// Lengths of the prefixes, ascending.
    prefixes: Vec<usize>,
    /// Lengths of the suffixes, ascending.
    suffixes: Vec<usize>,
    /// Lengths of v4 and v6 blocks.
    blocks: [Vec<usize>; 2],
    /// All items filed here: the candidates when it cannot be read.
    members: Vec<u32>,
}

/// Which named values of a request are looked up at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wants {
    headers: bool,
    queries: bool,
    cookies: bool,
    claims: bool,
}

/// Name spaces of the table of names.
#[derive(Debug, Clone, Copy)]
enum Names {
    Header,
    Query,
    Cookie,
    Claim,
}

impl Names {
    const fn tag(self) -> Tag {
        Tag {
            dimension: self as u32,
            form: Form::Exact,
        }
    }
}

impl KeyIndex {
    /// Indexes items, each given by its constraints. An item whose constraints
    /// have no keys goes into the residue.
    pub(crate) fn build<'a>(items: impl Iterator<Item = Vec<Constraint<'a>>> + Clone) -> Self {
        let mut builder = Builder::default();
        for constraints in items.clone() {
            for (subject, pattern) in constraints.into_iter().flatten().flatten().flatten() {
                for key in ways(subject, pattern).into_iter().flatten() {
                    let dimension = builder.dimension(&key.dimension);
                    builder.counts.push(key.fingerprint(dimension));
                }
            }
        }
        sort(&mut builder.counts);
        for (item, constraints) in items.enumerate() {
            builder.file(item as u32, &constraints);
        }
        builder.finish()
    }

    /// Holds so many items without keys: each is a candidate for every request.
    pub(crate) fn of_all(items: usize) -> Self {
        Self {
            residue: (0..items as u32).collect(),
            ..Self::default()
        }
    }

    /// Indexes the values of one field.
    pub(crate) fn of_patterns(subject: &Subject, patterns: &[Pattern]) -> Self {
        Self::build(
            patterns
                .iter()
                .map(|pattern| vec![vec![vec![vec![(subject, pattern)]]]]),
        )
    }
}

/// The ways to find a conjunction of fields: each field that names values.
pub(crate) fn all_of(fields: &[Field]) -> AllOf<'_> {
    fields
        .iter()
        .filter(|field| !field.is.is_empty())
        .map(|field| {
            field
                .is
                .iter()
                .map(|pattern| (&field.subject, pattern))
                .collect()
        })
        .collect()
}

/// Keys one of which a matching request must have.
#[derive(Default)]
struct Cover {
    keys: Vec<Key>,
    /// How many items are seen under these keys.
    candidates: u64,
    penalty: u64,
}

impl Cover {
    fn cost(&self) -> u64 {
        self.candidates + self.penalty
    }

    fn join(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.candidates += other.candidates;
        self.penalty = self.penalty.max(other.penalty);
    }
}

#[derive(Default)]
struct Builder {
    dimensions: Vec<Dimension>,
    counts: Vec<u64>,
    filed: Vec<(u32, Key, u32)>,
    residue: Vec<u32>,
}

impl Builder {
    fn dimension(&mut self, dimension: &Dimension) -> u32 {
        let known = self.dimensions.iter().position(|known| known == dimension);
        known.unwrap_or_else(|| {
            self.dimensions.push(dimension.clone());
            self.dimensions.len() - 1
        }) as u32
    }

    /// How many times a key was seen, that is how many candidates it brings.
    fn count(&mut self, key: &Key) -> u64 {
        let fingerprint = key.fingerprint(self.dimension(&key.dimension));
        let first = self.counts.partition_point(|&seen| seen < fingerprint);
        let end = self.counts.partition_point(|&seen| seen <= fingerprint);
        (end - first) as u64
    }

    fn file(&mut self, item: u32, constraints: &[Constraint<'_>]) {
        let best = constraints
            .iter()
            .filter_map(|constraint| self.cheapest_cover(constraint))
            .min_by_key(Cover::cost);
        let Some(best) = best else {
            self.residue.push(item);
            return;
        };
        for key in best.keys {
            let dimension = self.dimension(&key.dimension);
            self.filed.push((dimension, key, item));
        }
    }

    /// Covers each of the constraint's conjunctions by its cheapest field.
    fn cheapest_cover(&mut self, constraint: &Constraint<'_>) -> Option<Cover> {
        let mut cover = Cover::default();
        for conjunction in constraint {
            let cheapest = conjunction
                .iter()
                .filter_map(|field| self.cover(field))
                .min_by_key(Cover::cost)?;
            cover.join(cheapest);
        }
        Some(cover)
    }

    /// Covers every pattern of a field by the cheapest way to find it.
    fn cover(&mut self, field: &AnyOf<'_>) -> Option<Cover> {
        let mut cover = Cover::default();
        for (subject, pattern) in field {
            let cheapest = ways(subject, pattern)
                .into_iter()
                .map(|keys| Cover {
                    candidates: keys.iter().map(|key| self.count(key)).sum(),
                    penalty: keys.iter().map(Key::penalty).max().unwrap_or(0),
                    keys,
                })
                .min_by_key(Cover::cost)?;
            cover.join(cheapest);
        }
        Some(cover)
    }

    fn finish(self) -> KeyIndex {
        let mut uses: Vec<Use> = self.dimensions.into_iter().map(Use::new).collect();
        let mut pairs = Vec::with_capacity(self.filed.len());
        for (dimension, key, item) in self.filed {
            if let Some(in_use) = uses.get_mut(dimension as usize) {
                in_use.note(&key, item);
            }
            let form = key.form;
            pairs.push((Tag { dimension, form }, key.bytes, item));
        }
        let mut index = KeyIndex {
            table: Table::build(pairs),
            residue: self.residue,
            ..KeyIndex::default()
        };
        let mut names = Vec::new();
        for (number, in_use) in uses.iter_mut().enumerate() {
            in_use.settle();
            if !in_use.members.is_empty() {
                index.place(number as u32, &in_use.dimension, &mut names);
            }
        }
        index.names = Table::build(names);
        index.dimensions = uses;
        index
    }
}

impl KeyIndex {
    fn place(&mut self, number: u32, dimension: &Dimension, names: &mut Vec<(Tag, Vec<u8>, u32)>) {
        let (space, name) = match dimension {
            Dimension::Header { name, .. } => {
                self.wants.headers = true;
                (Names::Header, Some(name))
            }
            Dimension::Query(name) => {
                self.wants.queries = true;
                (Names::Query, Some(name))
            }
            Dimension::Cookie(name) => {
                self.wants.cookies = true;
                (Names::Cookie, Some(name))
            }
            Dimension::Claim { path, .. } => {
                self.wants.claims = true;
                (Names::Claim, path.first())
            }
            _ => {
                self.plain.push(number);
                return;
            }
        };
        if let Some(name) = name {
            names.push((space.tag(), name.as_bytes().to_vec(), number));
        }
    }
}

impl Use {
    fn new(dimension: Dimension) -> Self {
        Self {
            dimension,
            exact: false,
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            blocks: [Vec::new(), Vec::new()],
            members: Vec::new(),
        }
    }

    fn note(&mut self, key: &Key, item: u32) {
        self.members.push(item);
        match key.form {
            Form::Prefix => self.prefixes.push(key.bytes.len()),
            Form::Suffix => self.suffixes.push(key.bytes.len()),
            Form::Exact => self.exact = true,
        }
        if let (
            Dimension::DestinationIp | Dimension::DirectIp | Dimension::RemoteIp,
            [width, length, ..],
            [v4, v6],
        ) = (&self.dimension, key.bytes.as_slice(), &mut self.blocks)
        {
            if *width == 32 { v4 } else { v6 }.push(usize::from(*length));
        }
    }

    fn settle(&mut self) {
        let [v4, v6] = &mut self.blocks;
        for lengths in [v4, v6] {
            sort_and_dedup(lengths);
        }
        for lengths in [&mut self.prefixes, &mut self.suffixes] {
            sort_and_dedup(lengths);
        }
        sort_and_dedup(&mut self.members);
    }
}
