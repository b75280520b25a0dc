//! Printing, so that a closed pipe (`meshpack … | head`) ends a command quietly.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to complain about.
    Clean,
    /// There are findings or failed expectations.
    Findings,
}

impl Verdict {
    /// [`Verdict::Clean`] if `clean`.
    #[must_use]
    pub fn clean_if(clean: bool) -> Self {
        if clean { Self::Clean } else { Self::Findings }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Clean => Self::SUCCESS,
            Verdict::Findings => Self::from(1),
        }
    }
}

/// Writes a report to the standard output.
///
/// # Errors
/// The output cannot be written, a closed pipe included.
pub(crate) fn text(text: &str) -> io::Result<()> {
    bytes(text.as_bytes())
}

/// Writes bytes to the standard output.
///
/// # Errors
/// As [`text`].
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Writes one line to the standard error; if that fails there is nobody to tell.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "meshpack: {line}");
}

/// Writes lines to the standard error.
pub(crate) fn complain_lines(lines: &[String]) {
    lines.iter().for_each(|line| complain(line));
}

/// Whether the reader of the output went away.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
