//! Expressions: parsed here, evaluated by Envoy's own CEL engine.
//!
//! Envoy answers a broken expression with one bare status, so the syntax is
//! checked here first: a mistake is reported with its column, in the filter and
//! on the command line alike. The tree is then used for one thing only, to find
//! what an expression costs: a constant costs nothing, a plain attribute has a
//! known type and joins the list that is read at once, and only the rest needs
//! an evaluation of its own kind.

mod attributes;
mod constant;
mod lexer;
mod parser;
mod shape;

pub use attributes::{AttributeType, Presence, attribute};
pub use constant::{Constant, constant};
pub use parser::{Expr, ExprKind, parse};
pub use shape::{Path, Segment, Shape, ValueType, identifiers, is_closed, shape, value_type};

use std::fmt;

/// Why an expression does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Column of the offending character, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

impl std::error::Error for SyntaxError {}
