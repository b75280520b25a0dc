//! Where modules are.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::filters::Filter;

/// A folder that may hold modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) origin: Origin,
}

impl Place {
    /// Whether one of the pack's modules is there.
    pub(crate) fn has_modules(&self) -> bool {
        Filter::ALL
            .into_iter()
            .any(|filter| self.has(filter.name()))
    }

    /// Whether the module `name` is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.module(name).is_file()
    }

    /// The file of the module `name`.
    pub(crate) fn module(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.wasm"))
    }
}

/// Why modules are looked for there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `--modules`.
    Option,
    /// `MESHPACK_DIST`.
    Environment,
    /// `dist/` beside or above the file at hand, or in the working folder.
    Near,
    /// They came with the command: package, wheel or unpacked archive.
    Installed,
    /// The checkout that the command was built in.
    Checkout,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Option => "named with --modules",
            Self::Environment => "named by MESHPACK_DIST",
            Self::Near => "dist/ here or above",
            Self::Installed => "installed with the command",
            Self::Checkout => "built in the checkout of the command",
        })
    }
}

/// Where to look for modules, the first that has one counts: where somebody says; else
/// `dist/` near `folder`, so that a filter under development comes before the one that is
/// installed; else with the command itself.
pub(crate) fn places(said: Option<&Path>, folder: &Path) -> Vec<Place> {
    let place = |origin, folder: &Path| Place {
        folder: folder.to_owned(),
        origin,
    };
    if let Some(folder) = said {
        return vec![place(Origin::Option, folder)];
    }
    if let Some(folder) = env::var_os("MESHPACK_DIST").filter(|folder| !folder.is_empty()) {
        return vec![place(Origin::Environment, Path::new(&folder))];
    }
    let here = std::path::absolute(folder).unwrap_or_default();
    let working = env::current_dir().unwrap_or_default();
    let near = here.ancestors().chain([working.as_path()]);
    near.map(|folder| place(Origin::Near, &folder.join("dist")))
        .chain(with_the_command())
        .collect()
}

/// The folder of the modules that came with this command, if it was installed with any.
pub(crate) fn installed() -> Option<PathBuf> {
    let mut found = with_the_command();
    found.retain(|place| place.origin == Origin::Installed && place.has_modules());
    found.into_iter().next().map(|place| place.folder)
}

fn with_the_command() -> Vec<Place> {
    // Package managers put a link into the path; the modules are beside what it points at.
    let command = env::current_exe().and_then(std::fs::canonicalize);
    command.map_or_else(|_| Vec::new(), |command| beside(&command))
}

/// Places that belong to a command at this path: `share/meshpack` of its prefix (packages,
/// wheels, archives), its own folder, and `dist/` of the checkout for what cargo built.
fn beside(command: &Path) -> Vec<Place> {
    let Some(bin) = command.parent() else {
        return Vec::new();
    };
    let place = |origin, folder: PathBuf| Place { folder, origin };
    let share = bin.parent().map(|prefix| prefix.join("share/meshpack"));
    let checkout = bin
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .and_then(Path::parent);
    share
        .map(|folder| place(Origin::Installed, folder))
        .into_iter()
        .chain([place(Origin::Installed, bin.to_owned())])
        .chain(checkout.map(|folder| place(Origin::Checkout, folder.join("dist"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_an_archive_and_a_checkout_have_their_places() {
        let root = tempfile::tempdir().unwrap();
        let folders = |command: &str| -> Vec<PathBuf> {
            let found = beside(&root.path().join(command));
            let inside = |place: Place| place.folder.strip_prefix(root.path()).unwrap().to_owned();
            found.into_iter().map(inside).collect()
        };
        assert_eq!(
            folders("venv/bin/meshpack"),
            ["venv/share/meshpack", "venv/bin"].map(PathBuf::from)
        );
        let target = root.path().join("checkout/target");
        std::fs::create_dir_all(target.join("debug")).unwrap();
        std::fs::write(target.join("CACHEDIR.TAG"), "").unwrap();
        let built = folders("checkout/target/debug/meshpack");
        assert_eq!(built.last(), Some(&PathBuf::from("checkout/dist")));
    }

    #[test]
    fn who_says_where_is_believed() {
        let said = places(Some(Path::new("x")), Path::new("/"));
        let [place] = said.as_slice() else {
            panic!("{said:?}");
        };
        assert_eq!(
            (place.folder.as_path(), place.origin),
            (Path::new("x"), Origin::Option)
        );
    }
}
