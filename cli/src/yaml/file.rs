//! Getting the text of a file, and saying clearly why there is none.

use std::fs::File;
use std::io::{self, Read};

/// Largest file that is read, as large as a plugin configuration may be.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Why a file cannot be read as text.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Missing, forbidden, broken.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// A folder.
    #[error("is a folder: name the files in it")]
    Folder,
    /// Larger than [`MAX_FILE_BYTES`].
    #[error("is larger than {} MiB: split it", MAX_FILE_BYTES / (1024 * 1024))]
    TooLarge,
    /// Nothing but white space.
    #[error("is empty: it should hold a plugin configuration, a resource or an Envoy bootstrap")]
    Empty,
    /// A wasm module, probably named instead of its configuration.
    #[error("is a WebAssembly module: name the file with its configuration")]
    Wasm,
    /// Not text at all.
    #[error("is not text (byte {0} is not part of UTF-8 text): name a YAML or JSON file")]
    Binary(usize),
    /// Text in another encoding.
    #[error("is UTF-16 text: save it as UTF-8")]
    Utf16,
}

// Not a source of the error: it is part of the message already.
impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a file, or the standard input for `-`.
///
/// # Errors
/// See [`Unreadable`].
pub fn read(path: &str) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    if path == "-" {
        let input = io::stdin().lock();
        input.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    } else {
        let file = File::open(path)?;
        let about = file.metadata()?;
        if about.is_dir() {
            return Err(Unreadable::Folder);
        }
        if about.len() > MAX_FILE_BYTES {
            return Err(Unreadable::TooLarge);
        }
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    }
    text(bytes)
}

pub(super) fn text(bytes: Vec<u8>) -> Result<String, Unreadable> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Unreadable::TooLarge);
    }
    if bytes.starts_with(b"\0asm") {
        return Err(Unreadable::Wasm);
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Unreadable::Utf16);
    }
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        return Err(Unreadable::Binary(at));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| Unreadable::Binary(error.utf8_error().valid_up_to()))?;
    let text = text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text);
    if text.trim().is_empty() {
        return Err(Unreadable::Empty);
    }
    Ok(text)
}
