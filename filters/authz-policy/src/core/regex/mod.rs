//! A small regular expression engine: full match, linear time, bounded size.
//!
//! The `regex` crates would cost a module 80 KB (`regex-lite`) to 1 MB; what a
//! policy needs is a yes or no on a short text. The syntax is RE2's without
//! captures and word boundaries; the match is a simulation of all states at
//! once, so time is at most text length times program size whatever the
//! pattern.

mod compile;
mod parse;

use std::fmt;

use compile::{Inst, Program};
pub use parse::RegexError;

/// Longest accepted pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 4096;
/// Largest accepted program, in instructions: bounds the cost of one byte of
/// text. `(a|b){100}` has 400.
pub const MAX_INSTRUCTIONS: usize = 2000;

/// A compiled expression that must match the whole text.
#[derive(Clone)]
pub struct Regex {
    pattern: String,
    program: Program,
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
        })
    }

    /// The pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether all of `text` matches. Bytes outside UTF-8 match nothing, not
    /// even a negated class.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        let mut now = States::new(self.program.insts.len());
        let mut next = States::new(self.program.insts.len());
        self.follow(&mut now, 0, true, text.is_empty());
        let mut rest = text;
        while !rest.is_empty() && !now.list.is_empty() {
            let (char, after) = split_char(rest);
            for &state in &now.list {
                if self.takes(state, char) {
                    self.follow(&mut next, state + 1, false, after.is_empty());
                }
            }
            std::mem::swap(&mut now, &mut next);
            next.clear();
            rest = after;
        }
        rest.is_empty()
            && now
                .list
                .iter()
                .any(|&state| matches!(self.program.insts.get(state), Some(Inst::Match)))
    }

    fn takes(&self, state: usize, char: Option<char>) -> bool {
        let (Some(Inst::Class(class)), Some(char)) = (self.program.insts.get(state), char) else {
            return false;
        };
        self.program
            .classes
            .get(*class)
            .is_some_and(|class| class.contains(char))
    }

    /// Adds `state` and all states reachable from it without a character.
    fn follow(&self, states: &mut States, state: usize, at_start: bool, at_end: bool) {
        states.pending.push(state);
        while let Some(state) = states.pending.pop() {
            let Some(seen) = states.seen.get_mut(state) else {
                continue;
            };
            if std::mem::replace(seen, true) {
                continue;
            }
            match self.program.insts.get(state) {
                Some(Inst::Jump(to)) => states.pending.push(*to),
                Some(Inst::Split(a, b)) => states.pending.extend([*b, *a]),
                Some(Inst::Start) if at_start => states.pending.push(state + 1),
                Some(Inst::End) if at_end => states.pending.push(state + 1),
                Some(Inst::Class(_) | Inst::Match) => states.list.push(state),
                _ => {}
            }
        }
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

struct States {
    list: Vec<usize>,
    seen: Vec<bool>,
    pending: Vec<usize>,
}

impl States {
    fn new(size: usize) -> Self {
        Self {
            list: Vec::new(),
            seen: vec![false; size],
            pending: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.seen.fill(false);
    }
}

/// The first character and the rest; `None` for a byte that is not UTF-8.
fn split_char(text: &[u8]) -> (Option<char>, &[u8]) {
    let width = match text.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 1,
    };
    let char = text
        .get(..width)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .and_then(|text| text.chars().next());
    let width = if char.is_some() { width } else { 1 };
    (char, text.get(width..).unwrap_or(&[]))
}

#[cfg(test)]
mod tests;
