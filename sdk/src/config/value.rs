//! Typed reading of a configuration tree.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use super::{Node, Number, Problem, Problems, decimal, time};
use crate::texts::Texts;

/// A value of the document together with its path and the list of problems.
///
/// The typed getters note a problem and return `None`, so that a reader can go
/// on collecting problems and give up only at the end.
#[derive(Clone)]
pub struct Value<'a> {
    node: &'a Node,
    place: Option<Rc<Place<'a>>>,
    problems: &'a Problems,
}

/// Where a value stands: a step below another place. A chain and not a text,
/// because only problems are ever shown.
struct Place<'a> {
    above: Option<Rc<Place<'a>>>,
    step: Step<'a>,
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Value<'a> {
    /// The document itself.
    #[must_use]
    pub fn root(node: &'a Node, problems: &'a Problems) -> Self {
        Self {
            node,
            place: None,
            problems,
        }
    }

    /// The untyped value.
    #[must_use]
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Where this value stands, `policies[0].spec.action`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut steps = Vec::new();
        let mut next = self.place.as_ref();
        while let Some(place) = next {
            steps.push(&place.step);
            next = place.above.as_ref();
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Key(key) => push_key(&mut path, key),
                Step::Index(index) => {
                    let _ = write!(path, "[{index}]");
                }
            }
        }
        path
    }

    /// Notes a problem with this value; always `None`, so it can end a reader.
    pub fn problem<T>(&self, message: impl Into<String>) -> Option<T> {
        self.note(message.into());
        None
    }

    // Reading a configuration is not the hot path: `cold` keeps the bodies here
    // from being copied into every caller.
    #[cold]
    fn note(&self, message: String) {
        self.problems.push(Problem::new(self.path(), message));
    }

    /// Number of problems noted in the whole document so far; lets a reader
    /// tell whether a part of it was clean.
    #[must_use]
    pub fn problem_count(&self) -> usize {
        self.problems.len()
    }

    fn expected<T>(&self, what: &str) -> Option<T> {
        self.problem(format!("is {}, must be {what}", self.node.kind()))
    }

    /// Reads an object. Keys that the caller never asks for are reported as
    /// unknown, and repeated keys as repeated, when the returned reader drops.
    #[must_use]
    #[cold]
    pub fn object(&self) -> Option<Fields<'a>> {
        match self.node {
            Node::Object(entries) => Some(Fields {
                value: self.clone(),
                entries,
                known: Vec::new(),
            }),
            _ => self.expected("an object"),
        }
    }

    /// Reads an object whose keys are data (label names, header names).
    /// Repeated keys are reported.
    #[must_use]
    #[cold]
    pub fn entries(&self) -> Option<Vec<(&'a str, Value<'a>)>> {
        let Node::Object(entries) = self.node else {
            return self.expected("an object");
        };
        self.report_repeated(entries);
        Some(
            entries
                .iter()
                .map(|(key, node)| (key.as_str(), self.child(key, node)))
                .collect(),
        )
    }

    /// Reads a list.
    #[must_use]
    #[cold]
    pub fn list(&self) -> Option<Vec<Value<'a>>> {
        match self.node {
            Node::List(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, node)| self.below(Step::Index(index), node))
                    .collect(),
            ),
            _ => self.expected("a list"),
        }
    }

    /// Reads a list item by item with `read`; `None` if any item failed. All
    /// items are read in any case, so all problems are found.
    pub fn list_of<T>(&self, mut read: impl FnMut(&Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        let all = self.all_items(&mut |item| {
            let read = read(item);
            let is_read = read.is_some();
            items.extend(read);
            is_read
        });
        all.then_some(items)
    }

    /// Hands every item to `read`; whether this is a list and each was read. Dynamic,
    /// because each type of item would else bring a copy of it.
    #[cold]
    #[inline(never)]
    fn all_items(&self, read: &mut dyn FnMut(&Value<'a>) -> bool) -> bool {
        let Some(items) = self.list() else {
            return false;
        };
        let mut all = true;
        for item in &items {
            all &= read(item);
        }
        all
    }

    /// Reads a list with at least one item, see [`Value::list_of`].
    pub fn non_empty_list_of<T>(
        &self,
        read: impl FnMut(&Value<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.list_of(read)?;
        if items.is_empty() {
            return self.problem("is empty: give at least one entry or leave the key out");
        }
        Some(items)
    }

    /// Items of a list of objects whose text under `key` an earlier item has, with
    /// that text. What is no list, no object or no text is somebody else's problem.
    #[must_use]
    #[cold]
    pub fn repeated(&self, key: &str) -> Vec<(Value<'a>, &'a str)> {
        let Node::List(items) = self.node else {
            return Vec::new();
        };
        let mut seen = Texts::default();
        let mut repeated = Vec::new();
        for (index, node) in items.iter().enumerate() {
            let Node::Object(entries) = node else {
                continue;
            };
            if let Some((_, Node::String(text))) = entries.iter().find(|(name, _)| name == key)
                && !seen.insert(text.as_bytes()).is_new
            {
                repeated.push((self.below(Step::Index(index), node), text.as_str()));
            }
        }
        repeated
    }

    /// Notes a problem when a list has more than `most` items.
    #[cold]
    pub fn at_most(&self, most: usize, why: &str) -> Option<()> {
        match self.node {
            Node::List(items) if items.len() > most => self.problem(format!(
                "has {} entries, at most {most} are possible: {why}",
                items.len()
            )),
            _ => Some(()),
        }
    }

    /// Reads a string, empty allowed.
    #[must_use]
    #[cold]
    pub fn string(&self) -> Option<&'a str> {
        match self.node {
            Node::String(text) => Some(text),
            _ => self.expected("a string"),
        }
    }

    /// Reads a string that is not empty.
    #[must_use]
    #[cold]
    pub fn non_empty_string(&self) -> Option<&'a str> {
        match self.string()? {
            "" => self.problem("must not be empty"),
            text => Some(text),
        }
    }

    /// Reads one of a few words.
    #[must_use]
    pub fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string()?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*choice);
        }
        self.not_one_of(text, &mut choices.iter().map(|(word, _)| *word));
        None
    }

    #[cold]
    #[inline(never)]
    fn not_one_of(&self, text: &str, words: &mut dyn Iterator<Item = &str>) {
        let words: Vec<&str> = words.collect();
        self.note(format!("{text:?} is not one of {}", words.join(", ")));
    }

    /// Reads a boolean.
    #[must_use]
    #[cold]
    pub fn boolean(&self) -> Option<bool> {
        match self.node {
            Node::Bool(value) => Some(*value),
            _ => self.expected("true or false"),
        }
    }

    /// Reads a whole number in `range`.
    #[must_use]
    #[cold]
    pub fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let (low, high) = (*range.start(), *range.end());
        match self.node {
            Node::Number(Number::Integer(value)) if range.contains(value) => Some(*value),
            Node::Number(Number::Integer(value)) => self.problem(format!(
                "{value} is out of range: use a whole number from {low} to {high}"
            )),
            Node::Number(Number::Double(value)) => self.problem(format!(
                "{} is not a whole number from {low} to {high}",
                decimal(*value)
            )),
            _ => self.expected(&format!("a whole number from {low} to {high}")),
        }
    }

    /// Reads a finite number in `range`.
    #[must_use]
    #[cold]
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let (low, high) = (*range.start(), *range.end());
        let value = match self.node {
            Node::Number(Number::Integer(value)) => *value as f64,
            Node::Number(Number::Double(value)) => *value,
            _ => {
                let range = format!("a number from {} to {}", decimal(low), decimal(high));
                return self.expected(&range);
            }
        };
        if range.contains(&value) {
            Some(value)
        } else {
            self.problem(format!(
                "{} is out of range: use a number from {} to {}",
                decimal(value),
                decimal(low),
                decimal(high)
            ))
        }
    }

    /// Reads a duration string (`250ms`, `10s`, `5m`, `1h`) of at least `least`.
    #[must_use]
    #[cold]
    pub fn duration(&self, least: Duration) -> Option<Duration> {
        let Node::String(text) = self.node else {
            return self.expected("a duration such as \"250ms\", \"10s\", \"5m\" or \"1h\"");
        };
        match time::parse_duration(text) {
            Some(duration) if duration >= least => Some(duration),
            // Not `{least:?}`: the standard library's form is 2 KB of code.
            Some(_) => self.problem(format!(
                "{text:?} is too short: use at least {}ms",
                least.as_millis() as u64
            )),
            None => self.problem(format!(
                "{text:?} is not a duration: use a number and a unit, as in \"250ms\", \"10s\", \"5m\" or \"1h\""
            )),
        }
    }

    /// Reads an RFC 3339 timestamp as time since the Unix epoch.
    #[must_use]
    #[cold]
    pub fn timestamp(&self) -> Option<Duration> {
        let text = self.string()?;
        time::parse_timestamp(text).or_else(|| {
            self.problem(format!(
                "{text:?} is not an RFC 3339 time: use the form \"2026-11-20T10:00:00Z\""
            ))
        })
    }

    #[cold]
    fn child(&self, key: &'a str, node: &'a Node) -> Self {
        self.below(Step::Key(key), node)
    }

    fn below(&self, step: Step<'a>, node: &'a Node) -> Self {
        let above = self.place.clone();
        Self {
            node,
            place: Some(Rc::new(Place { above, step })),
            problems: self.problems,
        }
    }

    #[cold]
    fn report_repeated(&self, entries: &'a [(String, Node)]) {
        // Nearly every object has a handful of keys.
        if entries.len() <= 16 {
            for (index, (key, _)) in entries.iter().enumerate() {
                let mut before = entries.iter().take(index);
                if before.any(|(known, _)| known == key) {
                    self.note_repeated(key);
                }
            }
            return;
        }
        let mut seen = Texts::default();
        for (key, _) in entries {
            if !seen.insert(key.as_bytes()).is_new {
                self.note_repeated(key);
            }
        }
    }

    fn note_repeated(&self, key: &'a str) {
        self.child(key, self.node)
            .problem::<()>("stands more than once: keep one");
    }
}

