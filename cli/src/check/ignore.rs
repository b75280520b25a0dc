//! Findings that somebody has looked at and allows.

use std::collections::{BTreeMap, BTreeSet};

use super::code::{self, Code};
use super::finding::Finding;

/// What starts a comment that allows something.
const MARK: &str = "meshpack-ignore:";

/// The comments of a file that allow a code on the line after them.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    /// By the line that the comment is about.
    codes: BTreeMap<usize, BTreeSet<String>>,
    /// Comments that say nothing, with what is wrong with them.
    pub(super) wrong: Vec<(usize, String)>,
}

impl Ignored {
    /// Reads `# meshpack-ignore: CODE reason`. Comments in a row are about the first
    /// line behind all of them; one behind something is about its own line.
    pub(super) fn of(text: &str) -> Self {
        let mut ignored = Self::default();
        let mut waiting = BTreeSet::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let comment = line.find('#').map(|at| line.split_at(at));
            let allowed = comment.and_then(|(before, comment)| {
                let words = comment.trim_start_matches('#').trim().strip_prefix(MARK)?;
                Some((before.trim(), words.trim()))
            });
            let Some((before, words)) = allowed else {
                if !line.trim_start().starts_with('#') && !waiting.is_empty() {
                    ignored
                        .codes
                        .entry(number)
                        .or_default()
                        .append(&mut waiting);
                }
                continue;
            };
            let (name, reason) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
            if code::named(name).is_none() {
                let known = "the codes stand in what check prints, such as MP111";
                ignored
                    .wrong
                    .push((number, format!("{name:?} is no code: {known}")));
            } else if reason.trim().is_empty() {
                ignored.wrong.push((
                    number,
                    format!("gives no reason: write # {MARK} {name} and why"),
                ));
            } else if before.is_empty() {
                waiting.insert(name.to_owned());
            } else {
                ignored
                    .codes
                    .entry(number)
                    .or_default()
                    .insert(name.to_owned());
            }
        }
        ignored
    }

    /// Whether somebody has allowed this one.
    pub(super) fn allows(&self, finding: &Finding) -> bool {
        self.codes
            .get(&finding.position.line)
            .is_some_and(|codes| codes.contains(&finding.code.to_string()))
    }
}

/// The code behind `--allow`.
///
/// # Errors
/// There is none of that name.
pub(super) fn parse(text: &str) -> Result<&'static Code, String> {
    code::named(text).ok_or_else(|| format!("{text:?} is no code, such as MP111"))
}
