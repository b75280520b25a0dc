//! What is wrong with a configuration, and where.

use std::cell::RefCell;
use std::fmt;

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
            path: path.into(),
            message: message.into(),
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

/// The problems found so far; shared by all [`super::Value`]s of one document.
///
/// Interior mutability, because sibling values report independently while they
/// are all borrowed from the same document.
#[derive(Debug, Default)]
pub struct Problems {
    list: RefCell<Vec<Problem>>,
}

impl Problems {
    /// Adds a problem. A second report of the same line is dropped.
    pub fn push(&self, problem: Problem) {
        if let Ok(mut list) = self.list.try_borrow_mut()
            && !list.contains(&problem)
        {
            list.push(problem);
        }
    }

    /// Number of problems noted so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.try_borrow().map_or(0, |list| list.len())
    }

    /// True while nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The problems in the order in which they were found.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        self.list.into_inner()
    }
}
