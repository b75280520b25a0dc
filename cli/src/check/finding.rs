//! One thing that is wrong, and exactly where.

use std::fmt;

use serde_json::{Value, json};

use super::code::{Code, Severity};
use crate::yaml::Position;

/// A problem in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) code: &'static Code,
    pub(crate) file: String,
    pub(crate) position: Position,
    /// Path inside the document, empty for all of it.
    pub(crate) path: String,
    /// What is wrong and what would be right.
    pub(crate) message: String,
}

impl Finding {
    /// Whether it is a reason to fail.
    pub(crate) fn fails(&self) -> bool {
        self.code.severity >= Severity::Warning
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "code": self.code.to_string(),
            "severity": self.code.severity.name(),
            "file": self.file,
            "line": self.position.line,
            "column": self.position.column,
            "path": self.path,
            "message": self.message,
            "effect": self.code.effect,
            "remedy": self.code.remedy,
        })
    }
}

/// As compilers write it, on one line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.position)?;
        if self.code.severity != Severity::Error {
            write!(f, "{}: ", self.code.severity.name())?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{} [{}]", self.message, self.code)
    }
}
