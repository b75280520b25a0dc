//! The Wasm HTTP filter, and where its modules are.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{HttpFilter, merge};

/// What Envoy does with requests after a plugin has trapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Answer 503 until the configuration changes (Envoy's default).
    FailClosed,
    /// Let later requests through without the plugin.
    FailOpen,
    /// Start a new VM, answering 503 during the backoff.
    FailReload,
}

impl FailurePolicy {
    const fn name(self) -> &'static str {
        match self {
            Self::FailClosed => "FAIL_CLOSED",
            Self::FailOpen => "FAIL_OPEN",
            Self::FailReload => "FAIL_RELOAD",
        }
    }
}

/// A proxy-wasm plugin in an HTTP filter chain.
///
/// Its VM id is its name unless set, so that plugins do not share a VM by accident.
#[derive(Clone, Debug)]
pub struct WasmFilter {
    name: String,
    plugin: Value,
}

impl WasmFilter {
    /// Plugin `name`, running the module at `module`, with root id `name`.
    pub fn new(name: impl Into<String>, module: impl AsRef<Path>) -> Self {
        let name = name.into();
        let plugin = json!({
            "name": name,
            "root_id": name,
            "vm_config": {
                "vm_id": name,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": module.as_ref()}},
            },
        });
        Self { name, plugin }
    }

    /// Passes `config` as JSON text in a `StringValue`, as Istio does.
    pub fn config(self, config: &Value) -> Self {
        self.config_text(config.to_string())
    }

    /// Passes any text in a `StringValue`, also what is no valid configuration.
    pub fn config_text(self, text: impl Into<String>) -> Self {
        let kind = "type.googleapis.com/google.protobuf.StringValue";
        self.replace(
            "configuration",
            json!({"@type": kind, "value": text.into()}),
        )
    }

    /// Passes `config` as a `Struct`, which reaches the module as protobuf.
    pub fn config_struct(self, config: &Value) -> Self {
        let kind = "type.googleapis.com/google.protobuf.Struct";
        self.replace("configuration", json!({"@type": kind, "value": config}))
    }

    /// The root id, by which a module tells its plugins apart.
    pub fn root_id(self, root_id: impl Into<String>) -> Self {
        self.replace("root_id", json!(root_id.into()))
    }

    /// The VM id: plugins with the same id, code and VM configuration share a VM, and
    /// those with the same id share data.
    pub fn vm_id(self, vm_id: impl Into<String>) -> Self {
        self.merge(json!({"vm_config": {"vm_id": vm_id.into()}}))
    }

    /// The name in the filter chain; the plugin keeps its own.
    pub fn filter_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What happens after a trap.
    pub fn failure_policy(self, policy: FailurePolicy) -> Self {
        self.replace("failure_policy", json!(policy.name()))
    }

    /// Keeps body callbacks coming while the filter holds back the headers.
    pub fn allow_on_headers_stop_iteration(self) -> Self {
        self.replace("allow_on_headers_stop_iteration", json!(true))
    }

    /// Merges `patch` into the `PluginConfig`.
    pub fn merge(mut self, patch: Value) -> Self {
        merge(&mut self.plugin, patch);
        self
    }

    fn replace(mut self, key: &str, value: Value) -> Self {
        self.plugin[key] = value;
        self
    }
}

impl From<WasmFilter> for HttpFilter {
    fn from(filter: WasmFilter) -> Self {
        let kind = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
        Self::new(filter.name, json!({"@type": kind, "config": filter.plugin}))
    }
}

/// The path of a built module: `dist/<name>.wasm` in this workspace, or
/// `<name>.wasm` in the folder that `MESHPACK_DIST` names.
pub fn wasm_module(name: &str) -> Result<PathBuf, NoSuchModule> {
    let path = dist_folder().join(format!("{name}.wasm"));
    if path.is_file() {
        Ok(path)
    } else {
        Err(NoSuchModule(path))
    }
}

/// Where built modules are.
pub(crate) fn dist_folder() -> PathBuf {
    match env::var_os("MESHPACK_DIST") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => workspace_root().join("dist"),
    }
}

/// A module that has not been built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not there; run `make build`", .0.display())]
pub struct NoSuchModule(PathBuf);

/// Where this crate was compiled, in tests: what ships knows no folder of the machine
/// that built it.
const SOURCES: Option<&str> = match option_env!("MESHPACK_RELEASE") {
    Some(_) => None,
    None => Some(env!("CARGO_MANIFEST_DIR")),
};

/// The workspace this crate was compiled in, and the current folder where that is not
/// there: relative paths in literal configurations are relative to it.
pub(crate) fn workspace_root() -> PathBuf {
    let workspace = SOURCES.and_then(|here| Path::new(here).ancestors().nth(2));
    match workspace.filter(|folder| folder.is_dir()) {
        Some(folder) => folder.to_owned(),
        None => env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_says_how_to_build_it() {
        let error = wasm_module("no_such_filter").unwrap_err().to_string();
        assert!(
            error.contains("no_such_filter.wasm") && error.contains("make build"),
            "{error}"
        );
    }

    #[test]
    fn a_plugin_is_named_once_and_takes_any_field() {
        let filter: HttpFilter = WasmFilter::new("probe", "/m.wasm")
            .config(&json!({"a": 1}))
            .failure_policy(FailurePolicy::FailOpen)
            .merge(json!({"reload_config": {"backoff": {"base_interval": "1s"}}}))
            .into();
        let plugin = &filter.typed_config()["config"];
        assert_eq!(plugin["vm_config"]["vm_id"], "probe");
        assert_eq!(plugin["configuration"]["value"], r#"{"a":1}"#);
        assert_eq!(plugin["failure_policy"], "FAIL_OPEN");
        assert_eq!(plugin["reload_config"]["backoff"]["base_interval"], "1s");
    }
}
