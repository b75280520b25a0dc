//! Finding the resources in the files.

use anyhow::{Context as _, bail};
use meshpack_sdk::config::Node;

use super::hcl;
use super::ledger::{Field, Ledger};
use super::options::{Options, Target};
use super::source::{self, Resource, System};
use crate::yaml::{self, Document, Place};

/// A file and its documents.
pub(super) struct File {
    name: String,
    documents: Vec<Document>,
}

/// Reads all files.
pub(super) fn files(names: &[String]) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for name in names {
        let text = yaml::read(name).with_context(|| name.clone())?;
        let text = match hcl::is_hcl(name, &text) {
            true => hcl::as_json(&text).with_context(|| name.clone())?,
            false => text,
        };
        let documents = match yaml::parse(&text) {
            Ok(documents) => documents,
            Err(error) => bail!("{name}:{error}"),
        };
        if documents.is_empty() {
            bail!("{name}: holds no document, only comments or separators");
        }
        files.push(File {
            name: name.clone(),
            documents,
        });
    }
    Ok(files)
}

/// The resources of all files, lists opened.
pub(super) fn resources<'a>(
    files: &'a [File],
    options: &Options,
    ledger: &'a Ledger,
) -> anyhow::Result<Vec<Resource<'a>>> {
    let mut found = Vec::new();
    for file in files {
        let mut loader = Loader {
            file: &file.name,
            options,
            ledger,
            found: Vec::new(),
        };
        for document in &file.documents {
            loader.document(document.root(), String::new(), ("", ""));
        }
        found.extend(loader.found);
    }
    if found.is_empty() {
        let (lost, _) = ledger.snapshot();
        let reasons: Vec<String> = lost.iter().map(ToString::to_string).collect();
        if reasons.is_empty() {
            bail!("nothing here is to be translated: all of it stays in the cluster as it is");
        }
        bail!("nothing here can be translated\n{}", reasons.join("\n"));
    }
    Ok(found)
}

struct Loader<'a, 'o> {
    file: &'a str,
    options: &'o Options,
    ledger: &'a Ledger,
    found: Vec<Resource<'a>>,
}

impl<'a> Loader<'a, '_> {
    /// `list` is the version and the kind that the items of a list have in common, which
    /// they may leave out.
    fn document(&mut self, place: Place<'a>, path: String, list: (&'a str, &'a str)) {
        if matches!(place.node(), Node::List(_)) {
            for (index, item) in place.items().enumerate() {
                self.document(item, format!("{path}[{index}]"), list);
            }
            return;
        }
        let text = |key: &str| place.get(key).and_then(Place::text).unwrap_or_default();
        let (mut api, mut kind) = (text("apiVersion"), text("kind"));
        if kind.is_empty() && api.is_empty() && place.get("metadata").is_some() {
            (api, kind) = list;
        }
        // Consul's API writes its keys with capitals.
        if kind.is_empty() && api.is_empty() {
            kind = text("Kind");
        }
        if kind == "List" || (place.get("items").is_some() && kind.ends_with("List")) {
            let items = place.get("items").map(|items| items.items().enumerate());
            for (index, item) in items.into_iter().flatten() {
                let path = format!("{path}.items[{index}]");
                let of_items = match kind.strip_suffix("List") {
                    Some(kind) if !kind.is_empty() => (api, kind),
                    _ => ("", ""),
                };
                self.document(item, path.trim_start_matches('.').to_owned(), of_items);
            }
            return;
        }
        if kind.is_empty() {
            let described = source::DESCRIBED
                .iter()
                .find_map(|(key, kind)| Some((*key, *kind, place.get(key)?)));
            if let Some((key, kind, inner)) = described {
                for (other, beside) in place.entries().filter(|(other, _)| *other != key) {
                    self.refuse(beside, format!("{path}.{other}"), "", "");
                }
                let path = format!("{path}.{key}").trim_start_matches('.').to_owned();
                return self.push(inner, path, kind, System::AppMesh);
            }
        }
        if kind.is_empty() && place.get("meshName").is_some() && place.get("spec").is_some() {
            // What `aws appmesh create-…` takes, which describes itself by its names.
            let named = source::NAMED
                .iter()
                .find(|(key, _)| place.get(key).is_some());
            if let Some((_, kind)) = named {
                return self.push(place, path, kind, System::AppMesh);
            }
        }
        match System::of(api, kind) {
            Some(system) => self.push(place, path, kind, system),
            None => self.refuse(place, path, api, kind),
        }
    }

    fn push(&mut self, place: Place<'a>, path: String, kind: &str, system: System) {
        let metadata = |key: &str| place.at(&["metadata", key]).and_then(Place::text);
        let own = |key: &str| place.get(key).and_then(Place::text);
        let described = [
            "routeName",
            "virtualRouterName",
            "virtualNodeName",
            "virtualServiceName",
        ];
        let name = metadata("name")
            .or_else(|| own("Name"))
            .or_else(|| own("name"))
            .or_else(|| described.iter().find_map(|key| own(key)));
        let name = name.unwrap_or("unnamed").to_owned();
        let namespace = metadata("namespace")
            .unwrap_or(&self.options.namespace)
            .to_owned();
        let title = format!("{kind} {namespace}/{name}");
        self.found.push(Resource {
            kind: source::entry_kind(kind),
            name,
            namespace,
            system,
            field: Field::resource(place, path, self.file, title, self.ledger),
        });
    }

    fn refuse(&self, place: Place<'a>, path: String, api: &str, kind: &str) {
        let title = match (kind, place.node()) {
            ("", Node::Object(_)) => "a document without a kind".to_owned(),
            ("", node) => node.kind().to_owned(),
            (kind, _) => format!("{api} {kind}"),
        };
        let group = api.split_once('/').map_or("", |(group, _)| group);
        if !kind.is_empty() && source::stays(group, kind) && self.options.to == Target::Wasmplugin {
            let name = place.at(&["metadata", "name"]).and_then(Place::text);
            let instructs = |name: &str| {
                let domain = name.split_once('/').map_or("", |(domain, _)| domain);
                domain.ends_with("linkerd.io") && domain != "linkerd.io"
            };
            let annotations = place.at(&["metadata", "annotations"]);
            let mut names = annotations.into_iter().flat_map(Place::entries);
            if let Some((annotation, _)) = names.find(|(name, _)| instructs(name)) {
                let title = format!("{kind} {}", name.unwrap_or("unnamed"));
                let field = Field::resource(place, path, self.file, title, self.ledger);
                field.lost(format!("has the annotation {annotation}, which is read on HTTPRoutes alone: give the {kind} an HTTPRoute of its own (parentRefs with kind {kind}), with the annotation there"));
                return;
            }
            self.ledger
                .stays(format!("{kind} {}", name.unwrap_or("unnamed")));
            return;
        }
        let field = Field::resource(place, path, self.file, title, self.ledger);
        if place.get("AWSTemplateFormatVersion").is_some() || place.get("Resources").is_some() {
            return field.lost("is a CloudFormation template, whose names AWS alone resolves: have AWS describe what it made of it, `aws appmesh describe-route --mesh-name MESH --virtual-router-name ROUTER --route-name ROUTE`, and so the virtual routers, services and nodes, and translate what it prints");
        }
        field.lost(source::remedy(group, kind));
    }
}
