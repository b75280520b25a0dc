//! Bytes of the modules.

use anyhow::{Context, Result, anyhow};
use meshpack_harness::wasm_module;
use serde::{Deserialize, Serialize};

/// Modules that ship, and their bounds in KiB.
const MODULES: [(&str, f64); 5] = [
    ("authz_policy", 300.0),
    ("canary_split", 300.0),
    ("retry_budget", 300.0),
    ("telemetry", 300.0),
    ("meshpack", 700.0),
];

/// What the modules take.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sizes {
    pub(crate) modules: Vec<Module>,
    /// Code of the matcher for `valuesRegex` in `authz_policy`; what the compiler has
    /// merged into callers is not in it.
    pub(crate) regex_bytes: u64,
}

/// One module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) at_most_kib: f64,
}

/// Reads the built modules.
pub(crate) fn run() -> Result<Sizes> {
    let mut sizes = Sizes::default();
    for (name, at_most_kib) in MODULES {
        let path = wasm_module(name)?;
        let bytes = std::fs::metadata(&path)?.len();
        sizes.modules.push(Module {
            name: name.to_owned(),
            bytes,
            at_most_kib,
        });
        if name == "authz_policy" {
            let wasm = std::fs::read(&path).with_context(|| path.display().to_string())?;
            sizes.regex_bytes = code_named(&wasm, "regex")?;
        }
    }
    Ok(sizes)
}

/// Bytes of the functions whose names contain `part`.
fn code_named(wasm: &[u8], part: &str) -> Result<u64> {
    let module = walrus::Module::from_buffer(wasm).map_err(|error| anyhow!("{error:#}"))?;
    let named = module.funcs.iter_local().filter(|(id, _)| {
        let name = module.funcs.get(*id).name.as_deref();
        name.is_some_and(|name| name.contains(part))
    });
    let mut bytes = 0;
    for (_, function) in named {
        bytes += function
            .original_range
            .as_ref()
            .map_or(0, |range| range.len() as u64);
    }
    Ok(bytes)
}
