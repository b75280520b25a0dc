//! Plugin configuration: parsed once, every problem reported with its path.
//!
//! A configuration is untrusted text that a tired person will have to mend, so
//! reading never stops at the first mistake. A [`Value`] walks the parsed tree
//! and notes each [`Problem`]; the caller checks at the end whether any was
//! found and only then builds its compiled form.
//!
//! ```
//! use meshpack_sdk::config::{self, Value};
//!
//! struct Greeting { text: String, times: i64 }
//!
//! fn read(value: Value<'_>) -> Option<Greeting> {
//!     let mut fields = value.object()?;
//!     let text = fields.required("text").and_then(|v| v.string());
//!     let times = fields.get("times").map_or(Some(1), |v| v.integer(1..=10));
//!     Some(Greeting { text: text?.to_owned(), times: times? })
//! }
//!
//! let ok = config::parse(br#"{"text": "hello"}"#, read).unwrap();
//! assert_eq!((ok.text.as_str(), ok.times), ("hello", 1));
//!
//! let problems = config::parse(br#"{"txt": "hello", "times": 11}"#, read).err().unwrap();
//! let lines: Vec<String> = problems.iter().map(|p| p.to_string()).collect();
//! assert_eq!(lines, [
//!     "text: is required",
//!     "times: 11 is out of range: use a whole number from 1 to 10",
//!     "txt: unknown key; known keys here: text, times",
//! ]);
//! ```

mod decimal;
mod node;
mod problem;
mod protobuf_struct;
mod time;
mod value;

pub use decimal::decimal;
pub use node::{Node, Number};
pub(crate) use problem::cut;
pub use problem::{MAX_PROBLEM_TEXT, MAX_PROBLEMS, Problem, Problems};
pub use value::{Fields, Value};

/// Largest accepted configuration, in bytes. Envoy itself has no limit; this one
/// only keeps a hostile or mistaken file from exhausting the VM's memory.
pub const MAX_CONFIG_BYTES: usize = 16 * 1024 * 1024;

/// Parses a plugin configuration as Envoy hands it over and reads it with `read`.
///
/// Accepts JSON text (Envoy's `StringValue`, Istio's `pluginConfig`) and a
/// serialized `google.protobuf.Struct` (Envoy's `Struct`). An empty
/// configuration reads as an empty object, because Istio sends none at all for
/// an empty `pluginConfig`.
///
/// # Errors
/// Every problem found, in document order, as far as [`MAX_PROBLEMS`] goes. `read` returning `None` without
/// having noted a problem is reported as a problem of the whole document, so
/// nothing half-read can pass.
pub fn parse<T>(
    bytes: &[u8],
    read: impl FnOnce(Value<'_>) -> Option<T>,
) -> Result<T, Vec<Problem>> {
    let node = Node::from_plugin_configuration(bytes).map_err(|problem| vec![problem])?;
    read_node(&node, read)
}

/// Like [`parse`], for a tree that another front end (a YAML reader) has built.
///
/// # Errors
/// As [`parse`].
pub fn read_node<T>(
    node: &Node,
    read: impl FnOnce(Value<'_>) -> Option<T>,
) -> Result<T, Vec<Problem>> {
    let problems = Problems::default();
    let read = read(Value::root(node, &problems));
    let found = problems.into_vec();
    match read {
        Some(value) if found.is_empty() => Ok(value),
        None if found.is_empty() => Err(vec![Problem::new("", "is not a usable configuration")]),
        _ => Err(found),
    }
}

#[cfg(test)]
mod tests;
