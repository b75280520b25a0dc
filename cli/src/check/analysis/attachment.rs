//! Which proxies a WasmPlugin or TrafficExtension is for, and how they load it.

use super::super::code::Code;
use super::super::file::{Checked, Holder, below};
use super::super::finding::Finding;
use crate::yaml::Place;

/// Namespace of a resource that names none: where kubectl puts it is not known.
const DEFAULT_NAMESPACE: &str = "default";

pub(super) struct Attachment<'a> {
    document: Place<'a>,
    plugin: Place<'a>,
    /// Path of the plugin's part in the resource.
    holder: &'static str,
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    /// Labels of the workloads, sorted; none means all of the namespace.
    pub(super) labels: Vec<(&'a str, &'a str)>,
    /// Kinds and names of `targetRefs`.
    pub(super) targets: Vec<(&'a str, &'a str)>,
    /// Whether it acts on calls that a workload makes, and all that a gateway passes on.
    pub(super) client: bool,
    /// Whether it acts on calls that a workload gets.
    pub(super) server: bool,
}

impl<'a> Attachment<'a> {
    /// Of a plugin that a resource of Istio's carries.
    pub(super) fn of(checked: &Checked<'a>) -> Option<Self> {
        let Holder::Resource { document, plugin } = checked.holder else {
            return None;
        };
        let metadata = |key| document.at(&["metadata", key]).and_then(Place::text);
        let labels = document.at(&["spec", "selector", "matchLabels"]);
        let mut labels: Vec<_> = labels
            .into_iter()
            .flat_map(Place::entries)
            .filter_map(|(key, value)| Some((key, value.text()?)))
            .collect();
        labels.sort_unstable();
        let references = document.at(&["spec", "targetRefs"]);
        let references = references.into_iter().flat_map(Place::items);
        let targets = references
            .chain(document.at(&["spec", "targetRef"]))
            .filter_map(|reference| {
                let text = |key| reference.get(key).and_then(Place::text);
                Some((text("kind")?, text("name")?))
            });
        let modes: Vec<_> = document
            .at(&["spec", "match"])
            .into_iter()
            .flat_map(Place::items)
            .map(|entry| entry.get("mode").and_then(Place::text).unwrap_or_default())
            .collect();
        let acts = |other: &str| modes.is_empty() || modes.iter().any(|mode| *mode != other);
        Some(Self {
            document,
            plugin,
            holder: if document.at(&["spec", "wasm"]).is_some() {
                "spec.wasm"
            } else {
                "spec"
            },
            name: metadata("name").unwrap_or_default(),
            namespace: metadata("namespace").unwrap_or(DEFAULT_NAMESPACE),
            labels,
            targets: targets.collect(),
            client: acts("SERVER"),
            server: acts("CLIENT"),
        })
    }

    /// A text field of the plugin's part: `url`, `failStrategy`.
    pub(super) fn plugin_field(&self, key: &str) -> Option<&'a str> {
        self.plugin.get(key).and_then(Place::text)
    }

    /// A text field of the spec: `phase`.
    pub(super) fn field(&self, key: &str) -> Option<&'a str> {
        self.document.at(&["spec", key]).and_then(Place::text)
    }

    /// Path of a field of the plugin's part.
    pub(super) fn path_of(&self, key: &str) -> String {
        format!("{}.{key}", self.holder)
    }

    /// Whether it names gateways: by reference, or by labels that only gateways have.
    pub(super) fn names_gateway(&self) -> bool {
        self.targets.iter().any(|(kind, _)| *kind == "Gateway")
            || self.labels.iter().any(|(key, value)| {
                *key == "gateway.networking.k8s.io/gateway-name"
                    // Istio's charts give it to gateways, and to the control plane.
                    || (*key == "istio" && !["pilot", "istiod"].contains(value))
            })
    }

    /// Whether workloads with these labels, and perhaps more, are among its own.
    pub(super) fn selects(&self, labels: &[(&str, &str)]) -> bool {
        self.targets.is_empty() && self.labels.iter().all(|label| labels.contains(label))
    }

    /// A finding about what stands at `path` of the resource.
    pub(super) fn finding(
        &self,
        checked: &Checked<'_>,
        code: &'static Code,
        path: &str,
        message: impl Into<String>,
    ) -> Finding {
        Finding {
            code,
            file: checked.file.to_owned(),
            position: self.document.locate(path),
            path: below(&checked.resource_path, path),
            message: message.into(),
        }
    }
}
