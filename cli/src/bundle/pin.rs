//! Putting digests into manifests, where they name the images. As text, so that
//! comments and layout stay.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// What stands in a manifest for an image from now on.
#[derive(Debug)]
pub(super) struct Pin<'a> {
    /// The image's name, without registry and tag.
    pub(super) image: &'a str,
    /// The repository it was pushed to; the one that is there unless given.
    pub(super) repository: Option<String>,
    pub(super) digest: &'a str,
}

/// A file that names images.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) file: PathBuf,
    /// How many references it has.
    pub(super) references: usize,
}

/// Pins images in a YAML file, or in all below a folder; returns those that name one.
pub(super) fn pin(path: &Path, pins: &[Pin<'_>]) -> anyhow::Result<Vec<Pinned>> {
    let mut pinned = Vec::new();
    for file in yaml_files(path)? {
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let (changed, references) = pin_text(&text, pins);
        if changed != text {
            fs::write(&file, changed)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        if references > 0 {
            pinned.push(Pinned { file, references });
        }
    }
    Ok(pinned)
}

/// The file, or the YAML files of a folder, in order; hidden ones are left alone.
fn yaml_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", path.display());
    if !fs::metadata(path).with_context(cannot)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).with_context(cannot)? {
        entries.push(entry.with_context(cannot)?.path());
    }
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
        if name.starts_with('.') {
            continue;
        }
        if entry.is_dir() {
            files.extend(yaml_files(&entry)?);
        } else if is_yaml {
            files.push(entry);
        }
    }
    Ok(files)
}

/// The text with every reference pinned, and how many there are.
fn pin_text(text: &str, pins: &[Pin<'_>]) -> (String, usize) {
    let ends = |c: char| c.is_whitespace() || "\"',{}[]()<>`".contains(c);
    let mut pinned = String::with_capacity(text.len());
    let mut references = 0;
    for word in text.split_inclusive(ends) {
        let (word, end) = match word.char_indices().last() {
            Some((at, c)) if ends(c) => word.split_at(at),
            _ => (word, ""),
        };
        match pins.iter().find_map(|pin| pin_word(word, pin)) {
            Some(reference) => {
                pinned.push_str(&reference);
                references += 1;
            }
            None => pinned.push_str(word),
        }
        pinned.push_str(end);
    }
    (pinned, references)
}

/// `oci://REPOSITORY:TAG`, or a reference with a digest, if it is to this image.
fn pin_word(word: &str, pin: &Pin<'_>) -> Option<String> {
    let bare = word.strip_prefix("oci://");
    let scheme = if bare.is_some() { "oci://" } else { "" };
    let bare = bare.unwrap_or(word);
    if scheme.is_empty() && !bare.contains("@sha256:") {
        return None;
    }
    let named = bare.split_once('@').map_or(bare, |(named, _)| named);
    let (folder, last) = named.rsplit_once('/')?;
    let name = last.split_once(':').map_or(last, |(name, _)| name);
    if name != pin.image {
        return None;
    }
    let repository = match &pin.repository {
        Some(repository) => repository.clone(),
        None => format!("{folder}/{name}"),
    };
    Some(format!("{scheme}{repository}@{}", pin.digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_to_the_image_are_pinned() {
        let pins = |repository: Option<&str>| {
            [Pin {
                image: "canary_split",
                repository: repository.map(str::to_owned),
                digest: "sha256:ab",
            }]
        };
        for (text, expected) in [
            (
                "url: oci://r.test/m/canary_split:0.1.0\n",
                "url: oci://r.test/m/canary_split@sha256:ab\n",
            ),
            (
                "url: \"oci://r.test:5000/canary_split\"",
                "url: \"oci://r.test:5000/canary_split@sha256:ab\"",
            ),
            (
                "{url: oci://r.test/canary_split@sha256:00, x: 1}",
                "{url: oci://r.test/canary_split@sha256:ab, x: 1}",
            ),
            (
                "url: r.test/canary_split@sha256:00",
                "url: r.test/canary_split@sha256:ab",
            ),
        ] {
            assert_eq!(pin_text(text, &pins(None)), (expected.to_owned(), 1));
        }
        let moved = pin_text(
            "oci://old/canary_split:1",
            &pins(Some("new.test/x/canary_split")),
        );
        assert_eq!(moved.0, "oci://new.test/x/canary_split@sha256:ab");
        for other in [
            "name: canary_split",
            "file: dist/canary_split.wasm",
            "url: https://r.test/canary_split.wasm",
            "url: r.test/m/canary_split:0.1.0",
            "url: oci://r.test/m/canary_split_other:0.1.0",
            "# é — oci://r.test/telemetry:1\n",
        ] {
            assert_eq!(pin_text(other, &pins(None)), (other.to_owned(), 0));
        }
    }
}