/// Keys that are not plain words are quoted: `annotations["istio.io/dry-run"]`.
fn push_key(path: &mut String, key: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if key.is_empty() || !key.bytes().all(plain) {
        let _ = write!(path, "[{key:?}]");
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

/// The keys of one object. On drop it reports the keys nobody asked for.
pub struct Fields<'a> {
    value: Value<'a>,
    entries: &'a [(String, Node)],
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The value under `key`; `None` when it is absent or `null`.
    #[must_use]
    #[cold]
    pub fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let (name, node) = self.entries.iter().find(|(name, _)| name == key)?;
        (*node != Node::Null).then(|| self.value.child(name, node))
    }

    /// The value under `key`, whose absence is a problem.
    #[must_use]
    #[cold]
    pub fn required(&mut self, key: &'static str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.value
                .child(key, self.value.node)
                .problem::<()>("is required");
        }
        value
    }

    /// Whether `key` is present at all, `null` included.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// Accepts all keys that were not asked for, e.g. of a foreign resource
    /// whose other fields mean nothing here.
    pub fn ignore_unknown(mut self) {
        self.known.clear();
        self.entries = &[];
    }

    /// The object itself, for problems that concern several of its keys.
    #[must_use]
    pub fn value(&self) -> &Value<'a> {
        &self.value
    }
}

impl Drop for Fields<'_> {
    #[cold]
    fn drop(&mut self) {
        self.value.report_repeated(self.entries);
        for (key, node) in self.entries {
            if !self.known.contains(&key.as_str()) {
                let known = self.known.join(", ");
                let unknown = self.value.child(key, node);
                unknown.problem::<()>(if known.is_empty() {
                    "unknown key; no keys are allowed here".to_owned()
                } else {
                    format!("unknown key; known keys here: {known}")
                });
            }
        }
    }
}
