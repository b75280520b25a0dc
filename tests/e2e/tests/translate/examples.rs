//! A stock Envoy starts with what comes of every example, also of those that are about
//! what is lost.

use std::fs;
use std::path::{Path, PathBuf};

use meshpack_e2e::translate::with_certificates;
use meshpack_harness::{Certificates, Envoy};

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../translate");
    let systems = fs::read_dir(folder).unwrap();
    let systems = systems.map(|system| system.unwrap().path());
    let mut files: Vec<PathBuf> = systems
        .flat_map(|system| fs::read_dir(system).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bootstrap_starts() {
    let certificates = Certificates::new().unwrap();
    let workload = certificates.issue(&["localhost"]).unwrap();
    let examples = examples();
    assert!(examples.len() >= 20, "{}", examples.len());
    for example in examples {
        let file = example.to_string_lossy();
        let words = ["--to", "envoy", "--trust-domain", "cluster.local", &file];
        let translation = meshpack_cli::translate::from_words(&words).unwrap();
        let builder = Envoy::from_bootstrap(&translation.yaml()).unwrap();
        let builder = with_certificates(builder, &certificates, &workload);
        let envoy = builder.start().await;
        assert!(envoy.is_ok(), "{file}: {:?}", envoy.err());
    }
}
