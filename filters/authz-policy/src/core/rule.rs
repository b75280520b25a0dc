//! A rule ready to be held against requests.

use super::index::{Constraint, KeyIndex, all_of};
use super::model::{Compare, Field, Pattern, Rule, Subject};
use super::request::Request;
use super::value::{Tri, Value};

/// Up to this many values are tried one by one: a table costs about as much as
/// so many short comparisons.
const LINEAR: usize = 8;

/// A rule with its long value lists indexed.
#[derive(Debug, Clone, PartialEq)]
pub struct CompiledRule {
    pub(crate) from: Vec<Vec<CompiledField>>,
    pub(crate) to: Vec<Vec<CompiledField>>,
    pub(crate) when: Vec<CompiledField>,
}

/// A field with its long value lists indexed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CompiledField {
    pub(crate) subject: Subject,
    pub(crate) is: Values,
    pub(crate) not: Values,
}

/// Values of which one must match.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values {
    pub(crate) patterns: Vec<Pattern>,
    index: Option<Box<KeyIndex>>,
    /// Every value of a parameter or cookie must match, not any.
    every: bool,
}

impl CompiledRule {
    /// Compiles a rule.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        let fields = |fields: Vec<Field>| fields.into_iter().map(CompiledField::new).collect();
        Self {
            from: rule.from.into_iter().map(fields).collect(),
            to: rule.to.into_iter().map(fields).collect(),
            when: fields(rule.when),
        }
    }

    /// Whether the request matches.
    #[must_use]
    pub fn matches(&self, request: &Request<'_>) -> Tri {
        any(&self.to, request)
            .and(|| any(&self.from, request))
            .and(|| all(&self.when, request))
    }
}

fn any(alternatives: &[Vec<CompiledField>], request: &Request<'_>) -> Tri {
    if alternatives.is_empty() {
        return Tri::Yes;
    }
    alternatives
        .iter()
        .fold(Tri::No, |found, fields| found.or(|| all(fields, request)))
}

fn all(fields: &[CompiledField], request: &Request<'_>) -> Tri {
    fields.iter().fold(Tri::Yes, |so_far, field| {
        so_far.and(|| field.matches(request))
    })
}

impl CompiledField {
    fn new(field: Field) -> Self {
        Self {
            is: Values::new(&field.subject, field.is, field.compare),
            not: Values::new(&field.subject, field.not, field.compare.opposite()),
            subject: field.subject,
        }
    }

    /// Whether the request satisfies both lists.
    pub(crate) fn matches(&self, request: &Request<'_>) -> Tri {
        let wanted = match self.is.patterns.as_slice() {
            [] => Tri::Yes,
            _ => self.is.any(&self.subject, request),
        };
        wanted.and(|| match self.not.patterns.as_slice() {
            [] => Tri::Yes,
            _ => !self.not.any(&self.subject, request),
        })
    }
}

impl Values {
    fn new(subject: &Subject, patterns: Vec<Pattern>, compare: Compare) -> Self {
        let index =
            (patterns.len() > LINEAR).then(|| Box::new(KeyIndex::of_patterns(subject, &patterns)));
        Self {
            patterns,
            index,
            every: compare == Compare::All,
        }
    }

    /// Whether any value of the subject matches any of the patterns.
    pub(crate) fn any(&self, subject: &Subject, request: &Request<'_>) -> Tri {
        let ask = |test: &mut dyn FnMut(Value<'_>) -> bool| {
            if self.every {
                request.every(subject, test)
            } else {
                request.any(subject, test)
            }
        };
        let Some(index) = &self.index else {
            return ask(&mut |value| self.patterns.iter().any(|pattern| pattern.matches(&value)));
        };
        let mut candidates = Vec::new();
        index.candidates(request, &mut |number| candidates.push(number as usize));
        ask(&mut |value| {
            candidates
                .iter()
                .filter_map(|&number| self.patterns.get(number))
                .any(|pattern| pattern.matches(&value))
        })
    }
}

/// What a rule can be found by.
pub(crate) fn constraints(rule: &Rule) -> Vec<Constraint<'_>> {
    let mut constraints: Vec<Constraint<'_>> = Vec::new();
    for alternatives in [&rule.to, &rule.from] {
        if !alternatives.is_empty() {
            constraints.push(alternatives.iter().map(|fields| all_of(fields)).collect());
        }
    }
    for field in all_of(&rule.when) {
        constraints.push(vec![vec![field]]);
    }
    constraints
}
