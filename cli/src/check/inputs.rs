//! The files that a person names, and those in the folders that a person names.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::file::Source;
use crate::yaml;

/// What configurations are written in.
const ENDINGS: &[&str] = &["yaml", "yml", "json"];

/// What was read, and what could not be.
#[derive(Default)]
pub(super) struct Inputs {
    pub(super) sources: Vec<Source>,
    pub(super) unreadable: Vec<String>,
}

/// Reads every file, and every YAML and JSON file in and below every folder, in order.
/// Hidden folders (`.git`) are left out.
pub(super) fn read(names: &[String]) -> Inputs {
    let mut inputs = Inputs::default();
    for name in names {
        if name == "-" || !Path::new(name).is_dir() {
            inputs.read(name, true);
            continue;
        }
        match files_below(Path::new(name)) {
            Ok(files) if files.is_empty() => inputs
                .unreadable
                .push(format!("{name}: is a folder without YAML or JSON files")),
            Ok(files) => {
                for file in files {
                    inputs.read(&file.to_string_lossy(), false);
                }
            }
            Err(error) => inputs.unreadable.push(format!("{name}: {error:#}")),
        }
    }
    inputs
}

impl Inputs {
    fn read(&mut self, name: &str, named: bool) {
        match yaml::read(name) {
            Ok(text) => self.sources.push(Source::new(name, text, named)),
            Err(yaml::Unreadable::Empty) if !named => {}
            Err(error) => self.unreadable.push(format!("{name}: {error}")),
        }
    }
}

fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("{} cannot be read", folder.display()))?;
            let path = entry.path();
            // Not through links: they may lead in a circle.
            let kind = entry.file_type()?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if kind.is_dir() && !hidden {
                folders.push(path);
            } else if !kind.is_dir()
                && path.is_file()
                && path
                    .extension()
                    .is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
