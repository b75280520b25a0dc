//! What a person should know about a translation.

use std::fmt;

use meshpack_sdk::config::Node;
use serde_json::{Value, json};

use super::ledger::{Ledger, Remark};
use crate::{check, json as trees};

/// Losses and notes, and what the filters themselves say about the result.
pub(super) struct Remarks {
    lost: Vec<Remark>,
    notes: Vec<Remark>,
    refused: Vec<String>,
    stays: Vec<String>,
}

impl Remarks {
    /// Closes the ledger and has the filters' own parsers read what came out.
    pub(super) fn new(ledger: Ledger, documents: &[Node]) -> Self {
        let stays = ledger.staying();
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
        }
    }

    pub(super) fn lost_nothing(&self) -> bool {
        self.lost.is_empty() && self.refused.is_empty()
    }

    /// One line each, for the standard error.
    pub(super) fn lines(&self) -> Vec<String> {
        let lost = self
            .lost
            .iter()
            .map(|remark| format!("not carried over: {remark}"));
        let refused = self
            .refused
            .iter()
            .map(|line| format!("refused by the filter: {line}"));
        let notes = self.notes.iter().map(|remark| format!("note: {remark}"));
        lost.chain(refused).chain(notes).collect()
    }

    /// The same as comments at the head of what comes out, so that the list
    /// stays with it.
    pub(super) fn header(&self) -> String {
        let mut header = String::from("# Written by meshpack translate.\n");
        for line in self.lines() {
            header.push_str(&format!("# {}\n", line.replace('\n', " ")));
        }
        header
    }

    pub(super) fn to_json(&self, documents: &[Node]) -> String {
        let documents: Vec<Value> = documents.iter().map(trees::value).collect();
        let report = json!({
            "documents": documents,
            "lost": self.lost.iter().map(Remark::to_json).collect::<Vec<_>>(),
            "refused": self.refused,
            "stays": self.stays,
            "notes": self.notes.iter().map(Remark::to_json).collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
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
