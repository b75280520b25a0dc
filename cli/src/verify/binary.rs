//! The Envoy binary that somebody named: that it is one, and of the version wanted.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;
use meshpack_harness::EnvoyVersion;

/// Refuses a binary that is no Envoy, and an `ENVOY_BIN` of another version than somebody
/// asked for: the results would carry the name of a version that never ran. With
/// `--envoy-bin` (`named`) the binary counts, whatever its version.
///
/// # Errors
/// What is wrong, and the remedy.
pub(super) fn check(named: Option<&Path>, wanted: &[EnvoyVersion]) -> anyhow::Result<()> {
    let from_env = env::var_os("ENVOY_BIN").filter(|path| !path.is_empty());
    let path = match (named, from_env) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => PathBuf::from(path),
        (None, None) => return Ok(()),
    };
    // A file that is not there has a message of its own.
    if !path.is_file() {
        return Ok(());
    }
    let Some(version) = version_of(&path) else {
        bail!(
            "{} is no Envoy: it does not answer --version with one; name another file or unset ENVOY_BIN to use a pinned Envoy",
            path.display()
        );
    };
    let other = wanted.iter().find(|wanted| wanted.to_string() != version);
    if let (None, Some(other)) = (named, other) {
        bail!(
            "Envoy {other} is wanted, but ENVOY_BIN is {version} ({}): unset ENVOY_BIN, or do not ask for a version",
            path.display()
        );
    }
    Ok(())
}

/// What stands in `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn version_of(path: &Path) -> Option<String> {
    let ran = Command::new(path).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let (_, build) = text.split_once("version: ")?;
    let version = build.split('/').nth(1)?;
    // Builds from between releases are `1.41.0-dev`.
    version
        .starts_with(|first: char| first.is_ascii_digit())
        .then(|| version.to_owned())
}
