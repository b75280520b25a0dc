//! A small regular expression engine: full match, linear time, bounded size.
//!
//! The `regex` crates would cost a module 80 KB (`regex-lite`) to 1 MB; what a
//! policy needs is a yes or no on a short text. The syntax is RE2's without
//! captures and word boundaries, read byte by byte as Envoy's RBAC reads it.

mod automaton;
mod bytes;
mod compile;
mod parse;

use std::fmt;

use super::value::Tri;
pub use automaton::{Automaton, REQUEST_STEPS, Steps, Taken};
use compile::Program;
pub use parse::RegexError;

/// Longest accepted pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 4096;
/// Largest accepted program, in instructions. `(a|b){100}` has 400.
pub const MAX_INSTRUCTIONS: usize = 2000;
/// Largest accepted sum of all programs of a configuration: what a repetition
/// stands for takes a thousand times the memory that it takes to write.
pub const MAX_INSTRUCTIONS_IN_ALL: usize = 1 << 20;

/// An expression that must match the whole text.
#[derive(Clone)]
pub struct Regex {
    pattern: String,
    program: Program,
    /// The set that it is run in, and its number in the automaton.
    place: (usize, usize),
}

impl Regex {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// What is not understood, or that a bound is exceeded.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(RegexError::TooLarge);
        }
        let program = compile::compile(&parse::parse(pattern)?)?;
        Ok(Self {
            pattern: pattern.to_owned(),
            program,
            place: (0, 0),
        })
    }

    /// The pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Instructions of its program.
    #[must_use]
    pub fn size(&self) -> usize {
        self.program.insts.len()
    }

    /// Moves the program into an automaton, unless it holds the same expression
    /// already under this number.
    pub(crate) fn join(&mut self, automaton: &mut Automaton, set: usize, known: Option<usize>) {
        let program = std::mem::take(&mut self.program);
        let number = known.unwrap_or_else(|| automaton.add(set, program));
        self.place = (set, number);
    }

    /// The set that it is run in, and its number there.
    pub(crate) fn place(&self) -> (usize, usize) {
        self.place
    }

    /// Whether all of `text` matches, of this expression alone: for tests and
    /// tools, requests are held against all expressions together.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> Tri {
        let mut automaton = Automaton::default();
        let number = automaton.add(0, self.program.clone());
        automaton.finish();
        automaton.run(0, text, &Steps::default()).any_of(&[number])
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.pattern)
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Regex {}

#[cfg(test)]
mod tests;
