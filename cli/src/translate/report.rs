//! What a person should know about a translation.

use std::collections::BTreeMap;
use std::fmt;

use meshpack_sdk::config::Node;
use serde_json::{Value, json};

use super::ledger::{Carried, Ledger, Remark};
use crate::{check, json as trees};

/// How many places of one remark are named on its line.
const NAMED: usize = 3;

/// Losses and notes, and what the filters themselves say about the result.
pub(super) struct Remarks {
    lost: Vec<Remark>,
    notes: Vec<Remark>,
    refused: Vec<String>,
    stays: Vec<String>,
    carried: Vec<Carried>,
}

impl Remarks {
    /// Closes the ledger and has the filters' own parsers read what came out.
    pub(super) fn new(ledger: Ledger, documents: &[Node]) -> Self {
        let (stays, carried) = (ledger.staying(), ledger.carried());
        let (mut lost, mut notes) = ledger.into_remarks();
        let order = |remark: &Remark| (remark.file.clone(), remark.position);
        lost.sort_by_key(order);
        notes.sort_by_key(order);
        let refused = documents.iter().flat_map(check::problems_of).collect();
        Self {
            lost,
            notes,
            refused,
            stays,
            carried,
        }
    }

    pub(super) fn lost_nothing(&self) -> bool {
        self.lost.is_empty() && self.refused.is_empty()
    }

    /// One line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let lost = self
            .lost
            .iter()
            .map(|remark| format!("not carried over: {remark}"));
        let notes = self.notes.iter().map(|remark| format!("note: {remark}"));
        lost.chain(self.refused_lines()).chain(notes).collect()
    }

    /// The same for the standard error: one line for all places of which one thing is said.
    pub(super) fn short_lines(&self) -> Vec<String> {
        let lost = grouped(&self.lost)
            .into_iter()
            .flat_map(|places| short("not carried over", &places));
        let notes = grouped(&self.notes)
            .into_iter()
            .flat_map(|places| short("note", &places));
        lost.chain(self.refused_lines()).chain(notes).collect()
    }

    fn refused_lines(&self) -> impl Iterator<Item = String> {
        self.refused
            .iter()
            .map(|line| format!("refused by the filter: {line}"))
    }

    /// What came of it all, in one line.
    pub(super) fn summary(&self) -> String {
        let came: BTreeMap<&str, ()> = self
            .carried
            .iter()
            .map(|one| (one.from.as_str(), ()))
            .collect();
        let into: BTreeMap<&str, ()> = self
            .carried
            .iter()
            .map(|one| (one.to.as_str(), ()))
            .collect();
        format!(
            "{} into {}, {} as they are, {} not carried over, {}",
            counted(came.len(), "resource"),
            into.len(),
            self.stays.len(),
            self.lost.len() + self.refused.len(),
            counted(self.notes.len(), "note"),
        )
    }

    /// The same as comments at the head of what comes out, so that the list
    /// stays with it.
    pub(super) fn header(&self) -> String {
        let mut header = String::from("# Written by meshpack translate.\n");
        for line in self.short_lines() {
            header.push_str(&format!("# {}\n", line.replace('\n', " ")));
        }
        header
    }

    /// A page of Markdown: what came of what, what stays, what is lost and why.
    pub(super) fn page(&self) -> String {
        let mut page = format!("# Translation\n\n{}.\n", self.summary());
        if !self.carried.is_empty() {
            page.push_str("\n## Carried over\n\n| from | to |\n|---|---|\n");
            for targets in self.carried.chunk_by(|one, next| one.from == next.from) {
                let names: Vec<&str> = targets.iter().map(|one| one.to.as_str()).collect();
                if let Some(first) = targets.first() {
                    page.push_str(&format!("| {} | {} |\n", first.from, names.join(", ")));
                }
            }
        }
        if !self.stays.is_empty() {
            page.push_str("\n## Stays as it is\n\n");
            self.stays
                .iter()
                .for_each(|what| page.push_str(&format!("- {what}\n")));
        }
        if !self.lost_nothing() {
            page.push_str(
                "\n## Not carried over\n\nApplied like this, the mesh does not behave as before.\n",
            );
            section(&mut page, &grouped(&self.lost));
            for line in &self.refused {
                page.push_str(&format!("\n- refused by the filter: {line}\n"));
            }
        }
        if !self.notes.is_empty() {
            page.push_str("\n## Notes\n\nCarried over, and a decision is yours.\n");
            section(&mut page, &grouped(&self.notes));
        }
        page
    }

    pub(super) fn to_json(&self, documents: &[Node]) -> String {
        let documents: Vec<Value> = documents.iter().map(trees::value).collect();
        let carried = self
            .carried
            .iter()
            .map(|one| json!({"from": one.from, "to": one.to}));
        let report = json!({
            "documents": documents,
            "carried": carried.collect::<Vec<_>>(),
            "stays": self.stays,
            "lost": self.lost.iter().map(Remark::to_json).collect::<Vec<_>>(),
            "refused": self.refused,
            "notes": self.notes.iter().map(Remark::to_json).collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Remarks of which one thing is said, in the order of the first of each.
fn grouped(remarks: &[Remark]) -> Vec<Vec<&Remark>> {
    let mut groups: Vec<Vec<&Remark>> = Vec::new();
    for remark in remarks {
        let known = groups.iter_mut().find(|group| {
            group
                .first()
                .is_some_and(|first| first.reason == remark.reason)
        });
        match known {
            Some(group) => group.push(remark),
            None => groups.push(vec![remark]),
        }
    }
    groups
}

/// A few places have a line each; many have one together.
fn short(kind: &str, places: &[&Remark]) -> Vec<String> {
    match places {
        [first, more @ ..] if places.len() > NAMED => {
            let named: Vec<String> = more
                .iter()
                .take(NAMED - 1)
                .map(|remark| remark.resource.clone())
                .collect();
            let rest = places.len() - NAMED;
            vec![format!(
                "{kind}: {first} (so also {} and {rest} more)",
                named.join(", ")
            )]
        }
        places => places
            .iter()
            .map(|remark| format!("{kind}: {remark}"))
            .collect(),
    }
}

fn section(page: &mut String, groups: &[Vec<&Remark>]) {
    for places in groups {
        let Some(first) = places.first() else {
            continue;
        };
        page.push_str(&format!("\n{}:\n\n", first.reason));
        for remark in places {
            let path = match remark.path.as_str() {
                "" => String::new(),
                path => format!(" `{path}`"),
            };
            page.push_str(&format!(
                "- {}:{} {}{path}\n",
                remark.file, remark.position, remark.resource
            ));
        }
    }
}

impl Remark {
    fn to_json(&self) -> Value {
        json!({
            "file": self.file,
            "line": self.position.line,
            "column": self.position.column,
            "resource": self.resource,
            "path": self.path,
            "reason": self.reason,
        })
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: ", self.file, self.position, self.resource)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)
    }
}
