//! The values of one request: what Envoy computed, and the filter's own.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use meshpack_sdk::config::Problem;

use super::host::HostEngine;
use crate::config::{Config, Expression, Source};
use crate::policy::engine::ResultType;
use crate::policy::engine::{Batch, Slot};
use crate::policy::path_template::Operations;
use crate::policy::series::{LabelValue, UNKNOWN, push_key};

/// Where a value that is shown comes from.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    Constant(Vec<u8>),
    Operation,
    Slot(Slot),
    /// The engine refused it; the configuration is refused too.
    Refused,
}

/// All expressions of one phase, and where they stand in the configuration.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) batch: Batch<HostEngine>,
    operations: Rc<Operations>,
    /// Where the configuration stands in the document.
    place: String,
    path: Cell<Option<Slot>>,
    /// Where the configuration has them, by slot; the filter's own have no place.
    origins: Vec<Option<String>>,
    problems: Vec<Problem>,
}

impl Values {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            batch: Batch::new(HostEngine),
            operations: Rc::clone(&config.operations),
            place: config.place.clone(),
            path: Cell::new(None),
            origins: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Adds an expression that is shown.
    pub(super) fn show(&mut self, expression: &Expression) -> Shown {
        match &expression.source {
            Source::Constant(text) => Shown::Constant(text.clone().into_bytes()),
            Source::Operation => {
                if self.path.get().is_none() {
                    let cel = "has(request.path) ? request.path : \"\"";
                    self.path
                        .set(self.batch.add_own(cel, cel, ResultType::Text));
                }
                Shown::Operation
            }
            Source::Engine(_) => self.slot(expression).map_or(Shown::Refused, Shown::Slot),
        }
    }

    /// Adds a number or a condition.
    pub(super) fn slot(&mut self, expression: &Expression) -> Option<Slot> {
        let Source::Engine(evaluation) = &expression.source else {
            return None;
        };
        match self.batch.add(evaluation) {
            Some(slot) => {
                let origin = self.origin(expression);
                if self.origins.len() <= slot.index() {
                    self.origins.resize(slot.index() + 1, None);
                }
                if let Some(place) = self.origins.get_mut(slot.index()) {
                    place.get_or_insert(origin);
                }
                Some(slot)
            }
            None => {
                self.problems.push(Problem::new(
                    self.origin(expression),
                    format!(
                        "Envoy's CEL engine refuses {:?}: check the names of its functions",
                        expression.text
                    ),
                ));
                None
            }
        }
    }

    /// Adds the attribute at a NUL-joined path, a whole number; 0 where it is missing.
    pub(super) fn attribute(&mut self, path: &[u8]) -> Option<Slot> {
        let path = std::str::from_utf8(path).ok()?.replace('\0', ".");
        let safe = format!("has({path}) ? {path} : 0u");
        self.batch
            .add_own(&format!("({path})"), &safe, ResultType::Int)
    }

    /// Where an expression stands in this filter's own configuration: what it
    /// counts has the same name alone and as a part of a larger module.
    fn origin(&self, expression: &Expression) -> String {
        let path = expression.path.as_str();
        let own = path.strip_prefix(&self.place).unwrap_or(path);
        own.strip_prefix('.').unwrap_or(own).to_owned()
    }

    /// Compiles everything added.
    pub(super) fn compile(&mut self) -> Vec<Problem> {
        self.batch.compile();
        std::mem::take(&mut self.problems)
    }

    /// Evaluates everything for the stream in hand; `failed` gets the place of
    /// each expression that failed. The spare element may be left out when its
    /// value is known.
    pub(super) fn evaluate(&mut self, spare_is_known: bool, mut failed: impl FnMut(&str)) {
        let origins = &self.origins;
        let failed = |slot: Slot| {
            let origin = origins.get(slot.index()).and_then(Option::as_deref);
            failed(origin.unwrap_or("golden"));
        };
        if spare_is_known {
            self.batch.evaluate_but_spare(failed);
        } else {
            self.batch.evaluate(failed);
        }
    }

    fn operation(&self) -> &str {
        let path = self.path.get().map(|slot| self.batch.bytes(slot));
        self.operations.name(path.unwrap_or_default())
    }

    /// Appends a value to a series key as it is, without rendering it.
    #[inline]
    pub(super) fn push_key(&self, shown: &Shown, key: &mut Vec<u8>, max_value_length: usize) {
        match shown {
            Shown::Constant(_) | Shown::Refused => {}
            Shown::Operation => push_key(key, self.operation().as_bytes(), max_value_length),
            Shown::Slot(slot) => push_key(key, self.batch.bytes(*slot), max_value_length),
        }
    }

    /// A value as it is shown; `None` when there is none.
    pub(super) fn shown(&self, shown: &Shown) -> Option<Cow<'static, [u8]>> {
        match shown {
            Shown::Constant(text) if text.is_empty() => None,
            Shown::Constant(text) => Some(Cow::Owned(text.clone())),
            Shown::Operation => Some(Cow::Owned(self.operation().as_bytes().to_vec())),
            Shown::Slot(slot) => self.batch.shown(*slot).map(Cow::Owned),
            Shown::Refused => None,
        }
    }

    /// A value as a label.
    pub(super) fn label(&self, shown: &Shown, open: bool) -> LabelValue<'static> {
        LabelValue {
            value: self.shown(shown).unwrap_or(Cow::Borrowed(UNKNOWN)),
            open,
        }
    }

    /// Whether a condition holds; one that failed does not.
    pub(super) fn holds(&self, condition: Option<Slot>) -> bool {
        condition.is_none_or(|slot| self.batch.integer(slot) == Some(1))
    }
}
