//! YAML and JSON files as configuration trees that remember where everything stands.
//!
//! ```
//! let documents = meshpack_cli::yaml::parse("kind: A\n---\nspec:\n  port: x\n").unwrap();
//! let second = documents[1].root();
//! assert_eq!(second.locate("spec.port").to_string(), "4:3");
//! // What is not there is found where it is missing.
//! assert_eq!(second.locate("spec.host.name").to_string(), "3:1");
//! ```

mod file;
mod load;
mod place;
mod scalar;
#[cfg(test)]
mod tests;

pub use file::{MAX_FILE_BYTES, Unreadable, read};
pub(crate) use place::push_key;
pub use place::{Place, Position};
pub(crate) use scalar::plain;

use meshpack_sdk::config::Node;
use place::Marks;

/// One document of a file.
#[derive(Debug)]
pub struct Document {
    node: Node,
    marks: Marks,
}

impl Document {
    /// The whole document.
    #[must_use]
    pub fn root(&self) -> Place<'_> {
        Place::new(&self.node, &self.marks)
    }
}

/// Why text is not YAML (and so not JSON either).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct SyntaxError {
    /// Where reading had to stop.
    pub position: Position,
    /// What is wrong there.
    pub message: String,
}

/// Reads all documents of a text. Documents without content are left out.
///
/// Plain scalars mean what they mean to kubectl and Envoy: `yes`, `no`, `on`
/// and `off` are booleans.
///
/// # Errors
/// The first syntax error; also aliases and nestings that would exhaust memory.
pub fn parse(text: &str) -> Result<Vec<Document>, SyntaxError> {
    load::documents(text)
}
