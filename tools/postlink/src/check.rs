//! What stock Envoy demands of a module.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use walrus::Module;

/// WASI functions that Envoy 1.36, 1.37 and 1.38 provide. Envoy refuses to start
/// with a module that imports any other.
const WASI: [&str; 18] = [
    "args_get",
    "args_sizes_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_read",
    "fd_seek",
    "fd_write",
    "path_open",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
];

/// Host calls of ABI 0.2.1 that stock Envoy implements.
const ENV: [&str; 38] = [
    "proxy_add_header_map_value",
    "proxy_call_foreign_function",
    "proxy_close_stream",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_dequeue_shared_queue",
    "proxy_done",
    "proxy_get_buffer_bytes",
    "proxy_get_buffer_status",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_size",
    "proxy_get_header_map_value",
    "proxy_get_log_level",
    "proxy_get_metric",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_record_metric",
    "proxy_register_shared_queue",
    "proxy_remove_header_map_value",
    "proxy_enqueue_shared_queue",
    "proxy_replace_header_map_value",
    "proxy_resolve_shared_queue",
    "proxy_send_local_response",
    "proxy_set_buffer_bytes",
    "proxy_set_effective_context",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
    "proxy_set_shared_data",
];

/// One more, kept apart because only ticking modules import it.
const TICK: &str = "proxy_set_tick_period_milliseconds";

/// Every import is one that all supported versions of Envoy provide.
pub(crate) fn imports(module: &Module) -> Result<()> {
    let known = |from: &str, name: &str| match from {
        "wasi_snapshot_preview1" => WASI.contains(&name),
        "env" => ENV.contains(&name) || name == TICK,
        _ => false,
    };
    let unknown: Vec<String> = module
        .imports
        .iter()
        .filter(|import| !known(&import.module, &import.name))
        .map(|import| format!("{}.{}", import.module, import.name))
        .collect();
    ensure!(
        unknown.is_empty(),
        "stock Envoy 1.36 does not provide these imports, so it would refuse the module: {}",
        unknown.join(", ")
    );
    Ok(())
}

/// The marker from which Envoy takes the ABI version.
pub(crate) fn abi_marker(module: &Module) -> Result<()> {
    let has = |name: &str| module.exports.iter().any(|export| export.name == name);
    if !has("proxy_abi_version_0_2_1") {
        bail!("the export proxy_abi_version_0_2_1 is missing: Envoy would not know the ABI");
    }
    ensure!(
        has("proxy_on_memory_allocate"),
        "the export proxy_on_memory_allocate is missing: Envoy could not hand over any bytes"
    );
    Ok(())
}

/// The module does not say on whose machine it was built: no path in it starts in one
/// of these folders.
pub(crate) fn paths(module: &[u8], folders: &[PathBuf]) -> Result<()> {
    for folder in folders {
        let start = format!("{}/", folder.display());
        // The root folder is nobody's, and everybody's.
        let found = start.len() > 1 && module.windows(start.len()).any(|w| w == start.as_bytes());
        ensure!(
            !found,
            "the module holds paths of this machine ({start}...): build it with \
             RUSTFLAGS=\"--remap-path-prefix={}=.\"",
            folder.display()
        );
    }
    Ok(())
}

/// The module keeps to its size budget.
pub(crate) fn size(bytes: u64, max_kib: u64) -> Result<()> {
    ensure!(
        bytes <= max_kib * 1024,
        "the module has {:.1} KiB, its budget is {max_kib} KiB",
        bytes as f64 / 1024.0
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_machine_is_found_wherever_it_stands() {
        let folders = [PathBuf::from("/"), PathBuf::from("/home/me/.cargo")];
        for (module, good) in [
            (&b"\0asm/home/me/.cargo/registry/x.rs"[..], false),
            (b"/home/me/.cargo-other/x.rs", true),
            (b"/rustc/1234/library/core/src/x.rs", true),
            (b"crates/x.rs", true),
            (b"", true),
        ] {
            assert_eq!(paths(module, &folders).is_ok(), good, "{module:?}");
        }
    }
}
