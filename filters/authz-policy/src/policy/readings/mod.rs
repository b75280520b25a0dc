//! What servers make of a path, or of the value of a parameter.
//!
//! A server cuts, decodes, merges and resolves a path before it looks it up,
//! each in its own way and order. Every one of those rewritings is a
//! step; the readings of a path are what the steps lead to, taken in
//! any order and as often as one likes. A server that does nothing but these
//! steps is covered, whichever of them it takes and when.
//!
//! Two limits keep that small. A path with segments that climb (`..`) *and*
//! something that servers read differently has readings without end, and
//! counts as guarded untried. And there are at most [`MOST`] readings, of
//! [`MOST_BYTES`] together: what has more counts as guarded too.

mod encoding;
mod fold;
mod steps;

pub(crate) use encoding::{hex, unwrapped};
pub(crate) use fold::folded;
pub(crate) use steps::clean;
use steps::{Climb, Step, climbs};

/// Readings that are tried.
pub const MOST: usize = 192;
/// Their bytes in all.
pub const MOST_BYTES: usize = 64 * 1024;

/// A set of readings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readings {
    texts: Vec<Vec<u8>>,
    bytes: usize,
    /// There are more.
    over: bool,
    climbs: bool,
    /// So many of the texts count for permissions too.
    common: usize,
}

impl Readings {
    /// The readings of a path without query.
    #[must_use]
    pub fn of_path(path: &[u8]) -> Self {
        let mut readings = Self::default();
        if is_plain(path) {
            readings.add(folded(without_slash(path)));
        } else {
            let (full, uncovered) = unwrapped(path);
            let climbs = climbs(&full);
            readings.climbs = climbs.is_some();
            if climbs == Some(Climb::Hidden) || climbs.is_some() && (uncovered || is_shaped(path)) {
                readings.over = true;
            } else if readings.climbs {
                // Dots move text to the front, whose case then matters to a
                // permission; elsewhere the path as sent has shown it.
                readings.add(path.to_vec());
                readings.add(folded(path));
                readings.close(steps::PATH, Letters::Both);
            } else {
                readings.add(folded(without_slash(path)));
                readings.close(steps::PATH, Letters::Folded);
            }
        }
        readings.common = readings.texts.len();
        readings.add_beginnings();
        readings
    }

    /// The readings of a parameter's or cookie's name.
    pub(crate) fn of_name(text: &[u8]) -> Self {
        Self::of_text(text, steps::NAME)
    }

    /// The readings of a parameter's value in a query.
    pub(crate) fn of_query(text: &[u8]) -> Self {
        Self::of_text(text, steps::QUERY)
    }

    /// The readings of a cookie's value.
    pub(crate) fn of_cookie(text: &[u8]) -> Self {
        Self::of_text(text, steps::COOKIE)
    }

    fn of_text(text: &[u8], steps: &[Step]) -> Self {
        let mut readings = Self::default();
        readings.add(text.to_vec());
        readings.close(steps, Letters::Kept);
        readings
    }

    /// All readings; for what refuses.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.texts.iter().map(Vec::as_slice)
    }

    /// All readings, and none at the end when there are more.
    pub(crate) fn all_or_any(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.all().map(Some).chain(self.over.then_some(None))
    }

    /// The readings that a permission must take in.
    pub(crate) fn common(&self) -> impl Iterator<Item = &[u8]> {
        self.all().take(self.common)
    }

    /// Whether there are more than these, so that every guarded path may be
    /// among them.
    #[must_use]
    pub fn over(&self) -> bool {
        self.over
    }

    /// Whether some segment of the path may climb.
    pub(crate) fn climbs(&self) -> bool {
        self.climbs
    }

    /// Takes the steps from every text, and from what they lead to.
    fn close(&mut self, steps: &[Step], letters: Letters) {
        let mut at = 0;
        while let Some(text) = self.texts.get(at).cloned() {
            for step in steps {
                let Some(next) = step(&text) else {
                    continue;
                };
                match letters {
                    Letters::Kept => self.add(next),
                    Letters::Folded => self.add(folded(without_slash(&next))),
                    Letters::Both => {
                        self.add(folded(&next));
                        self.add(next);
                    }
                }
                if self.over {
                    return;
                }
            }
            at += 1;
        }
    }

    fn add(&mut self, text: Vec<u8>) {
        if self.texts.contains(&text) {
            return;
        }
        self.bytes += text.len();
        if self.texts.len() == MOST || self.bytes > MOST_BYTES {
            self.over = true;
            return;
        }
        self.texts.push(text);
    }

    /// Readings that only refusals look at, because plenty of ordinary paths
    /// have them. A server that runs scripts or serves files looks for one
    /// that the path goes on behind: `/admin.php/x` runs `/admin.php`, and
    /// `/index.php/x` often shows what `/x` does. And some cut the whole path
    /// at its first `;`.
    fn add_beginnings(&mut self) {
        for number in 0..self.common {
            let Some(text) = self
                .texts
                .get(number)
                .filter(|t| t.contains(&b'.') || t.contains(&b';'))
            else {
                continue;
            };
            let text = text.clone();
            for (file, rest) in files(&text) {
                self.add(file.to_vec());
                if is_script(file) {
                    self.add(rest.to_vec());
                }
            }
            if let Some(beginning) = steps::cut(&text, b';') {
                self.add(steps::merged(&beginning).unwrap_or(beginning));
            }
        }
    }
}

/// Without the slash at the end, which no pattern asks for: with it every reading
/// would be there twice.
fn without_slash(path: &[u8]) -> &[u8] {
    match path {
        [inner @ .., b'/'] if !inner.is_empty() => inner,
        path => path,
    }
}

/// Which letters a set of readings has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Letters {
    Kept,
    Folded,
    Both,
}

/// Whether every server reads the path alike, but for the case of letters and
/// a slash at the end.
fn is_plain(path: &[u8]) -> bool {
    let mut last = 0;
    for &byte in path {
        if matches!(byte, b'%' | b';' | b'\\' | b'+' | 0..=b' ' | 0x7f..)
            || (last == b'/' && matches!(byte, b'/' | b'.'))
        {
            return false;
        }
        last = byte;
    }
    last != b'.'
}

/// Whether a path has something undisguised that servers read differently.
fn is_shaped(path: &[u8]) -> bool {
    path.iter()
        .any(|byte| matches!(byte, b';' | b'\\' | 0..=b' ' | 0x7f))
        || path.windows(2).any(|pair| pair == b"//")
}

/// Longest end of a file's name, behind its last dot.
const EXTENSION: usize = 10;

/// Whether the last segment is a file's name with an extension.
fn is_file(path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(&[]);
    let dot = name.iter().rposition(|&byte| byte == b'.');
    matches!(
        dot.and_then(|dot| name.get(dot + 1..)),
        Some(extension @ [first, ..])
            if first.is_ascii_alphabetic()
                && extension.len() <= EXTENSION
                && extension.iter().all(u8::is_ascii_alphanumeric)
    )
}

/// Whether a file is a script that servers give the rest of a path to.
pub(crate) fn is_script(file: &[u8]) -> bool {
    [&b".php"[..], b".cgi", b".fcgi"]
        .iter()
        .any(|end| file.ends_with(end))
}

/// Each file inside a path, and what follows it.
pub(crate) fn files(path: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    path.iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .filter_map(|(at, _)| path.split_at_checked(at))
        .filter(|(file, _)| is_file(file))
}

#[cfg(test)]
mod tests;
