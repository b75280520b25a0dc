//! Finding the resources in the files.

use anyhow::{Context as _, bail};
use meshpack_sdk::config::Node;

use super::ledger::{Field, Ledger};
use super::options::Options;
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
            loader.document(document.root(), String::new());
        }
        found.extend(loader.found);
    }
    if found.is_empty() {
        let (lost, _) = ledger.snapshot();
        let reasons: Vec<String> = lost.iter().map(ToString::to_string).collect();
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
    fn document(&mut self, place: Place<'a>, path: String) {
        if matches!(place.node(), Node::List(_)) {
            for (index, item) in place.items().enumerate() {
                self.document(item, format!("{path}[{index}]"));
            }
            return;
        }
        let text = |key: &str| place.get(key).and_then(Place::text).unwrap_or_default();
        let (api, mut kind) = (text("apiVersion"), text("kind"));
        // Consul's API writes its keys with capitals.
        if kind.is_empty() && api.is_empty() {
            kind = text("Kind");
        }
        if kind == "List" || (place.get("items").is_some() && kind.ends_with("List")) {
            let items = place.get("items").map(|items| items.items().enumerate());
            for (index, item) in items.into_iter().flatten() {
                self.document(
                    item,
                    format!("{path}.items[{index}]")
                        .trim_start_matches('.')
                        .to_owned(),
                );
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
        let field = Field::resource(place, path, self.file, title, self.ledger);
        field.lost("is not among the kinds that can be translated");
    }
}
