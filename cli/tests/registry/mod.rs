//! Registries that a test starts for itself.

mod debian;
mod own;

use std::net::SocketAddr;

pub(crate) use own::OwnRegistry;

/// A running registry; it ends when it is dropped.
pub(crate) enum Registry {
    /// Debian's package `docker-registry`.
    Debian(debian::DebianRegistry),
    /// A few lines of this test.
    Own(OwnRegistry),
}

impl Registry {
    /// Debian's `docker-registry`, from the path or by `apt-get download`. Where it
    /// cannot be had this test's own registry takes its place, and the output says so
    /// (or the test fails, if MESHPACK_REQUIRE_DOCKER_REGISTRY is set).
    pub(crate) async fn start() -> Self {
        match debian::DebianRegistry::start().await {
            Ok(registry) => Self::Debian(registry),
            Err(reason) => {
                let note = format!(
                    "docker-registry cannot be had here ({reason}): testing with a registry of the test's own"
                );
                assert!(
                    std::env::var_os("MESHPACK_REQUIRE_DOCKER_REGISTRY").is_none(),
                    "{note}"
                );
                // Straight to the descriptor: the test runner hides what passing tests print.
                let _ = std::io::Write::write_all(
                    &mut std::io::stderr(),
                    format!("\nNOTE: {note}\n").as_bytes(),
                );
                Self::Own(OwnRegistry::start(None).await)
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Debian(registry) => registry.address(),
            Self::Own(registry) => registry.address(),
        }
    }
}
