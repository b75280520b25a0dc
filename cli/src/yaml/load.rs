//! From parser events to trees.

use std::collections::HashMap;

use meshpack_sdk::config::Node;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::place::{Marks, Position};
use super::{Document, SyntaxError, scalar};

/// Deepest nesting; readers and the tree's own destructor recurse.
const MAX_DEPTH: usize = 128;
/// Most values of a file. At about 100 bytes each this bounds memory.
const MAX_VALUES: usize = 2_000_000;
/// Most values that anchors and aliases may copy: a few nested aliases stand
/// for billions of values otherwise.
const MAX_COPIED: usize = 100_000;

pub(super) fn documents(text: &str) -> Result<Vec<Document>, SyntaxError> {
    yaml(text).or_else(|error| match with_plain_surrogates(text) {
        Some(text) => yaml(&text),
        None => Err(error),
    })
}

/// JSON that writes characters as surrogate pairs (`\ud83d\ude00`), the one
/// thing in JSON that is not YAML, with the characters themselves.
fn with_plain_surrogates(text: &str) -> Option<String> {
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if !is_json {
        return None;
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        let backslashes = before.len() - before.trim_end_matches('\\').len();
        let pair = escape.get(..12).and_then(surrogate_pair);
        let (piece, length) = match (backslashes % 2, &pair) {
            (0, Some(pair)) => (pair.as_str(), 12),
            _ => ("\\u", 2),
        };
        plain.push_str(piece);
        rest = escape.get(length..)?;
    }
    plain.push_str(rest);
    Some(plain)
}

fn surrogate_pair(escape: &str) -> Option<String> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?, 16).ok();
    let (high, low) = escape.split_at_checked(6)?;
    String::from_utf16(&[unit(high)?, unit(low)?]).ok()
}

fn yaml(text: &str) -> Result<Vec<Document>, SyntaxError> {
    let mut loader = Loader::default();
    let mut parser = Parser::new(StrInput::new(text));
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| scan_error(&error))?;
        loader.take(event, span)?;
    }
    Ok(loader.documents)
}

fn scan_error(error: &ScanError) -> SyntaxError {
    SyntaxError {
        position: position(*error.marker()),
        message: format!("is not valid YAML or JSON: {}", error.info()),
    }
}

