//! Where a value stands in its file.

use std::fmt;

use meshpack_sdk::config::Node;

/// A line and a column, both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The positions of a tree, in its shape.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    /// Where the entry starts: its key in an object, itself elsewhere.
    pub(super) entry: Position,
    /// Where the text of a scalar starts, for text that holds a document itself.
    pub(super) text: Position,
    /// Whether that text is a literal block, whose lines are the file's lines.
    pub(super) is_block: bool,
    /// The same for the items of a list or the values of an object.
    pub(super) children: Vec<Marks>,
}

/// A value and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    node: &'a Node,
    marks: &'a Marks,
}

impl<'a> Place<'a> {
    pub(super) fn new(node: &'a Node, marks: &'a Marks) -> Self {
        Self { node, marks }
    }

    /// The value.
    #[must_use]
    pub fn node(self) -> &'a Node {
        self.node
    }

    /// Where the entry starts: its key in an object, the item in a list.
    #[must_use]
    pub fn position(self) -> Position {
        self.marks.entry
    }

    /// Where the text of a string starts, past quotes and block markers.
    #[must_use]
    pub fn text_position(self) -> Position {
        self.marks.text
    }

    /// Whether this is a string in a literal block, whose lines are the file's lines.
    #[must_use]
    pub fn is_block(self) -> bool {
        self.marks.is_block
    }

    /// The value under `key`, if this is an object that has it and it is not null.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Self> {
        self.entries()
            .find(|(name, place)| *name == key && *place.node != Node::Null)
            .map(|(_, place)| place)
    }

    /// The value behind several keys.
    #[must_use]
    pub fn at(self, keys: &[&str]) -> Option<Self> {
        keys.iter().try_fold(self, |place, key| place.get(key))
    }

    /// The text, if this is a string.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        match self.node {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items; none if this is not a list.
    pub fn items(self) -> impl Iterator<Item = Place<'a>> {
        let items: &'a [Node] = match self.node {
            Node::List(items) => items,
            _ => &[],
        };
        items
            .iter()
            .zip(&self.marks.children)
            .map(|(node, marks)| Self { node, marks })
    }

    /// The entries in document order; none if this is not an object.
    pub fn entries(self) -> impl Iterator<Item = (&'a str, Place<'a>)> {
        let entries: &'a [(String, Node)] = match self.node {
            Node::Object(entries) => entries,
            _ => &[],
        };
        entries
            .iter()
            .zip(&self.marks.children)
            .map(|((key, node), marks)| (key.as_str(), Self { node, marks }))
    }

    /// Where `path` (`spec.http[0]["a b"]`) stands, or the nearest thing around
    /// it that is there.
    #[must_use]
    pub fn locate(self, path: &str) -> Position {
        let mut place = self;
        let mut rest = path;
        while let Some((step, tail)) = Step::first_of(rest) {
            let next = match step {
                Step::Key(key) => place.entries().filter(|(name, _)| *name == key).last(),
                Step::Index(index) => place.items().nth(index).map(|item| ("", item)),
            };
            match next {
                Some((_, found)) => place = found,
                None => break,
            }
            rest = tail;
        }
        place.position()
    }
}

/// One step of a path as [`meshpack_sdk::config::Problem`] writes it.
enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    fn first_of(path: &str) -> Option<(Self, &str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        if let Some(quoted) = path.strip_prefix("[\"") {
            let end = end_of_quotes(quoted)?;
            let key = unescape(quoted.get(..end)?);
            return Some((Self::Key(key), quoted.get(end..)?.strip_prefix("\"]")?));
        }
        if let Some(index) = path.strip_prefix('[') {
            let (digits, tail) = index.split_once(']')?;
            return Some((Self::Index(digits.parse().ok()?), tail));
        }
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let (key, tail) = path.split_at(end);
        (!key.is_empty()).then(|| (Self::Key(key.to_owned()), tail))
    }
}

fn end_of_quotes(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices()
        .find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        })
        .map(|(at, _)| at)
}

/// Undoes the escapes that matter in keys: quotes and backslashes.
fn unescape(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}

/// Appends a key to a path the way problems write it.
pub(crate) fn push_key(path: &mut String, key: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if key.is_empty() || !key.bytes().all(plain) {
        path.push_str(&format!("[{key:?}]"));
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}
