//! An image as a folder: the OCI image layout, which skopeo, oras and cosign read.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

use super::image::Image;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Writes the image; a layout that was there before is replaced.
pub(crate) fn write(folder: &Path, image: &Image, tag: &str) -> io::Result<()> {
    let marker = folder.join("oci-layout");
    let blobs = folder.join("blobs").join("sha256");
    if folder.exists() {
        let empty = fs::read_dir(folder)?.next().is_none();
        if !empty && !marker.exists() {
            return Err(io::Error::other(
                "it holds something that is no image: name another folder",
            ));
        }
        if blobs.exists() {
            fs::remove_dir_all(&blobs)?;
        }
    }
    fs::create_dir_all(&blobs)?;
    for blob in image.blobs() {
        let hex = blob.digest.trim_start_matches("sha256:");
        fs::write(blobs.join(hex), &blob.bytes)?;
    }
    let mut manifest = image.manifest.descriptor();
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]});
    fs::write(folder.join("index.json"), index.to_string())?;
    fs::write(marker, json!({"imageLayoutVersion": "1.0.0"}).to_string())
}
