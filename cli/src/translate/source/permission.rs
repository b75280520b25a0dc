//! Conditions on requests as policies have them, which can be negated and
//! combined: systems in which the first permission that matches decides become
//! policies of which any that matches decides.

use crate::translate::model::policy::{Condition, Operation, Rule, Source};
use crate::translate::model::traffic::{Match, PathMatch, TextMatch};
use crate::translate::target::{paths, quote};

/// Conditions that must all hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Clause {
    paths: Vec<String>,
    methods: Vec<String>,
    not_paths: Vec<String>,
    not_methods: Vec<String>,
    when: Vec<Condition>,
}

impl Clause {
    /// What a match says; `Err` names what a policy cannot say.
    pub(super) fn of_match(one: &Match) -> Result<Self, String> {
        let mut clause = Self {
            methods: one.methods.clone(),
            ..Self::default()
        };
        if let Some(path) = &one.path {
            match paths(path) {
                Ok(paths) if paths.iter().any(|path| path == "/*") => {}
                Ok(paths) => clause.paths = paths,
                Err(_) => match path {
                    // The attribute has the query, a regular expression for paths not.
                    PathMatch::Regex(regex) => clause.when.push(Condition {
                        key: "request.headers[:path]".to_owned(),
                        values_regex: vec![format!("(?:{regex})(?:\\?.*)?")],
                        ..Condition::default()
                    }),
                    other => return Err(format!("the path {other:?}")),
                },
            }
        }
        for (name, value) in &one.headers {
            clause
                .when
                .push(condition(format!("request.headers[{name}]"), value, false));
        }
        for (name, value) in &one.query {
            clause
                .when
                .push(condition(format!("request.query[{name}]"), value, false));
        }
        Ok(clause)
    }

    /// Adds a condition on a header; `inverted` if it must not hold.
    pub(super) fn header(&mut self, name: &str, value: &TextMatch, inverted: bool) {
        self.when.push(condition(
            format!("request.headers[{name}]"),
            value,
            inverted,
        ));
    }

    /// A rule for these requests from some sources.
    pub(super) fn rule(&self, from: Vec<Source>) -> Rule {
        let operation = Operation {
            paths: self.paths.clone(),
            methods: self.methods.clone(),
            not_paths: self.not_paths.clone(),
            not_methods: self.not_methods.clone(),
            ..Operation::default()
        };
        Rule {
            from,
            to: if operation == Operation::default() {
                Vec::new()
            } else {
                vec![operation]
            },
            when: self.when.clone(),
        }
    }

    /// Clauses of which one holds exactly when this one does not.
    fn negated(&self) -> Vec<Self> {
        let mut clauses = Vec::new();
        if !self.paths.is_empty() {
            clauses.push(Self {
                not_paths: self.paths.clone(),
                ..Self::default()
            });
        }
        if !self.methods.is_empty() {
            clauses.push(Self {
                not_methods: self.methods.clone(),
                ..Self::default()
            });
        }
        clauses.extend(self.when.iter().map(|condition| Self {
            when: vec![Condition {
                key: condition.key.clone(),
                values: condition.not_values.clone(),
                not_values: condition.values.clone(),
                values_regex: condition.not_values_regex.clone(),
                not_values_regex: condition.values_regex.clone(),
            }],
            ..Self::default()
        }));
        clauses
    }

    /// Both; only one of them may have positive paths, and methods.
    fn and(&self, other: &Self) -> Self {
        let join = |one: &Vec<String>, other: &Vec<String>| [one.clone(), other.clone()].concat();
        Self {
            paths: join(&self.paths, &other.paths),
            methods: join(&self.methods, &other.methods),
            not_paths: join(&self.not_paths, &other.not_paths),
            not_methods: join(&self.not_methods, &other.not_methods),
            when: [self.when.clone(), other.when.clone()].concat(),
        }
    }

    /// Clauses of which one holds when this one does and none of the others.
    pub(super) fn without(&self, others: &[Self]) -> Vec<Self> {
        let mut clauses = vec![self.clone()];
        for other in others {
            let negations = other.negated();
            clauses = clauses
                .iter()
                .flat_map(|clause| negations.iter().map(|negation| clause.and(negation)))
                .collect();
        }
        clauses
    }
}

fn condition(key: String, value: &TextMatch, inverted: bool) -> Condition {
    let mut texts = Vec::new();
    let mut regexes = Vec::new();
    // A star at either end would be a wildcard.
    let literal = |text: &str| !text.starts_with('*') && !text.ends_with('*');
    match value {
        TextMatch::Present => texts.push("*".to_owned()),
        TextMatch::Exact(text) if literal(text) => texts.push(text.clone()),
        TextMatch::Prefix(text) if literal(text) => texts.push(format!("{text}*")),
        TextMatch::Suffix(text) if literal(text) => texts.push(format!("*{text}")),
        TextMatch::Exact(text) => regexes.push(quote(text)),
        TextMatch::Prefix(text) => regexes.push(format!("{}.*", quote(text))),
        TextMatch::Suffix(text) => regexes.push(format!(".*{}", quote(text))),
        TextMatch::Regex(regex) => regexes.push(regex.clone()),
    }
    let mut condition = Condition {
        key,
        ..Condition::default()
    };
    if inverted {
        (condition.not_values, condition.not_values_regex) = (texts, regexes);
    } else {
        (condition.values, condition.values_regex) = (texts, regexes);
    }
    condition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_permission_took_is_left_out() {
        let path = |path: &str| Match {
            path: Some(PathMatch::Prefix(path.to_owned())),
            ..Match::default()
        };
        let all = Clause::of_match(&path("/")).unwrap();
        let admin = Clause::of_match(&Match {
            methods: vec!["GET".to_owned()],
            ..path("/admin")
        });
        let rules: Vec<_> = all.without(&[admin.unwrap()]);
        let rules: Vec<String> = rules
            .iter()
            .map(|clause| format!("{:?}", clause.rule(Vec::new()).to))
            .collect();
        assert_eq!(rules.len(), 2);
        assert!(rules[0].contains("not_paths: [\"/admin*\"]"), "{rules:?}");
        assert!(rules[1].contains("not_methods: [\"GET\"]"), "{rules:?}");
        // Nothing is left of what an unconditional permission took.
        assert!(admin_free(&all));
    }

    fn admin_free(all: &Clause) -> bool {
        all.without(std::slice::from_ref(all)).is_empty()
    }
}
