//! Translated examples in a stock Envoy.

use std::net::SocketAddr;
use std::path::Path;

use meshpack_harness::{Certificates, Client, Envoy, EnvoyBuilder, Identity, Request, Upstream};
use serde_json::Value;

/// An example of `tests/translate`, and what its clusters reach.
pub struct Example<'a> {
    words: Vec<String>,
    endpoints: Vec<(&'a str, Vec<&'a Upstream>)>,
    /// What the translation may say beside its result: a part of every remark.
    expected: Vec<&'a str>,
}

/// An example by its path below `tests/translate`.
pub fn example<'a>(path: &str) -> Example<'a> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../translate");
    let file = folder.join(path).to_string_lossy().into_owned();
    Example {
        words: vec!["--to".into(), "envoy".into(), file],
        endpoints: Vec::new(),
        expected: Vec::new(),
    }
}

impl<'a> Example<'a> {
    /// Adds words of the command line.
    pub fn with(mut self, words: &[&str]) -> Self {
        self.words
            .extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Lets a cluster reach these upstreams.
    pub fn cluster(mut self, name: &'a str, upstreams: &[&'a Upstream]) -> Self {
        self.endpoints.push((name, upstreams.to_vec()));
        self
    }

    /// The translation says something with this text beside its result. What is
    /// said and not expected fails the test, as does the reverse.
    pub fn saying(mut self, text: &'a str) -> Self {
        self.expected.push(text);
        self
    }

    /// Translates; the bootstrap is the one that the command prints.
    pub fn envoy(self) -> EnvoyBuilder {
        let mut words = self.words;
        for (name, upstreams) in &self.endpoints {
            let addresses: Vec<String> = upstreams
                .iter()
                .map(|upstream| upstream.address().to_string())
                .collect();
            words.push("--endpoint".to_owned());
            words.push(format!("{name}={}", addresses.join(",")));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let translation = meshpack_cli::translate::from_words(&words).unwrap();
        let said = &translation.remarks;
        let unexpected: Vec<&String> = said
            .iter()
            .filter(|line| !self.expected.iter().any(|text| line.contains(text)))
            .collect();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
        for text in &self.expected {
            assert!(
                said.iter().any(|line| line.contains(text)),
                "{text} not in {said:#?}"
            );
        }
        Envoy::from_bootstrap(&translation.yaml()).unwrap()
    }
}

/// Clients of a guarded workload, by their identity.
pub struct Callers {
    certificates: Certificates,
    address: SocketAddr,
    envoy: Envoy,
}

impl Callers {
    /// Starts the workload's Envoy, with certificates if it wants them.
    pub async fn of(builder: EnvoyBuilder, listener: &str) -> Self {
        let certificates = Certificates::new().unwrap();
        let workload = certificates.issue(&["localhost"]).unwrap();
        let builder = with_certificates(builder, &certificates, &workload);
        let envoy = builder.start().await.unwrap();
        Self {
            certificates,
            address: envoy.address(listener),
            envoy,
        }
    }

    /// A client with this URI in its certificate, or without a certificate.
    pub fn client(&self, identity: Option<&str>) -> Client {
        let own = identity.map(|name| self.certificates.issue(&[name]).unwrap());
        let tls = self.certificates.client_tls(own.as_ref()).unwrap();
        Client::http1(self.address).tls(tls, "localhost")
    }

    /// The status that one request gets.
    pub async fn status(&self, identity: Option<&str>, request: Request) -> u16 {
        self.client(identity).send(request).await.unwrap().status
    }

    /// The Envoy.
    pub fn envoy(&self) -> &Envoy {
        &self.envoy
    }
}

/// Puts certificates where a translated listener wants them.
pub fn with_certificates(
    builder: EnvoyBuilder,
    certificates: &Certificates,
    workload: &Identity,
) -> EnvoyBuilder {
    let files = [
        ("certs/tls.crt", workload.certificate.clone()),
        ("certs/tls.key", workload.key.clone()),
        ("certs/ca.crt", certificates.authority()),
    ];
    builder.edit(|bootstrap| {
        for (wanted, file) in &files {
            replace(bootstrap, wanted, &file.to_string_lossy());
        }
    })
}

fn replace(value: &mut Value, wanted: &str, with: &str) {
    match value {
        Value::String(text) if text == wanted => *text = with.to_owned(),
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| replace(item, wanted, with)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|item| replace(item, wanted, with)),
        _ => {}
    }
}
