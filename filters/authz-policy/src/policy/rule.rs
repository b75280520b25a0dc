//! A rule ready to be held against requests.

use super::index::{Constraint, KeyIndex, all_of};
use super::model::{Compare, Field, Pattern, Rule, Subject};
use super::request::Request;
use super::sort::sort;
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
    /// Texts, and behind them the regular expressions.
    pub(crate) patterns: Vec<Pattern>,
    /// How many are texts.
    plain: usize,
    index: Option<Box<KeyIndex>>,
    /// Every value of a parameter or cookie must match, not any.
    every: bool,
    /// The set of the expressions, and their numbers, ascending.
    expressions: (usize, Vec<usize>),
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
    fn new(subject: &Subject, all: Vec<Pattern>, compare: Compare) -> Self {
        let mut expressions = (0, Vec::new());
        let (mut patterns, mut behind) = (Vec::new(), Vec::new());
        for pattern in all {
            if let Pattern::Regex(regex) = &pattern {
                let (set, number) = regex.place();
                expressions.0 = set;
                expressions.1.push(number);
                behind.push(pattern);
            } else {
                patterns.push(pattern);
            }
        }
        sort(&mut expressions.1);
        let plain = patterns.len();
        let index = (plain > LINEAR).then(|| Box::new(KeyIndex::of_patterns(subject, &patterns)));
        patterns.extend(behind);
        Self {
            patterns,
            plain,
            index,
            expressions,
            every: compare == Compare::All,
        }
    }

    /// Whether any value of the subject matches any of the patterns.
    pub(crate) fn any(&self, subject: &Subject, request: &Request<'_>) -> Tri {
        let mut candidates = Vec::new();
        if let Some(index) = &self.index {
            index.candidates(request, &mut |number| candidates.push(number as usize));
        }
        let mut place = 0;
        let mut test = |value: Value<'_>| {
            let plain = if self.index.is_some() {
                let numbered = |&number: &usize| self.patterns.get(number);
                any_pattern(candidates.iter().filter_map(numbered), &value)
            } else {
                any_pattern(self.patterns.iter().take(self.plain), &value)
            };
            let (set, numbers) = &self.expressions;
            if numbers.is_empty() {
                return plain;
            }
            let taken = request.expressions(*set, subject.place(place), &value);
            place += 1;
            plain.max(taken.any_of(numbers))
        };
        if !self.every {
            return request.any(subject, &mut test);
        }
        let mut sure = Tri::Yes;
        let every = request.every(subject, &mut |value| {
            let answer = test(value);
            if answer == Tri::Unknown {
                sure = Tri::Unknown;
            }
            answer != Tri::No
        });
        every.min(sure)
    }

    /// The pattern that a value, at its place among the subject's, matches.
    pub(crate) fn matched_by(
        &self,
        place: Option<usize>,
        value: &Value<'_>,
        request: &Request<'_>,
    ) -> Option<&Pattern> {
        self.patterns.iter().find(|pattern| {
            let Pattern::Regex(regex) = pattern else {
                return pattern.matches(value) == Tri::Yes;
            };
            let (set, number) = regex.place();
            request.expressions(set, place, value).any_of(&[number]) == Tri::Yes
        })
    }
}

fn any_pattern<'p>(patterns: impl Iterator<Item = &'p Pattern>, value: &Value<'_>) -> Tri {
    let mut best = Tri::No;
    for pattern in patterns {
        best = best.max(pattern.matches(value));
        if best == Tri::Yes {
            break;
        }
    }
    best
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
