//! What stands about a resource: for people, for Kubernetes, and what it tells a mesh.

use meshpack_sdk::config::Node;

use super::{Context, Resource};
use crate::translate::options::Target;

/// Domains of the annotations and labels by which people instruct a mesh.
const INSTRUCTING: [&str; 5] = [
    "istio.io",
    "linkerd.io",
    "hashicorp.com",
    "k8s.aws",
    "cilium.io",
];
/// Instructs nobody.
const CREATED_BY: &str = "linkerd.io/created-by";

/// What kubectl writes into annotations for itself.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Labels and annotations of a resource that is written again, for Istio.
pub(super) fn kept_metadata(resource: &Resource<'_>, cx: &Context<'_>) -> Vec<(String, Node)> {
    if cx.options.to == Target::Envoy {
        return Vec::new();
    }
    let Some(metadata) = resource.field.get("metadata") else {
        return Vec::new();
    };
    let Node::Object(entries) = as_applied(metadata.node()) else {
        return Vec::new();
    };
    let mut kept = entries;
    kept.retain(|(key, _)| ["labels", "annotations"].contains(&key.as_str()));
    kept
}

/// A resource as a person would apply it: without status, and without what the API
/// server adds.
pub(super) fn as_written(resource: &Node) -> Node {
    let Node::Object(entries) = resource else {
        return resource.clone();
    };
    let kept = entries.iter().filter(|(key, _)| key != "status");
    let kept = kept.map(|(key, value)| match key.as_str() {
        "metadata" => (key.clone(), as_applied(value)),
        _ => (key.clone(), value.clone()),
    });
    Node::Object(kept.collect())
}

fn as_applied(metadata: &Node) -> Node {
    let Node::Object(entries) = metadata else {
        return metadata.clone();
    };
    let mut kept = Vec::new();
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("name" | "namespace" | "labels", value) => kept.push((key.clone(), value.clone())),
            ("annotations", Node::Object(annotations)) => {
                let mut annotations = annotations.clone();
                annotations.retain(|(name, _)| name != APPLIED);
                if !annotations.is_empty() {
                    kept.push((key.clone(), Node::Object(annotations)));
                }
            }
            _ => {}
        }
    }
    Node::Object(kept)
}

/// Metadata is between people and Kubernetes, but for what it tells a mesh.
pub(super) fn report_metadata(resource: &Resource<'_>, cx: &Context<'_>) {
    let is_kept = cx.options.to == Target::Wasmplugin
        && ["DestinationRule", "HTTPRoute", "VirtualService"].contains(&resource.kind.as_str());
    for owner in resource
        .field
        .at(&["metadata", "ownerReferences"])
        .map(|owners| owners.items())
        .unwrap_or_default()
    {
        let controls = owner.get("controller").and_then(|value| value.boolean());
        if controls == Some(true) {
            let kind = owner.text_at("kind").unwrap_or_default();
            let name = owner.text_at("name").unwrap_or_default();
            owner.lost(format!("is written by the controller of the {kind} {name}, which would undo what comes out: let the filter do that work (weights, ramp and abort of canary_split) and delete the {kind} first, or leave this resource to it"));
        }
    }
    for key in ["annotations", "labels"] {
        let Some(entries) = resource.field.at(&["metadata", key]) else {
            continue;
        };
        for (name, entry) in entries.unread() {
            let domain = name.split_once('/').map_or("", |(domain, _)| domain);
            let instructs = INSTRUCTING.iter().any(|known| domain.ends_with(known));
            let kept = is_kept && domain.ends_with("istio.io");
            if instructs && !kept && name != CREATED_BY {
                entry.lost("tells the mesh something that what comes out does not");
            }
        }
    }
    resource.field.skip("metadata");
}
