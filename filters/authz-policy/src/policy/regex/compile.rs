//! From a syntax tree to a program of states.

use super::MAX_INSTRUCTIONS;
use super::bytes::ByteSet;
use super::parse::{Ast, RegexError};

/// One state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inst {
    /// Takes a byte of this class and goes to the next state.
    Class(usize),
    /// Goes on at another state.
    Jump(usize),
    /// Goes on at both.
    Split(usize, usize),
    /// Goes on at the start of the text only.
    Start,
    /// Goes on at the end of the text only.
    End,
    /// The expression of this number matches when the text ends here.
    Match(usize),
}

/// States and the classes they name.
#[derive(Clone, Default)]
pub(crate) struct Program {
    pub(super) insts: Vec<Inst>,
    pub(super) classes: Vec<ByteSet>,
}

pub(super) fn compile(ast: &Ast) -> Result<Program, RegexError> {
    let mut program = Program::default();
    program.emit(ast)?;
    program.push(Inst::Match(0))?;
    Ok(program)
}

impl Program {
    fn push(&mut self, inst: Inst) -> Result<usize, RegexError> {
        if self.insts.len() >= MAX_INSTRUCTIONS {
            return Err(RegexError::TooLarge);
        }
        self.insts.push(inst);
        Ok(self.insts.len() - 1)
    }

    fn set(&mut self, at: usize, inst: Inst) {
        if let Some(slot) = self.insts.get_mut(at) {
            *slot = inst;
        }
    }

    fn class(&mut self, class: ByteSet) -> usize {
        let known = self.classes.iter().position(|known| *known == class);
        known.unwrap_or_else(|| {
            self.classes.push(class);
            self.classes.len() - 1
        })
    }

    fn emit(&mut self, ast: &Ast) -> Result<(), RegexError> {
        match ast {
            Ast::Empty => {}
            Ast::Class(class) => {
                let class = self.class(*class);
                self.push(Inst::Class(class))?;
            }
            Ast::Start => {
                self.push(Inst::Start)?;
            }
            Ast::End => {
                self.push(Inst::End)?;
            }
            Ast::Concat(items) => {
                for item in items {
                    self.emit(item)?;
                }
            }
            Ast::Alternate(branches) => self.alternate(branches)?,
            Ast::Repeat { inner, least, most } => self.repeat(inner, *least, *most)?,
        }
        Ok(())
    }

    fn alternate(&mut self, branches: &[Ast]) -> Result<(), RegexError> {
        let mut ends = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            if index + 1 == branches.len() {
                self.emit(branch)?;
                break;
            }
            let split = self.push(Inst::Match(0))?;
            self.emit(branch)?;
            ends.push(self.push(Inst::Match(0))?);
            self.set(split, Inst::Split(split + 1, self.insts.len()));
        }
        let after = self.insts.len();
        for end in ends {
            self.set(end, Inst::Jump(after));
        }
        Ok(())
    }

    fn repeat(&mut self, inner: &Ast, least: u32, most: Option<u32>) -> Result<(), RegexError> {
        for _ in 0..least {
            self.emit_counted(inner)?;
        }
        let Some(most) = most else {
            let split = self.push(Inst::Match(0))?;
            self.emit(inner)?;
            self.push(Inst::Jump(split))?;
            self.set(split, Inst::Split(split + 1, self.insts.len()));
            return Ok(());
        };
        let mut splits = Vec::new();
        for _ in least..most {
            splits.push(self.push(Inst::Match(0))?);
            self.emit(inner)?;
        }
        let after = self.insts.len();
        for split in splits {
            self.set(split, Inst::Split(split + 1, after));
        }
        Ok(())
    }

    /// Emits one of a counted repetition. One that adds no instruction (an
    /// empty group) costs one, so that nested counts stay bounded too.
    fn emit_counted(&mut self, inner: &Ast) -> Result<(), RegexError> {
        let before = self.insts.len();
        self.emit(inner)?;
        if self.insts.len() == before {
            self.push(Inst::Jump(before + 1))?;
        }
        Ok(())
    }
}
