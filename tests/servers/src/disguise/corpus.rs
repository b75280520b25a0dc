//! Disguises that reached a guarded resource once: tried every time.

use super::Disguise;

/// One disguise a line; lines that begin with `!` are comments.
const FOUND: &str = include_str!("../../corpus.txt");

/// The checked-in disguises.
#[must_use]
pub fn corpus() -> Vec<Disguise> {
    let lines = FOUND
        .lines()
        .filter(|line| !line.starts_with('!') && !line.is_empty());
    lines.map(|line| line.as_bytes().to_vec()).collect()
}
