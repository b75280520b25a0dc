//! Swapping a filter's configuration while Envoy runs, by file: no control plane.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

use crate::config::HttpFilter;

/// What Envoy made of a new filter configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// It serves now.
    Accepted,
    /// It was refused; the old one goes on serving.
    Rejected,
}

/// Writes the discovery file of filter `name` in one step, as Envoy watches for a
/// file moved into place.
pub(crate) fn write(path: &Path, name: &str, filter: &HttpFilter, version: u64) -> io::Result<()> {
    let kind = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    let discovery = json!({
        "version_info": version.to_string(),
        "resources": [{"@type": kind, "name": name, "typed_config": filter.typed_config()}],
    });
    let fresh = path.with_extension("new");
    fs::write(&fresh, discovery.to_string())?;
    fs::rename(&fresh, path)
}
