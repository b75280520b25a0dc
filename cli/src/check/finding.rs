//! One thing that is wrong, and exactly where.

use std::fmt;

use serde_json::{Value, json};

use crate::yaml::Position;

/// A problem in a file.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) file: String,
    pub(crate) position: Position,
    /// Path inside the document, empty for all of it.
    pub(crate) path: String,
    /// What is wrong and what would be right.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "file": self.file,
            "line": self.position.line,
            "column": self.position.column,
            "path": self.path,
            "message": self.message,
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.position)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
