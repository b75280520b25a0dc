//! Files that a scenario file names.

use std::path::PathBuf;

use meshpack_harness::FailurePolicy;
use meshpack_sdk::config::{Node, Value};

use crate::modules;
use crate::yaml::{self, Place};

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

    /// The plugin in a file: a WasmPlugin or TrafficExtension, or a configuration as it is.
    /// Of several resources `wanted` names one.
    pub(crate) fn plugin(&self, value: &Value<'_>, wanted: Option<&str>) -> Option<Deployed> {
        let path = self.existing(value)?;
        let text = match yaml::read(&path.to_string_lossy()) {
            Ok(text) => text,
            Err(error) => return value.problem(format!("{} {error}", path.display())),
        };
        let documents = match yaml::parse(&text) {
            Ok(documents) => documents,
            Err(error) => return value.problem(format!("{}:{error}", path.display())),
        };
        let mut deployed: Vec<Deployed> = documents
            .iter()
            .filter_map(|document| Deployed::of_resource(document.root()))
            .collect();
        let names: Vec<String> = deployed.iter().map(|d| d.name.clone()).collect();
        deployed.retain(|deployed| wanted.is_none_or(|wanted| deployed.name == wanted));
        let plain = documents
            .first()
            .filter(|document| names.is_empty() && document.root().get("kind").is_none());
        let found = match (deployed.len(), plain, wanted) {
            (1, _, _) => deployed.pop()?,
            (0, Some(document), None) => Deployed {
                name: String::new(),
                config: document.root().node().clone(),
                failure_policy: None,
            },
            (0, _, Some(wanted)) => {
                return value.problem(format!(
                    "{} holds no plugin {wanted:?}; it has {names:?}",
                    path.display()
                ));
            }
            (0, _, None) => {
                return value.problem(format!(
                    "{} holds no plugin configuration: name a configuration, a WasmPlugin or a TrafficExtension",
                    path.display()
                ));
            }
            _ => {
                return value.problem(format!(
                    "{} holds several plugins: add `resource` with the name of one of {}",
                    path.display(),
                    names.join(", ")
                ));
            }
        };
        match &found.config {
            Node::Object(_) => Some(found),
            other => value.problem(format!(
                "{} is {}, not an object",
                path.display(),
                other.kind()
            )),
        }
    }
}

/// A plugin as a resource deploys it.
#[derive(Debug, Clone)]
pub(crate) struct Deployed {
    /// Of the resource; empty without one.
    name: String,
    pub(crate) config: Node,
    /// What the resource says about failing; none without a resource.
    pub(crate) failure_policy: Option<FailurePolicy>,
}

impl Deployed {
    fn of_resource(root: Place<'_>) -> Option<Self> {
        let plugin = match root.get("kind")?.text()? {
            "WasmPlugin" => root.get("spec"),
            "TrafficExtension" => root.at(&["spec", "wasm"]),
            _ => None,
        }?;
        let failure_policy = match plugin.get("failStrategy").and_then(Place::text) {
            Some("FAIL_OPEN") => FailurePolicy::FailOpen,
            Some("FAIL_RELOAD") => FailurePolicy::FailReload,
            _ => FailurePolicy::FailClosed,
        };
        let name = root.at(&["metadata", "name"]).and_then(Place::text);
        let config = plugin.get("pluginConfig");
        Some(Self {
            name: name.unwrap_or_default().to_owned(),
            config: config.map_or_else(|| Node::Object(Vec::new()), |config| config.node().clone()),
            failure_policy: Some(failure_policy),
        })
    }
}
