//! The modules that belong to this command: where they are in every form of
//! installation, and of which version.

mod place;
mod stamp;

use std::path::{Path, PathBuf};

pub(crate) use place::{Place, installed, places};
pub(crate) use stamp::Stamp;

use crate::filters::Filter;

/// The version of this command, which its modules share.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, where that was known.
pub(crate) const BUILD: Option<&str> = option_env!("MESHPACK_BUILD");

/// What to know before this command judges with a module of another version: it reads
/// configurations with its own readers. `None` for modules of the same version, those
/// that say none, and those of somebody's own.
pub(crate) fn skew(module: &Path, wasm: &[u8]) -> Option<String> {
    let stem = module.file_stem()?.to_str()?;
    Filter::ALL.iter().find(|filter| filter.name() == stem)?;
    let version = Stamp::of(wasm).version?;
    let remedy = match stamp::newer(&version, VERSION) {
        Some(true) => "update the command, or name its own modules with --modules",
        Some(false) => "update the modules, or name those of this command with --modules",
        None if version == VERSION => return None,
        None => "use modules and command of one release",
    };
    Some(format!(
        "{} is of version {version} and this command of {VERSION}: what one of them accepts, the other may refuse; {remedy}",
        module.display()
    ))
}

/// The module `name` as a command without a file at hand finds it: in the folder that
/// was said, or in one of [`places`].
///
/// # Errors
/// It is in none of them.
pub(crate) fn find(said: Option<&Path>, name: &str) -> anyhow::Result<PathBuf> {
    let places = places(said, Path::new(""));
    if let Some(place) = places.iter().find(|place| place.has(name)) {
        return Ok(place.module(name));
    }
    anyhow::bail!(
        "cannot find the module {name}.wasm {}",
        remedy(said, &places)
    )
}

/// Where a module was looked for, and what to do.
pub(crate) fn remedy(said: Option<&Path>, places: &[Place]) -> String {
    match (said, places) {
        (Some(folder), _) => format!(
            "in {}: name the folder it is in with --modules",
            folder.display()
        ),
        (None, [only]) => format!("in {} ({})", only.folder.display(), only.origin),
        (None, _) => "in dist/ here or above, or beside the command: install a release that has the modules, build them with `make build`, or name their folder with --modules".to_owned(),
    }
}

/// Complains of a [`skew`], once a module.
pub(crate) fn complain_of_skew<'a>(modules: impl IntoIterator<Item = &'a Path>) {
    let modules: std::collections::BTreeSet<&Path> = modules.into_iter().collect();
    for module in modules {
        // What cannot be read is told by whoever needs it.
        let wasm = std::fs::read(module).unwrap_or_default();
        if let Some(skew) = skew(module, &wasm) {
            crate::output::complain(&skew);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(version: &str) -> Vec<u8> {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        wasm.extend(stamp::tests::section("version", version.as_bytes()));
        wasm
    }

    #[test]
    fn an_older_and_a_newer_module_are_told_with_the_remedy() {
        let of = |version| skew(Path::new("x/canary_split.wasm"), &module(version));
        assert_eq!(of(VERSION), None);
        let newer = of("999.0.0").unwrap();
        assert!(
            newer.contains("999.0.0") && newer.contains("update the command"),
            "{newer}"
        );
        let older = of("0.0.1").unwrap();
        assert!(
            older.contains("0.0.1") && older.contains("update the modules"),
            "{older}"
        );
        let other = of("main").unwrap();
        assert!(other.contains("one release"), "{other}");
        // Nobody knows what versions of somebody else's filter mean.
        assert_eq!(skew(Path::new("x/mine.wasm"), &module("999.0.0")), None);
        assert_eq!(
            skew(Path::new("canary_split.wasm"), b"\0asm\x01\0\0\0"),
            None
        );
    }
}
