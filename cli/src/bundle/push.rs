//! Pushing an image to a registry.

use anyhow::{Context as _, anyhow, bail};
use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};

use super::image::{Image, MANIFEST};

/// Environment variables that go before what `docker login` left behind.
const USERNAME: &str = "MESHPACK_REGISTRY_USERNAME";
const PASSWORD: &str = "MESHPACK_REGISTRY_PASSWORD";

/// Pushes `image` to `target` (`registry/repository:tag`) and makes sure that the
/// registry has it under the same digest.
pub(crate) fn push(target: &str, image: &Image, plain_http: bool) -> anyhow::Result<()> {
    let reference: Reference = target
        .parse()
        .map_err(|error| anyhow!("this is not a place for an image: {error}"))?;
    // Another part of the process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(send(&reference, image, plain_http))
}

async fn send(reference: &Reference, image: &Image, plain_http: bool) -> anyhow::Result<()> {
    let registry = reference.resolve_registry();
    let protocol = if plain_http || is_local(registry) {
        ClientProtocol::Http
    } else {
        ClientProtocol::Https
    };
    let client = Client::try_from(ClientConfig {
        protocol,
        user_agent: concat!("meshpack/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })?;
    let auth = credentials(registry)?;
    client.store_auth_if_needed(registry, &auth).await;
    let hint = |error: OciDistributionError| explained(error, registry, &auth);
    client
        .auth(reference, &auth, RegistryOperation::Push)
        .await
        .map_err(hint)?;
    for blob in [&image.config, &image.layer] {
        let pushed = client
            .push_blob(reference, blob.bytes.clone(), &blob.digest)
            .await;
        pushed.map_err(hint)?;
    }
    let kind = MANIFEST.parse().context("media type")?;
    client
        .push_manifest_raw(reference, image.manifest.bytes.clone(), kind)
        .await
        .map_err(hint)?;
    let stored = client.fetch_manifest_digest(reference, &auth).await?;
    if stored != image.manifest.digest {
        bail!(
            "{registry} stored {stored} instead of {}",
            image.manifest.digest
        );
    }
    Ok(())
}

/// A registry's refusal, and what to do about it.
fn explained(error: OciDistributionError, registry: &str, auth: &RegistryAuth) -> anyhow::Error {
    let refused = matches!(
        error,
        OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::ServerError {
                code: 401 | 403,
                ..
            }
    );
    match auth {
        _ if !refused => anyhow!(error),
        RegistryAuth::Anonymous => anyhow!(error).context(format!(
            "{registry} wants a password: use `docker login`, or set {USERNAME} and {PASSWORD}"
        )),
        _ => anyhow!(error).context(format!("{registry} does not let this user push here")),
    }
}

/// Registries on this machine have no certificate, as Docker assumes too.
fn is_local(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => registry.split(':').next(),
    };
    let host = host.unwrap_or_default();
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn credentials(registry: &str) -> anyhow::Result<RegistryAuth> {
    if let (Ok(user), Ok(password)) = (std::env::var(USERNAME), std::env::var(PASSWORD)) {
        return Ok(RegistryAuth::Basic(user, password));
    }
    // Docker keeps its own registry's credentials under the old address.
    let key = match registry {
        "index.docker.io" | "docker.io" => "https://index.docker.io/v1/",
        other => other,
    };
    match docker_credential::get_credential(key) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(RegistryAuth::Basic(user, password))
        }
        Ok(DockerCredential::IdentityToken(_)) => bail!(
            "docker keeps an identity token for {registry}, which cannot be used here: set {USERNAME} and {PASSWORD}"
        ),
        Err(
            CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError
            | CredentialRetrievalError::NoCredentialConfigured,
        ) => Ok(RegistryAuth::Anonymous),
        Err(error) => Err(anyhow!(
            "docker's credentials for {registry} cannot be read ({error}): set {USERNAME} and {PASSWORD}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registries_on_this_machine_are_spoken_to_without_tls() {
        for local in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "[::1]:5000",
        ] {
            assert!(is_local(local), "{local}");
        }
        for remote in ["ghcr.io", "localhost.example.com", "10.0.0.1:5000"] {
            assert!(!is_local(remote), "{remote}");
        }
    }
}
