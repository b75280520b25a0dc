use std::io::Read as _;

use super::*;

const WASM: &[u8] = b"\0asm\x01\0\0\0";

fn image() -> Image {
    let labels = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    Image::new("canary-split", WASM, &labels).unwrap()
}

#[test]
fn equal_modules_have_equal_digests() {
    assert_eq!(image(), image());
    // Whatever changes this changes every digest that users have pinned.
    assert_eq!(
        image().manifest.digest,
        "sha256:6bc9d87801468f2123c50d5e092f957a8b7fb4add9cd50f3b8898b0827b9b3c1"
    );
}

#[test]
fn the_only_layer_is_a_gzipped_tar_with_plugin_wasm() {
    let image = image();
    let manifest: serde_json::Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    let tar = flate2::read::GzDecoder::new(image.layer.bytes.as_slice());
    let mut archive = tar::Archive::new(tar);
    let mut entries = archive.entries().unwrap();
    let mut entry = entries.next().unwrap().unwrap();
    assert_eq!(entry.path().unwrap().to_str(), Some("plugin.wasm"));
    let mut found = Vec::new();
    entry.read_to_end(&mut found).unwrap();
    assert_eq!(found, WASM);
    assert!(entries.next().is_none());
}

#[test]
fn the_configuration_names_the_unpacked_layer_and_the_labels() {
    let image = image();
    let config: serde_json::Value = serde_json::from_slice(&image.config.bytes).unwrap();
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(image.layer.bytes.as_slice())
        .read_to_end(&mut tar)
        .unwrap();
    let expected = format!("sha256:{}", image::sha256(&tar));
    assert_eq!(config["rootfs"]["diff_ids"][0], expected);
    assert_eq!(config["config"]["Labels"]["k"], "v");
}

#[test]
fn names_and_tags_are_those_that_registries_take() {
    for good in ["canary_split", "canary-split", "a", "a1.b"] {
        assert!(valid_name(good), "{good}");
    }
    for bad in ["", "-a", "a-", "A", "a/b", "a..b", "a_", "a._b", "ä"] {
        assert!(!valid_name(bad), "{bad}");
    }
    for good in ["0.1.0", "latest", "_x", "A-b"] {
        assert!(valid_tag(good), "{good}");
    }
    for bad in ["", ".a", "-a", "a b", "a:b"] {
        assert!(!valid_tag(bad), "{bad}");
    }
}

#[test]
fn a_folder_with_something_else_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("image");
    layout::write(&target, &image(), "1").unwrap();
    layout::write(&target, &image(), "2").unwrap();
    let index = fs::read_to_string(target.join("index.json")).unwrap();
    assert!(
        index.contains("\"org.opencontainers.image.ref.name\":\"2\""),
        "{index}"
    );
    let blobs = fs::read_dir(target.join("blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 3);
    fs::write(folder.path().join("precious"), "").unwrap();
    let error = layout::write(folder.path(), &image(), "1").unwrap_err();
    assert!(error.to_string().contains("no image"), "{error}");
}
