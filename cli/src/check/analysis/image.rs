//! What a plugin's image is called.

use super::super::code::{TAG, ZERO_DIGEST};
use super::super::file::Holder;
use super::super::finding::Finding;
use super::{Plugin, failing};
use crate::yaml::Place;

pub(super) fn look(plugin: &Plugin<'_, '_>, findings: &mut Vec<Finding>) {
    if let Some(attachment) = &plugin.attachment {
        let field = |key| attachment.plugin_field(key);
        judge(field("url"), field("sha256"), |code, key, message| {
            let path = attachment.path_of(key);
            findings.push(attachment.finding(plugin.checked, code, &path, message));
        });
    } else if let Holder::Gateway { plugin: place } = plugin.checked.holder {
        let field = |key| place.at(&["code", "image", key]).and_then(Place::text);
        judge(field("url"), field("sha256"), |code, key, message| {
            let key = format!("code.image.{key}");
            findings.push(failing::in_gateway(plugin, place, &key, code, message));
        });
    }
}

fn judge(
    url: Option<&str>,
    checksum: Option<&str>,
    mut say: impl FnMut(&'static super::super::code::Code, &str, String),
) {
    let Some(url) = url else {
        return;
    };
    let checksum = checksum.filter(|sum| !sum.is_empty());
    let in_url = url.split_once("@sha256:").map(|(_, digest)| digest);
    for (key, digest) in [("url", in_url), ("sha256", checksum)] {
        if digest.is_some_and(|digest| digest.bytes().all(|digit| digit == b'0')) {
            let message = "has a digest of zeros, which stands for one that is not known yet";
            say(&ZERO_DIGEST, key, message.to_owned());
        }
    }
    // A file or a download is not an image, and may have a checksum.
    let image = url.starts_with("oci://") || !url.contains("://");
    if image && in_url.is_none() && checksum.is_none() {
        say(&TAG, "url", format!("{url:?} names an image by its tag"));
    }
}
