//! An engine for tests: values by expression text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::list::join_list;
use super::{Engine, Token};

/// Knows values of whole expressions; a list is computed from its elements, and
/// one unknown element fails it, as in Envoy.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeEngine {
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    values: HashMap<String, Vec<u8>>,
    refused: Vec<String>,
    live: HashMap<u32, String>,
    created: u32,
    evaluations: Vec<String>,
}

impl FakeEngine {
    pub(crate) fn set(&self, cel: &str, value: impl Into<Vec<u8>>) {
        self.state
            .borrow_mut()
            .values
            .insert(cel.to_owned(), value.into());
    }

    pub(crate) fn unset(&self, cel: &str) {
        self.state.borrow_mut().values.remove(cel);
    }

    pub(crate) fn refuse(&self, cel: &str) {
        self.state.borrow_mut().refused.push(cel.to_owned());
    }

    pub(crate) fn live(&self) -> usize {
        self.state.borrow().live.len()
    }

    pub(crate) fn take_evaluations(&self) -> Vec<String> {
        std::mem::take(&mut self.state.borrow_mut().evaluations)
    }
}

impl Engine for FakeEngine {
    fn create(&self, cel: &str) -> Option<Token> {
        let mut state = self.state.borrow_mut();
        if state.refused.iter().any(|refused| cel.contains(refused)) {
            return None;
        }
        state.created += 1;
        let token = state.created;
        state.live.insert(token, cel.to_owned());
        Some(Token(token))
    }

    fn evaluate(&self, token: Token, out: &mut Vec<u8>) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(cel) = state.live.get(&token.0).cloned() else {
            return false;
        };
        state.evaluations.push(cel.clone());
        let list = cel
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let result = match list {
            Some(items) => items
                .split(" , ")
                .map(|item| state.values.get(item).cloned())
                .collect::<Option<Vec<_>>>()
                .map(|values| join_list(&values)),
            None => state.values.get(&cel).cloned(),
        };
        match result {
            Some(bytes) => {
                out.extend_from_slice(&bytes);
                true
            }
            None => false,
        }
    }

    fn delete(&self, token: Token) {
        self.state.borrow_mut().live.remove(&token.0);
    }
}
