//! An OCI image with one layer that holds `plugin.wasm`.
//!
//! istio-agent accepts an image whose last layer is a gzipped tar with a file called
//! `plugin.wasm`; older ones want exactly one layer. Everything that could differ
//! from run to run (times, owners, order of keys) is fixed, so that equal modules
//! have equal digests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use flate2::{Compression, GzBuilder};
use ring::digest;
use serde_json::{Value, json};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The name by which agents look for the module.
const FILE: &str = "plugin.wasm";

/// Bytes with their digest and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) media_type: &'static str,
    /// `sha256:` and 64 hexadecimal digits.
    pub(crate) digest: String,
    pub(crate) bytes: Vec<u8>,
}

/// An image ready to be written or pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) config: Blob,
    pub(crate) layer: Blob,
    pub(crate) manifest: Blob,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: format!("sha256:{}", sha256(&bytes)),
            bytes,
        }
    }

    fn json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into_bytes())
    }

    /// The descriptor that other documents point with.
    pub(crate) fn descriptor(&self) -> Value {
        json!({"digest": self.digest, "mediaType": self.media_type, "size": self.bytes.len()})
    }
}

impl Image {
    /// An image of `wasm`, labelled and annotated with `labels`.
    pub(crate) fn new(
        name: &str,
        wasm: &[u8],
        labels: &BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let tar = tar(wasm)?;
        // Keys stand in alphabetical order, so that serde_json writes the same bytes
        // whether or not it was built to keep their order.
        let config = json!({
            // Not a machine's: nodes are not meant to pull it.
            "architecture": "wasm",
            "config": {"Labels": labels},
            "os": "wasi",
            "rootfs": {"diff_ids": [format!("sha256:{}", sha256(&tar))], "type": "layers"},
        });
        let config = Blob::json(CONFIG, &config);
        let layer = Blob::new(LAYER, gzip(&tar)?);
        let manifest = json!({
            "annotations": labels,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
            "mediaType": MANIFEST,
            "schemaVersion": 2,
        });
        Ok(Self {
            name: name.to_owned(),
            manifest: Blob::json(MANIFEST, &manifest),
            config,
            layer,
        })
    }

    /// Everything that has to be stored, what others point to first.
    pub(crate) fn blobs(&self) -> [&Blob; 3] {
        [&self.config, &self.layer, &self.manifest]
    }
}

fn tar(wasm: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(FILE)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(wasm.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append(&header, wasm)?;
    archive.into_inner()
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    io::Write::write_all(&mut encoder, bytes)?;
    encoder.finish()
}

/// The SHA-256 in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
