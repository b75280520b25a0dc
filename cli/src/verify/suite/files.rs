//! Files that a scenario file names.

use std::path::PathBuf;

use meshpack_sdk::config::{Node, Value};

use crate::modules;
use crate::yaml;

/// Where named files are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    /// Where `<plugin>.wasm` is looked for first, if somebody said so.
    pub(crate) modules: Option<PathBuf>,
}

impl Files {
    /// For a scenario file in `folder`.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            modules: None,
        }
    }

    /// The folder of the scenario file; absolute, because Envoy may run in a container.
    pub(crate) fn absolute_folder(&self) -> Option<PathBuf> {
        std::path::absolute(&self.folder).ok()
    }

    /// A file or folder that must be there, relative to the scenario file.
    pub(crate) fn existing(&self, value: &Value<'_>) -> Option<PathBuf> {
        let text = value.non_empty_string()?;
        let path = self.folder.join(text);
        // Envoy may run in another folder.
        match std::path::absolute(&path) {
            Ok(path) if path.exists() => Some(path),
            _ => value.problem(format!(
                "{} is not there; paths start at the folder of this file",
                path.display()
            )),
        }
    }

    /// The module of plugin `name`: in the folder of modules, if one is named, else
    /// in the nearest `dist` above the scenario file, else beside the command.
    pub(crate) fn module(&self, value: &Value<'_>, name: &str) -> Option<PathBuf> {
        let places = modules::places(self.modules.as_deref(), &self.folder);
        match places.iter().find(|place| place.has(name)) {
            Some(place) => std::path::absolute(place.module(name)).ok(),
            None => value.problem(format!(
                "no module {name}.wasm {}; or name its file with `module`",
                modules::remedy(self.modules.as_deref(), &places)
            )),
        }
    }

    /// The plugin configuration in a file: the `pluginConfig` of the first
    /// WasmPlugin or TrafficExtension in it, or the document itself.
    pub(crate) fn plugin_config(&self, value: &Value<'_>) -> Option<Node> {
        let path = self.existing(value)?;
        let text = match yaml::read(&path.to_string_lossy()) {
            Ok(text) => text,
            Err(error) => return value.problem(format!("{} {error}", path.display())),
        };
        let documents = match yaml::parse(&text) {
            Ok(documents) => documents,
            Err(error) => return value.problem(format!("{}:{error}", path.display())),
        };
        let carried = documents.iter().find_map(|document| {
            let root = document.root();
            match root.get("kind")?.text()? {
                "WasmPlugin" => root.at(&["spec", "pluginConfig"]),
                "TrafficExtension" => root.at(&["spec", "wasm", "pluginConfig"]),
                _ => None,
            }
        });
        let node = match (carried, documents.first()) {
            (Some(config), _) => config.node(),
            (None, Some(document)) if document.root().get("kind").is_none() => {
                document.root().node()
            }
            _ => {
                return value.problem(format!(
                    "{} holds no plugin configuration: name a configuration, a WasmPlugin or a TrafficExtension",
                    path.display()
                ));
            }
        };
        match node {
            Node::Object(_) => Some(node.clone()),
            other => value.problem(format!(
                "{} is {}, not an object",
                path.display(),
                other.kind()
            )),
        }
    }
}
