//! Envoy's log, kept in a file.

use std::fs;
use std::path::{Path, PathBuf};

/// The file that Envoy's output goes to.
#[derive(Clone, Debug)]
pub(crate) struct LogFile(PathBuf);

impl LogFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Everything so far; empty if the file cannot be read.
    pub(crate) fn text(&self) -> String {
        fs::read(&self.0)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// Everything, once nothing was added for 50 ms, or after a second.
    #[cfg(feature = "container")]
    pub(crate) fn settled(&self) -> String {
        let mut text = self.text();
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let later = self.text();
            if later.len() == text.len() {
                break;
            }
            text = later;
        }
        text
    }
}

/// What a reader wants to see first: the lines that say what went wrong, or the end.
pub(crate) fn telling_part(log: &str) -> String {
    let complaint = |line: &&str| {
        ["][critical][", "][error][", "][warning][wasm"]
            .iter()
            .any(|level| line.contains(level))
    };
    let complaints: Vec<&str> = log.lines().filter(complaint).collect();
    if complaints.is_empty() {
        last_lines(log, 20)
    } else {
        complaints.join("\n")
    }
}

/// The last `count` lines, without the lists of extensions that Envoy begins with.
pub(crate) fn last_lines(log: &str, count: usize) -> String {
    let listing = |line: &&str| line.contains("][info][main] [source/server/server.cc:");
    let lines: Vec<&str> = log.lines().filter(|line| !listing(line)).collect();
    lines
        .get(lines.len().saturating_sub(count)..)
        .unwrap_or_default()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_come_first_and_else_the_end() {
        let log = "[1][info][main] a\n[1][error][wasm] b\n[1][info][main] c";
        assert_eq!(telling_part(log), "[1][error][wasm] b");
        let quiet: String = (0..30).map(|n| format!("line {n}\n")).collect();
        assert!(telling_part(&quiet).starts_with("line 10\n"));
    }
}
