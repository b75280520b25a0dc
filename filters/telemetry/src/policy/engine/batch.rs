//! Many expressions in one evaluation.

use std::ops::Range;

use meshpack_sdk::texts::Texts;

use super::{Engine, Evaluation, ResultType, Token, list::split_list};

/// An expression that failed alone this often leaves the list, so that it fails
/// only itself from then on.
const FAILURES_BEFORE_LEAVING: u32 = 3;

/// Place of an expression in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(usize);

impl Slot {
    /// The position among the batch's expressions, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

#[derive(Debug)]
struct Entry {
    evaluation: Evaluation,
    /// Alone, for when the list fails.
    single: Option<Token>,
    failures: u32,
    /// Whether it is an element of the lists.
    listed: bool,
    /// Where the value stands in the buffer.
    value: Option<Range<usize>>,
}

/// Expressions that are evaluated together.
///
/// One failing element fails the whole list. So three forms are compiled: the
/// list as it usually succeeds; the list with every attribute asked for first;
/// each expression alone. Only a failure makes the next form run, and an
/// expression that keeps failing leaves the lists.
#[derive(Debug)]
pub struct Batch<E: Engine> {
    engine: E,
    entries: Vec<Entry>,
    /// Places of the entries by what they evaluate.
    places: Texts,
    /// The usual list without the spare element.
    short: Option<Token>,
    usual: Option<Token>,
    safe: Option<Token>,
    /// Elements of the lists, by place.
    listed: Vec<usize>,
    spare: Option<Slot>,
    buffer: Vec<u8>,
    spans: Vec<Range<usize>>,
}

impl<E: Engine> Batch<E> {
    /// An empty batch.
    pub fn new(engine: E) -> Self {
        Self {
            engine,
            entries: Vec::new(),
            places: Texts::default(),
            short: None,
            usual: None,
            safe: None,
            listed: Vec::new(),
            spare: None,
            buffer: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Adds an expression, or finds it if it is there. `None` when the engine
    /// refuses it.
    pub fn add(&mut self, evaluation: &Evaluation) -> Option<Slot> {
        let mut key = vec![evaluation.result as u8];
        key.extend_from_slice(&evaluation.cel.len().to_le_bytes());
        key.extend_from_slice(evaluation.cel.as_bytes());
        key.extend_from_slice(evaluation.safe.as_bytes());
        if let Some(at) = self.places.number(&key) {
            // Now somebody else wants it, too, who does not know its value.
            self.spare = self.spare.filter(|spare| spare.0 != at);
            return Some(Slot(at));
        }
        let single = Some(self.engine.create(&evaluation.safe)?);
        self.entries.push(Entry {
            evaluation: evaluation.clone(),
            single,
            failures: 0,
            listed: false,
            value: None,
        });
        // As many are there, so it gets the number of the entry.
        Some(Slot(self.places.insert(&key).number))
    }

    /// Adds an expression of the filter's own, whose form is known.
    pub fn add_own(&mut self, cel: &str, safe: &str, result: ResultType) -> Option<Slot> {
        self.add(&Evaluation {
            cel: cel.to_owned(),
            safe: safe.to_owned(),
            result,
        })
    }

    /// Names the element whose value the caller may know already.
    pub fn spare(&mut self, slot: Slot) {
        self.spare = Some(slot);
    }

    /// Whether there is nothing to evaluate.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Compiles the lists; call it when all expressions are added.
    pub fn compile(&mut self) {
        self.drop_lists();
        self.listed.clear();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            entry.listed = entry.failures < FAILURES_BEFORE_LEAVING;
            if entry.listed {
                self.listed.push(at);
            }
        }
        if self.listed.is_empty() {
            return;
        }
        let list = |form: fn(&Evaluation) -> &str, without: Option<Slot>| {
            let items: Vec<&str> = self
                .listed
                .iter()
                .filter(|at| without != Some(Slot(**at)))
                .filter_map(|at| self.entries.get(*at))
                .map(|entry| form(&entry.evaluation))
                .collect();
            format!("[{}]", items.join(" , "))
        };
        let usual = list(|evaluation| &evaluation.cel, None);
        let safe = list(|evaluation| &evaluation.safe, None);
        self.short = match self.spare {
            Some(_) => {
                let short = list(|evaluation| &evaluation.cel, self.spare);
                self.engine.create(&short)
            }
            None => None,
        };
        self.usual = self.engine.create(&usual);
        self.safe = if safe == usual {
            None
        } else {
            self.engine.create(&safe)
        };
    }

    /// Evaluates everything for the stream in hand; `failed` is told of each
    /// expression that failed even alone.
    pub fn evaluate(&mut self, failed: impl FnMut(Slot)) {
        self.evaluate_without(None, failed);
    }

    /// The same when the value of the spare element is known: it may be left out
    /// and then has no value.
    pub fn evaluate_but_spare(&mut self, failed: impl FnMut(Slot)) {
        self.evaluate_without(self.spare, failed);
    }

    fn evaluate_without(&mut self, known: Option<Slot>, mut failed: impl FnMut(Slot)) {
        self.buffer.clear();
        for entry in &mut self.entries {
            entry.value = None;
        }
        let listed = (known.is_some() && self.evaluate_list(self.short, known))
            || self.evaluate_list(self.usual, None)
            || self.evaluate_list(self.safe, None);
        if listed && self.listed.len() == self.entries.len() {
            return;
        }
        let mut left = false;
        for at in 0..self.entries.len() {
            if known == Some(Slot(at))
                || (listed && self.entries.get(at).is_some_and(|entry| entry.listed))
                || self.evaluate_single(at)
            {
                continue;
            }
            failed(Slot(at));
            if let Some(entry) = self.entries.get_mut(at) {
                entry.failures = entry.failures.saturating_add(1);
                left |= entry.failures == FAILURES_BEFORE_LEAVING;
            }
        }
        if left {
            self.compile();
        }
    }

    fn evaluate_list(&mut self, list: Option<Token>, without: Option<Slot>) -> bool {
        let Some(token) = list else { return false };
        self.buffer.clear();
        let elements = || self.listed.iter().filter(|at| without != Some(Slot(**at)));
        if !self.engine.evaluate(token, &mut self.buffer)
            || !split_list(&self.buffer, elements().count(), &mut self.spans)
        {
            return false;
        }
        for (at, span) in elements().zip(&self.spans) {
            if let Some(entry) = self.entries.get_mut(*at) {
                entry.value = Some(span.clone());
            }
        }
        true
    }

    fn evaluate_single(&mut self, at: usize) -> bool {
        let Some(entry) = self.entries.get_mut(at) else {
            return false;
        };
        let start = self.buffer.len();
        let Some(token) = entry.single else {
            return false;
        };
        if !self.engine.evaluate(token, &mut self.buffer) {
            return false;
        }
        entry.value = Some(start..self.buffer.len());
        true
    }

    /// The bytes of a value of the last evaluation; empty when there is none.
    #[inline]
    pub fn bytes(&self, slot: Slot) -> &[u8] {
        let span = self
            .entries
            .get(slot.0)
            .and_then(|entry| entry.value.clone());
        span.and_then(|span| self.buffer.get(span))
            .unwrap_or_default()
    }

    /// A whole number; `None` when there is no value. Nanoseconds are given as
    /// whole milliseconds.
    #[inline]
    pub fn integer(&self, slot: Slot) -> Option<i64> {
        let bytes = self.bytes(slot);
        let result = self.entries.get(slot.0)?.evaluation.result;
        match result {
            ResultType::Bool => Some(i64::from(*bytes.first()?)),
            ResultType::Int => Some(i64::from_le_bytes(bytes.try_into().ok()?)),
            ResultType::Nanoseconds => Some(i64::from_le_bytes(bytes.try_into().ok()?) / 1_000_000),
            ResultType::Text => None,
        }
    }

    /// A value as it is shown in a label or a log field; `None` when there is none.
    pub fn shown(&self, slot: Slot) -> Option<Vec<u8>> {
        let bytes = self.bytes(slot);
        if bytes.is_empty() {
            return None;
        }
        match self.entries.get(slot.0)?.evaluation.result {
            ResultType::Text => Some(bytes.to_vec()),
            ResultType::Bool => Some(if bytes == [0] { "false" } else { "true" }.into()),
            ResultType::Int | ResultType::Nanoseconds => self
                .integer(slot)
                .map(|number| number.to_string().into_bytes()),
        }
    }

    /// Form of a value.
    pub fn result(&self, slot: Slot) -> Option<ResultType> {
        self.entries
            .get(slot.0)
            .map(|entry| entry.evaluation.result)
    }

    fn drop_lists(&mut self) {
        let lists = [self.short.take(), self.usual.take(), self.safe.take()];
        for token in lists.into_iter().flatten() {
            self.engine.delete(token);
        }
    }
}

/// Tokens belong to the plugin's root context and would outlive the batch.
impl<E: Engine> Drop for Batch<E> {
    fn drop(&mut self) {
        self.drop_lists();
        for entry in &self.entries {
            if let Some(token) = entry.single {
                self.engine.delete(token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::engine::fake::FakeEngine;

    fn batch(engine: &FakeEngine, expressions: &[(&str, &str)]) -> (Batch<FakeEngine>, Vec<Slot>) {
        let mut batch = Batch::new(engine.clone());
        let slots = expressions
            .iter()
            .map(|(cel, safe)| batch.add_own(cel, safe, ResultType::Text).unwrap())
            .collect();
        batch.compile();
        (batch, slots)
    }

    #[test]
    fn everything_is_asked_in_one_evaluation() {
        let engine = FakeEngine::default();
        engine.set("a", "1");
        engine.set("b", "");
        let (mut batch, slots) = batch(&engine, &[("a", "a"), ("b", "b"), ("a", "a")]);
        batch.evaluate(|_| panic!("nothing fails"));
        assert_eq!(engine.take_evaluations(), ["[a , b]"]);
        assert_eq!(batch.bytes(slots[0]), b"1");
        assert_eq!(batch.shown(slots[1]), None);
        assert_eq!(slots[0], slots[2]);
    }

    #[test]
    fn what_may_be_missing_is_asked_for_only_when_the_list_failed() {
        let engine = FakeEngine::default();
        engine.set("a", "1");
        engine.set("has(b)?b", "");
        let (mut batch, slots) = batch(&engine, &[("a", "a"), ("b", "has(b)?b")]);
        batch.evaluate(|_| panic!("nothing fails"));
        assert_eq!(engine.take_evaluations(), ["[a , b]", "[a , has(b)?b]"]);
        assert_eq!(batch.bytes(slots[0]), b"1");
        assert_eq!(batch.bytes(slots[1]), b"");
    }

    #[test]
    fn what_is_known_already_is_not_asked_for() {
        let engine = FakeEngine::default();
        engine.set("a", "1");
        engine.set("b", "2");
        let mut batch = Batch::new(engine.clone());
        let mut add = |cel: &str| batch.add_own(cel, cel, ResultType::Text).unwrap();
        let (a, b) = (add("a"), add("b"));
        batch.spare(a);
        batch.compile();
        batch.evaluate_but_spare(|_| panic!("nothing fails"));
        assert_eq!(engine.take_evaluations(), ["[b]"]);
        assert_eq!((batch.bytes(a), batch.bytes(b)), (&b""[..], &b"2"[..]));
        batch.evaluate(|_| panic!("nothing fails"));
        assert_eq!(engine.take_evaluations(), ["[a , b]"]);
        assert_eq!((batch.bytes(a), batch.bytes(b)), (&b"1"[..], &b"2"[..]));
        engine.unset("b");
        let mut failed = Vec::new();
        batch.evaluate_but_spare(|slot| failed.push(slot));
        assert_eq!(failed, [b]);
        assert_eq!(engine.take_evaluations(), ["[b]", "[a , b]", "b"]);
    }

    #[test]
    fn one_failing_expression_costs_only_itself_its_value() {
        let engine = FakeEngine::default();
        engine.set("a", "1");
        let (mut batch, slots) = batch(&engine, &[("bad", "bad"), ("a", "a")]);
        let mut failed = Vec::new();
        batch.evaluate(|slot| failed.push(slot));
        assert_eq!(failed, [slots[0]]);
        assert_eq!(batch.bytes(slots[1]), b"1");
        assert_eq!(engine.take_evaluations(), ["[bad , a]", "bad", "a"]);
    }

    #[test]
    fn an_expression_that_keeps_failing_leaves_the_list() {
        let engine = FakeEngine::default();
        engine.set("a", "1");
        let (mut batch, slots) = batch(&engine, &[("bad", "bad"), ("a", "a")]);
        for _ in 0..3 {
            batch.evaluate(|_| {});
        }
        engine.take_evaluations();
        engine.set("bad", "2");
        batch.evaluate(|_| panic!("nothing fails now"));
        assert_eq!(engine.take_evaluations(), ["[a]", "bad"]);
        assert_eq!(batch.bytes(slots[0]), b"2");
        assert_eq!(batch.bytes(slots[1]), b"1");
    }

    #[test]
    fn a_value_of_the_last_request_never_shows_again() {
        let engine = FakeEngine::default();
        engine.set("a", "1");
        let (mut batch, slots) = batch(&engine, &[("a", "a")]);
        batch.evaluate(|_| {});
        engine.unset("a");
        batch.evaluate(|_| {});
        assert_eq!(batch.bytes(slots[0]), b"");
    }

    #[test]
    fn numbers_are_read_by_their_type() {
        let engine = FakeEngine::default();
        let mut batch = Batch::new(engine.clone());
        let code = batch.add_own("code", "code", ResultType::Int).unwrap();
        let time = batch
            .add_own("time", "time", ResultType::Nanoseconds)
            .unwrap();
        let mtls = batch.add_own("mtls", "mtls", ResultType::Bool).unwrap();
        batch.compile();
        engine.set("code", 200_i64.to_le_bytes());
        engine.set("time", 12_900_000_i64.to_le_bytes());
        engine.set("mtls", [1]);
        batch.evaluate(|_| panic!("nothing fails"));
        assert_eq!(batch.integer(code), Some(200));
        assert_eq!(batch.integer(time), Some(12));
        assert_eq!(batch.shown(code).unwrap(), b"200");
        assert_eq!(batch.shown(mtls).unwrap(), b"true");
        engine.set("code", "not a number");
        batch.evaluate(|_| {});
        assert_eq!(batch.integer(code), None);
        assert_eq!(batch.shown(code), None);
    }

    #[test]
    fn refused_expressions_are_known_and_nothing_is_left_behind() {
        let engine = FakeEngine::default();
        engine.refuse("bad");
        {
            let (mut batch, _) = batch(&engine, &[("a", "a"), ("b", "c")]);
            assert_eq!(batch.add_own("bad", "bad", ResultType::Text), None);
            batch.compile();
            assert_eq!(engine.live(), 4);
        }
        assert_eq!(engine.live(), 0);
    }
}
