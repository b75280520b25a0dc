//! Values from Envoy's CEL engine, as few calls as possible.
//!
//! One evaluation costs about 20k instructions, each further attribute in the
//! same evaluation about 2k; so a [`Batch`] asks for a list of everything at
//! once.

mod batch;
mod evaluation;
mod list;

pub use batch::{Batch, Slot};
pub use evaluation::{Evaluation, ResultType};
pub use list::split_list;

/// An expression that the engine has compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub u32);

/// The engine, as the core needs it.
pub trait Engine {
    /// Compiles an expression; `None` when the engine refuses it.
    fn create(&self, cel: &str) -> Option<Token>;

    /// Evaluates it for the stream in hand and appends the result's bytes.
    /// False when it failed.
    fn evaluate(&self, token: Token, out: &mut Vec<u8>) -> bool;

    /// Forgets it.
    fn delete(&self, token: Token);
}

#[cfg(test)]
pub(crate) mod fake;
