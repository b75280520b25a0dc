//! Which functions the host may call.

use anyhow::{Result, ensure};
use walrus::{ExportItem, Module};

/// The prefix of the host's callbacks.
const HOSTS: &str = "proxy_on_";

/// Exports that every module needs beside its callbacks.
const ALWAYS: [&str; 3] = ["memory", "_initialize", "proxy_abi_version_0_2_1"];

/// Drops every export that the host does not ask for.
pub(crate) fn select(module: &mut Module) -> Result<()> {
    let (mut dropped, mut callbacks) = (Vec::new(), 0);
    for export in module.exports.iter() {
        if export.name.starts_with(HOSTS) {
            callbacks += 1;
        } else if !ALWAYS.contains(&export.name.as_str()) {
            dropped.push(export.id());
        }
    }
    ensure!(
        callbacks > 0,
        "no export starts with {HOSTS}: does the crate call meshpack_sdk::module!, and was it built with its feature \"module\"?"
    );
    for id in dropped {
        module.exports.delete(id);
    }
    Ok(())
}

/// The callbacks the host will call.
pub(crate) fn callbacks(module: &Module) -> Vec<String> {
    let mut names: Vec<String> = module
        .exports
        .iter()
        .filter(|export| matches!(export.item, ExportItem::Function(_)))
        .filter_map(|export| export.name.strip_prefix(HOSTS).map(str::to_owned))
        .collect();
    names.sort_unstable();
    names
}
