//! Certificates that live as long as a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::config::ServerTls;

/// A throw-away certificate authority, with its files in a temporary folder.
pub struct Certificates {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Certificates {
    /// A new authority.
    pub fn new() -> Result<Self, CertificateError> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "throw-away test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let folder = tempfile::tempdir()?;
        let certificates = Self { folder, issuer };
        fs::write(certificates.authority(), certificates.issuer.pem())?;
        Ok(certificates)
    }

    /// The authority's certificate, PEM.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Issues a certificate, good for servers and clients. A name with a colon is a
    /// URI (`spiffe://cluster.local/ns/default/sa/app`), an address an IP, anything
    /// else a DNS name; the first goes first.
    pub fn issue(&self, names: &[&str]) -> Result<Identity, CertificateError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test");
        params.subject_alt_names = names
            .iter()
            .map(|name| alternative_name(name))
            .collect::<Result<_, _>>()?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let serial = fs::read_dir(self.folder.path())?.count();
        let file = |extension: &str| self.folder.path().join(format!("{serial}.{extension}"));
        let identity = Identity {
            certificate: file("pem"),
            key: file("key"),
        };
        fs::write(&identity.certificate, certificate.pem())?;
        fs::write(&identity.key, key.serialize_pem())?;
        Ok(identity)
    }

    /// TLS for a listener that shows `server`.
    pub fn server_tls(&self, server: &Identity) -> ServerTls {
        ServerTls {
            certificate: server.certificate.clone(),
            key: server.key.clone(),
            client_ca: None,
        }
    }

    /// Mutual TLS for a listener that shows `server` and trusts this authority's
    /// clients.
    pub fn mutual_tls(&self, server: &Identity) -> ServerTls {
        ServerTls {
            client_ca: Some(self.authority()),
            ..self.server_tls(server)
        }
    }

    /// TLS for a [`Client`](crate::Client) that trusts this authority and shows
    /// `identity`, if any.
    pub fn client_tls(
        &self,
        identity: Option<&Identity>,
    ) -> Result<Arc<ClientConfig>, CertificateError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        Ok(Arc::new(match identity {
            None => config.with_no_client_auth(),
            Some(identity) => config.with_client_auth_cert(
                read_chain(&identity.certificate)?,
                PrivateKeyDer::from_pem_file(&identity.key)?,
            )?,
        }))
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

fn alternative_name(name: &str) -> Result<SanType, rcgen::Error> {
    if let Ok(address) = name.parse() {
        return Ok(SanType::IpAddress(address));
    }
    let text = Ia5String::try_from(name)?;
    Ok(if name.contains(':') {
        SanType::URI(text)
    } else {
        SanType::DnsName(text)
    })
}

/// A certificate that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be made.
    #[error("cannot make the certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// Its files cannot be written.
    #[error("cannot write the certificate: {0}")]
    Files(#[from] std::io::Error),
    /// Its files cannot be read back.
    #[error("cannot read the certificate: {0}")]
    Read(#[from] rustls::pki_types::pem::Error),
    /// TLS does not accept it.
    #[error("TLS does not accept the certificate: {0}")]
    Tls(#[from] rustls::Error),
}
