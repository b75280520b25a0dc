//! What users read and copy: pages, configurations, manifests.

use std::path::Path;

use meshpack_harness::config::literal;
use serde_json::Value;

/// The text of a file, by its path in the repository.
///
/// # Panics
/// When there is no such file.
#[must_use]
pub fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The YAML blocks of a page, as they are written.
///
/// # Panics
/// When there is no such page.
#[must_use]
pub fn yaml_blocks(page: &str) -> Vec<String> {
    let page = read(page);
    let blocks = page.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}

/// The YAML blocks of a page, each one configuration.
///
/// # Panics
/// When there is no such page, or a block is not YAML.
#[must_use]
pub fn configurations(page: &str) -> Vec<Value> {
    let parse = |block: &String| {
        literal::parse(block).unwrap_or_else(|error| panic!("{page}: {error}: {block}"))
    };
    yaml_blocks(page).iter().map(parse).collect()
}
