//! The project's manifests, as files that are applied and as documents that are changed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use meshpack_harness::config::literal;
use serde_json::Value;

/// A document of a file, of any kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The file, from the repository's root.
    pub file: String,
    /// The document.
    pub document: Value,
}

impl Manifest {
    /// The repository.
    pub fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// The documents of a file.
    pub fn read(file: &str) -> Result<Vec<Self>> {
        let text = std::fs::read_to_string(Self::root().join(file)).context(file.to_owned())?;
        let documents = text.split("\n---\n").filter(|part| {
            let content = |line: &str| !line.trim().is_empty() && !line.starts_with('#');
            part.lines().any(content)
        });
        documents
            .map(|part| {
                let document = literal::parse(part).with_context(|| file.to_owned())?;
                Ok(Self {
                    file: file.to_owned(),
                    document,
                })
            })
            .collect()
    }

    /// Every resource below `istio-manifests/` that is applied to a cluster, by the files
    /// that name them; overlays are changes of those.
    pub fn all() -> Result<Vec<Self>> {
        let mut found = Vec::new();
        let folder = Self::root().join("istio-manifests");
        for entry in folder.read_dir()? {
            let folder = entry?.path();
            if !folder.is_dir() {
                continue;
            }
            for entry in folder.read_dir()? {
                let path = entry?.path();
                let yaml = path.extension().is_some_and(|name| name == "yaml");
                if yaml && !path.ends_with("kustomization.yaml") {
                    let file = path
                        .strip_prefix(Self::root())?
                        .to_string_lossy()
                        .into_owned();
                    found.extend(Self::read(&file)?);
                }
            }
        }
        found.sort_by(|a, b| a.file.cmp(&b.file));
        // An IstioOperator is read by the installer.
        found.retain(|manifest| manifest.kind() != "IstioOperator");
        Ok(found)
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        self.document["kind"].as_str().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.document["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.document["metadata"]["namespace"]
            .as_str()
            .unwrap_or("default")
    }

    /// The document with a change.
    pub fn changed(&self, change: impl FnOnce(&mut Value)) -> Self {
        let mut copy = self.clone();
        change(&mut copy.document);
        copy
    }

    /// As text for kubectl: JSON is YAML.
    pub fn text(&self) -> String {
        self.document.to_string()
    }
}
