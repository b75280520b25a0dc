//! Makes a linked module ready for Envoy: drops the exports that the host does not ask
//! for and the code only they reached, keeps one of functions that are the same, and refuses a module that stock Envoy 1.36 to
//! 1.40 would not load or that is too large.

mod check;
mod exports;
mod fold;
mod names;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use walrus::{Module, ModuleConfig};

/// Post-link step for proxy-wasm modules built with meshpack-sdk.
#[derive(Debug, Parser)]
struct Options {
    /// The module as the linker wrote it.
    input: PathBuf,
    /// Where the finished module goes.
    #[arg(short, long)]
    output: PathBuf,
    /// Largest accepted size, in KiB.
    #[arg(long, default_value_t = 300)]
    max_kib: u64,
    /// Keep the exports as they are: for modules built on the stock SDK, which
    /// only want the checks.
    #[arg(long)]
    keep_exports: bool,
}

fn main() -> std::process::ExitCode {
    match finish(&Options::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meshpack-postlink: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn finish(options: &Options) -> Result<()> {
    let input = options.input.display();
    let bytes = std::fs::read(&options.input).with_context(|| format!("cannot read {input}"))?;
    let mut module =
        read(&bytes).with_context(|| format!("{input} is not a WebAssembly module"))?;
    if !options.keep_exports {
        exports::select(&mut module)?;
        walrus::passes::gc::run(&mut module);
        (module, _) = fold::fold(module)?;
    }
    names::shorten(&mut module);
    check::imports(&module)?;
    check::abi_marker(&module)?;
    stamp(&mut module);
    let mut output = module.emit_wasm();
    if output.len() as u64 > options.max_kib * 1024 {
        // Names make a trap's backtrace readable; the budget goes first.
        names::drop_all(&mut module);
        // What was emitted has taken its custom sections along.
        stamp(&mut module);
        output = module.emit_wasm();
    }
    check::size(output.len() as u64, options.max_kib)?;
    if !options.keep_exports {
        check::paths(&output, &machine())?;
    }
    if let Some(parent) = options.output.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::write(&options.output, &output)
        .with_context(|| format!("cannot write {}", options.output.display()))?;
    eprintln!(
        "{}: {:.1} KiB (linked: {:.1} KiB), callbacks: {}",
        options.output.display(),
        output.len() as f64 / 1024.0,
        bytes.len() as f64 / 1024.0,
        exports::callbacks(&module).join(" "),
    );
    Ok(())
}

/// A module without the note of who produced it.
fn read(bytes: &[u8]) -> Result<Module> {
    let mut config = ModuleConfig::new();
    config.generate_producers_section(false).parse(bytes)
}

/// Says which version it is, where WebAssembly tools and `meshpack version` look for it.
fn stamp(module: &mut Module) {
    let version = Some(env!("CARGO_PKG_VERSION").to_owned());
    let build = std::env::var("MESHPACK_BUILD").ok();
    for (name, value) in [("version", version), ("revision", build)] {
        if let Some(value) = value {
            module.customs.add(walrus::RawCustomSection {
                name: name.to_owned(),
                data: value.into_bytes(),
            });
        }
    }
}

/// Folders whose names say who built a module: where the sources of crates are, the
/// home, and where it is built.
fn machine() -> Vec<PathBuf> {
    let variables = ["CARGO_HOME", "HOME"].into_iter();
    let folders = variables.filter_map(|name| std::env::var_os(name).map(PathBuf::from));
    folders.chain(std::env::current_dir().ok()).collect()
}
