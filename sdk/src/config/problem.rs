//! What is wrong with a configuration, and where.

use std::cell::{Cell, RefCell};
use std::fmt;

/// Most problems that are listed of one configuration; of further ones the
/// number is said. A file with 50,000 mistakes has one cause, and a hundred
/// lines show it.
pub const MAX_PROBLEMS: usize = 100;

/// Longest path and longest message of a problem, in bytes. Both echo what
/// somebody wrote, so a longer one loses its middle: what is wrong stands at
/// the beginning, and the remedy at the end.
pub const MAX_PROBLEM_TEXT: usize = 600;

/// One mistake in a configuration: where it is and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    path: String,
    message: String,
}

impl Problem {
    /// A problem at `path` (`policies[0].spec.action`; empty for the document).
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: without_middle(path.into()),
            message: without_middle(message.into()),
        }
    }

    /// The same problem, seen from the object that holds this document under `key`.
    #[must_use]
    pub fn within(self, key: &str) -> Self {
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path if path.starts_with('[') => format!("{key}{path}"),
            path => format!("{key}.{path}"),
        };
        Self { path, ..self }
    }

    /// Path of the offending value, empty for the whole document.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// One sentence: what is wrong and what would be right.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// A text of at most [`MAX_PROBLEM_TEXT`] bytes and a note of what is missing.
#[cold]
fn without_middle(text: String) -> String {
    const KEPT: usize = MAX_PROBLEM_TEXT / 2;
    if text.len() <= MAX_PROBLEM_TEXT {
        return text;
    }
    let head = text.get(..text.floor_char_boundary(KEPT)).unwrap_or("");
    let tail = text.get(text.ceil_char_boundary(text.len() - KEPT)..);
    let tail = tail.unwrap_or("");
    let missing = text.len() - head.len() - tail.len();
    format!("{head}... ({missing} bytes left out) ...{tail}")
}

/// At most [`MAX_PROBLEMS`] of `list`, and a last one that says how many are
/// missing: those cut off here, and `more`.
#[cold]
pub(crate) fn cut(mut list: Vec<Problem>, more: usize) -> Vec<Problem> {
    let more = more + list.len().saturating_sub(MAX_PROBLEMS);
    list.truncate(MAX_PROBLEMS);
    if more > 0 {
        let message = format!(
            "... and {} more problems, not listed: mend these first",
            thousands(more)
        );
        list.push(Problem::new("", message));
    }
    list
}

/// `19900` as `19,900`; up to a million, which no configuration has the bytes for.
fn thousands(number: usize) -> String {
    match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}

/// The problems found so far; shared by all [`super::Value`]s of one document.
///
/// Interior mutability, because sibling values report independently while they
/// are all borrowed from the same document.
#[derive(Debug, Default)]
pub struct Problems {
    list: RefCell<Vec<Problem>>,
    /// Found beyond [`MAX_PROBLEMS`].
    more: Cell<usize>,
}

impl Problems {
    /// Adds a problem. A second report of a listed line is dropped; beyond
    /// [`MAX_PROBLEMS`] they are only counted.
    pub fn push(&self, problem: Problem) {
        if let Ok(mut list) = self.list.try_borrow_mut()
            && !list.contains(&problem)
        {
            if list.len() < MAX_PROBLEMS {
                list.push(problem);
            } else {
                self.more.set(self.more.get().saturating_add(1));
            }
        }
    }

    /// Number of problems noted so far.
    #[must_use]
    pub fn len(&self) -> usize {
        let listed = self.list.try_borrow().map_or(0, |list| list.len());
        listed + self.more.get()
    }

    /// True while nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The problems in the order in which they were found, at most
    /// [`MAX_PROBLEMS`]; one more says how many are not listed.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        cut(self.list.into_inner(), self.more.get())
    }
}
