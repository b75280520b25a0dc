//! Consul's configuration entries in HCL, read as the JSON that they mean.

use anyhow::Context as _;

/// Whether a file is HCL: by its name, or because it begins as an entry does.
pub(super) fn is_hcl(name: &str, text: &str) -> bool {
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("//"));
    let begins = first.and_then(|line| line.split_once('='));
    name.ends_with(".hcl")
        || begins
            .is_some_and(|(key, _)| ["kind", "name"].contains(&key.trim().to_lowercase().as_str()))
}

/// The same as JSON, on one line: what is said about it names paths, not lines.
///
/// # Errors
/// What is wrong with the HCL.
pub(super) fn as_json(text: &str) -> anyhow::Result<String> {
    let value: serde_json::Value = hcl::from_str(text).context(
        "is not valid HCL; `consul config read -kind KIND -name NAME` prints the entry as JSON",
    )?;
    Ok(value.to_string())
}