fn position(marker: Marker) -> Position {
    Position {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

type Tree = (Node, Marks);

/// A collection whose end has not been seen.
enum Open {
    List {
        items: Vec<Node>,
        marks: Marks,
        anchor: usize,
    },
    Object {
        entries: Vec<(String, Node)>,
        marks: Marks,
        anchor: usize,
        key: Option<(String, Position)>,
        /// What `<<` brings in; the object's own entries win wherever they stand.
        merged: Vec<Tree>,
    },
}

#[derive(Default)]
struct Loader {
    documents: Vec<Document>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Tree, usize)>,
    values: usize,
    copied: usize,
}

impl Loader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        let at = position(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_string = style != ScalarStyle::Plain
                    || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let node = if is_string || self.expects_key() {
                    Node::String(text.into_owned())
                } else {
                    scalar::plain(&text)
                };
                let marks = Marks {
                    entry: at,
                    text: text_start(style, at),
                    is_block: style == ScalarStyle::Literal,
                    children: Vec::new(),
                };
                self.finish((node, marks), anchor)
            }
            Event::SequenceStart(anchor, _) => self.descend(
                Open::List {
                    items: Vec::new(),
                    marks: Marks::at(at),
                    anchor,
                },
                at,
            ),
            Event::MappingStart(anchor, _) => self.descend(
                Open::Object {
                    entries: Vec::new(),
                    marks: Marks::at(at),
                    anchor,
                    key: None,
                    merged: Vec::new(),
                },
                at,
            ),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List {
                    items,
                    marks,
                    anchor,
                }) => self.finish((Node::List(items), marks), anchor),
                Some(Open::Object {
                    mut entries,
                    mut marks,
                    anchor,
                    merged,
                    ..
                }) => {
                    for tree in merged {
                        merge(&mut entries, &mut marks, tree)?;
                    }
                    self.finish((Node::Object(entries), marks), anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Keys are text as written: `y: 1` has the key `y`.
    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Object { key: None, .. }))
    }

    fn descend(&mut self, collection: Open, at: Position) -> Result<(), SyntaxError> {
        if self.open.len() >= MAX_DEPTH {
            return fail(at, format!("is nested deeper than {MAX_DEPTH} levels"));
        }
        self.open.push(collection);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), SyntaxError> {
        let Some(((node, marks), size)) = self.anchors.get(&anchor) else {
            return fail(at, "names an anchor that holds this very value".to_owned());
        };
        let (mut tree, size) = ((node.clone(), marks.clone()), *size);
        self.copied += size;
        if self.copied > MAX_COPIED {
            return fail(
                at,
                format!("aliases stand for more than {MAX_COPIED} values: write them out"),
            );
        }
        tree.1.entry = at;
        self.finish(tree, 0)
    }

    /// Puts a complete value where it belongs.
    fn finish(&mut self, tree: Tree, anchor: usize) -> Result<(), SyntaxError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return fail(
                tree.1.entry,
                format!("the file has more than {MAX_VALUES} values: split it"),
            );
        }
        if anchor != 0 {
            let size = size_of(&tree.1);
            self.copied += size;
            if self.copied > MAX_COPIED {
                return fail(
                    tree.1.entry,
                    format!("anchors hold more than {MAX_COPIED} values: write them out"),
                );
            }
            self.anchors.insert(anchor, (tree.clone(), size));
        }
        let (node, marks) = tree;
        match self.open.last_mut() {
            None => {
                if node != Node::Null {
                    self.documents.push(Document { node, marks });
                }
                Ok(())
            }
            Some(Open::List {
                items, marks: own, ..
            }) => {
                items.push(node);
                own.children.push(marks);
                Ok(())
            }
            Some(Open::Object {
                entries,
                marks: own,
                key,
                merged,
                ..
            }) => match key.take() {
                None => {
                    *key = Some((key_text(node, marks.entry)?, marks.entry));
                    Ok(())
                }
                Some((name, _)) if name == "<<" => {
                    merged.push((node, marks));
                    Ok(())
                }
                Some((name, entry)) => {
                    entries.push((name, node));
                    own.children.push(Marks { entry, ..marks });
                    Ok(())
                }
            },
        }
    }
}

impl Marks {
    fn at(position: Position) -> Self {
        Self {
            entry: position,
            text: position,
            is_block: false,
            children: Vec::new(),
        }
    }
}

/// Where the text of a scalar starts. The parser points at the first line of a
/// block, but at the opening quote.
fn text_start(style: ScalarStyle, at: Position) -> Position {
    match style {
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Position {
            column: at.column + 1,
            ..at
        },
        _ => at,
    }
}

fn fail<T>(position: Position, message: String) -> Result<T, SyntaxError> {
    Err(SyntaxError { position, message })
}

fn size_of(marks: &Marks) -> usize {
    1 + marks.children.iter().map(size_of).sum::<usize>()
}

/// Keys are strings in JSON, so in every format that these files are for.
fn key_text(node: Node, at: Position) -> Result<String, SyntaxError> {
    match node {
        Node::String(text) if text.is_empty() => {
            fail(at, "the key is missing before the colon".to_owned())
        }
        Node::String(text) => Ok(text),
        _ => fail(
            at,
            "a key must be a single word or string, not a list or an object".to_owned(),
        ),
    }
}

/// `<<: *defaults`: adds the entries that the object does not have itself.
fn merge(
    entries: &mut Vec<(String, Node)>,
    own: &mut Marks,
    (node, marks): Tree,
) -> Result<(), SyntaxError> {
    let at = marks.entry;
    let sources: Vec<Tree> = match node {
        Node::List(items) => items.into_iter().zip(marks.children).collect(),
        node => vec![(node, marks)],
    };
    for (node, marks) in sources {
        let Node::Object(merged) = node else {
            return fail(at, "<< must merge an object or a list of them".to_owned());
        };
        for ((key, node), mark) in merged.into_iter().zip(marks.children) {
            if !entries.iter().any(|(name, _)| *name == key) {
                entries.push((key, node));
                own.children.push(mark);
            }
        }
    }
    Ok(())
}
