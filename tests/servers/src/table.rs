//! What is printed: servers × normalisations.

use std::fmt::Write as _;
use std::{fs, io, path::Path};

use crate::round::{Outcome, Reached};
use crate::servers::Servers;
use crate::{Normalization, Through};

const BEGIN: &str = "<!-- servers -->\n";
const END: &str = "<!-- /servers -->";

/// The table in Markdown: for each server and normalisation how many disguises reached
/// the secret, how many of those get past the filter in Istio's mode, and how many in
/// hardened mode.
#[must_use]
pub fn markdown(servers: &Servers, outcome: &Outcome) -> String {
    let mut out = String::from("| server | version |");
    for normalization in Normalization::ALL {
        let _ = write!(out, " {normalization} |");
    }
    out.push_str("\n|---|---|---:|---:|---:|---:|\n");
    for (number, server) in servers.running.iter().enumerate() {
        let _ = write!(out, "| {} | {} |", server.name, server.version);
        for normalization in Normalization::ALL {
            let here = |reached: &&Reached| {
                reached.server == number && reached.normalization == normalization
            };
            let here: Vec<&Reached> = outcome.reached.iter().filter(here).collect();
            let istio = here
                .iter()
                .filter(|reached| reached.passed.contains(&Through::IstioDeny));
            let hardened = here.iter().filter(|reached| reached.passed_hardened());
            let _ = write!(
                out,
                " {} / {} / {} |",
                here.len(),
                istio.count(),
                hardened.count()
            );
        }
        out.push('\n');
    }
    out
}

/// Puts `table` between the marks of the page at `path`.
///
/// # Errors
/// If the page is not there, or has no marks.
pub fn write_page(path: &Path, table: &str) -> io::Result<()> {
    let page = fs::read_to_string(path)?;
    let marks = page.find(BEGIN).zip(page.find(END));
    let (begin, end) = marks.ok_or_else(|| io::Error::other("the page has no marks"))?;
    let (before, after) = (&page[..begin + BEGIN.len()], &page[end..]);
    fs::write(path, format!("{before}{table}{after}"))
}
