//! Checking one file by itself.

use meshpack_sdk::config::{Node, Problem, Problems, Value};
use serde_json::json;

use super::carried::{self, Carried, Content, Open};
use super::code::{self, Code};
use super::finding::Finding;
use super::resource;
use crate::filters::Filter;
use crate::yaml::{self, Document, Place, Position, SyntaxError};

/// A file, read.
pub(super) struct Source {
    /// As it was named.
    pub(super) name: String,
    pub(super) text: String,
    documents: Result<Vec<Document>, SyntaxError>,
    /// Whether a person named it, or a folder held it beside other things.
    named: bool,
}

impl Source {
    pub(super) fn new(name: &str, text: String, named: bool) -> Self {
        let documents = yaml::parse(&text);
        Self {
            name: name.to_owned(),
            text,
            documents,
            named,
        }
    }
}

/// What a configuration stands in.
#[derive(Clone, Copy)]
pub(super) enum Holder<'a> {
    /// Nothing: a file of its own.
    Alone,
    /// A WasmPlugin or TrafficExtension.
    Resource {
        document: Place<'a>,
        /// The part of it with url, fail policy and configuration.
        plugin: Place<'a>,
    },
    /// One of the plugins of an EnvoyExtensionPolicy, Envoy Gateway's resource.
    Gateway { plugin: Place<'a> },
    /// An EnvoyFilter or a bootstrap.
    Envoy {
        document: Place<'a>,
        /// The object with the `vm_config`.
        plugin: Place<'a>,
        /// A bootstrap is loaded as a whole.
        bootstrap: bool,
    },
}

/// A configuration that was read.
pub(super) struct Checked<'a> {
    pub(super) file: &'a str,
    pub(super) position: Position,
    /// Where it stands in its document.
    pub(super) path: String,
    /// Where its resource stands in its document: not at the top in a List.
    pub(super) resource_path: String,
    pub(super) filter: Filter,
    pub(super) open: Open<'a>,
    pub(super) holder: Holder<'a>,
    /// Whether the filter takes it.
    pub(super) taken: bool,
}

impl Checked<'_> {
    pub(super) fn in_bootstrap(&self) -> bool {
        matches!(
            self.holder,
            Holder::Envoy {
                bootstrap: true,
                ..
            }
        )
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        json!({
            "file": self.file,
            "line": self.position.line,
            "path": self.path,
            "filter": self.filter.name(),
        })
    }
}

/// A resource that carries no plugin of ours.
pub(super) struct Other<'a> {
    pub(super) file: &'a str,
    pub(super) document: Place<'a>,
}

/// What a file came to.
#[derive(Default)]
pub(super) struct Found<'a> {
    pub(super) findings: Vec<Finding>,
    pub(super) checked: Vec<Checked<'a>>,
    /// What other resources tell, for those that look at all files together.
    pub(super) others: Vec<Other<'a>>,
    /// That they carry nothing to check: a mistake only if nothing else does.
    pub(super) strangers: Vec<Finding>,
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind<'a> {
    /// A plugin configuration as it is.
    Config,
    /// `spec.pluginConfig`
    WasmPlugin,
    /// `spec.wasm.pluginConfig`
    TrafficExtension,
    EnvoyFilter,
    /// `spec.wasm[].config`
    EnvoyExtensionPolicy,
    /// `items` of resources, as kubectl prints them.
    List,
    Bootstrap,
    /// A resource that carries no plugin.
    Other(&'a str),
}

impl<'a> Kind<'a> {
    fn of(document: Place<'a>) -> Self {
        let kind = document.get("kind").and_then(Place::text);
        if document.get("apiVersion").is_some() || kind.is_some() {
            return match kind {
                Some("WasmPlugin") => Self::WasmPlugin,
                Some("TrafficExtension") => Self::TrafficExtension,
                Some("EnvoyFilter") => Self::EnvoyFilter,
                Some("EnvoyExtensionPolicy") => Self::EnvoyExtensionPolicy,
                Some("List") => Self::List,
                Some(kind) => Self::Other(kind),
                None => Self::Other("without a kind"),
            };
        }
        let bootstrap = ["static_resources", "staticResources", "dynamic_resources"];
        if bootstrap.iter().any(|key| document.get(key).is_some()) {
            return Self::Bootstrap;
        }
        Self::Config
    }
}

/// Checks all documents of a file by themselves.
pub(super) fn check(source: &Source, wanted: Option<Filter>) -> Found<'_> {
    let mut check = Check {
        file: &source.name,
        named: source.named,
        wanted,
        found: Found::default(),
    };
    match &source.documents {
        Err(error) => check.report(error.position, "", error.message.clone()),
        Ok(documents) if documents.is_empty() && source.named => check.report(
            Position { line: 1, column: 1 },
            "",
            "holds no document, only comments or separators",
        ),
        Ok(documents) => {
            for document in documents {
                check.document(document.root(), "");
            }
        }
    }
    check.found
}

struct Check<'a> {
    file: &'a str,
    named: bool,
    wanted: Option<Filter>,
    found: Found<'a>,
}

impl<'a> Check<'a> {
    fn report(&mut self, position: Position, path: &str, message: impl Into<String>) {
        let finding = self.finding(&code::REFUSED, position, path, message);
        self.found.findings.push(finding);
    }

    fn finding(
        &self,
        code: &'static Code,
        position: Position,
        path: &str,
        message: impl Into<String>,
    ) -> Finding {
        Finding {
            code,
            file: self.file.to_owned(),
            position,
            path: path.to_owned(),
            message: message.into(),
        }
    }

    fn stranger(&mut self, document: Place<'a>, path: &str, message: String) {
        let finding = self.finding(&code::NOTHING_OF_OURS, document.position(), path, message);
        self.found.strangers.push(finding);
        self.found.others.push(Other {
            file: self.file,
            document,
        });
    }

    fn document(&mut self, document: Place<'a>, path: &str) {
        let at = document.position();
        match Kind::of(document) {
            Kind::Config => self.config(document, path),
            Kind::List => match document.get("items") {
                None => self.report(at, path, "is a List without items"),
                Some(items) => {
                    for (index, item) in items.items().enumerate() {
                        self.document(item, &below(path, &format!("items[{index}]")));
                    }
                }
            },
            Kind::WasmPlugin => self.resource(document, path, &["spec"], resource::wasm_plugin),
            Kind::TrafficExtension => {
                self.resource(
                    document,
                    path,
                    &["spec", "wasm"],
                    resource::traffic_extension,
                );
            }
            Kind::EnvoyExtensionPolicy => self.extension_policy(document, path),
            Kind::EnvoyFilter => self.envoy(document, path, "EnvoyFilter", false),
            Kind::Bootstrap => self.envoy(document, path, "bootstrap", true),
            Kind::Other(kind) => {
                let remedy = if resource::is_translatable(kind) {
                    "meshpack translate makes one of it"
                } else {
                    "check takes WasmPlugin, TrafficExtension, EnvoyExtensionPolicy, EnvoyFilter, Envoy bootstraps and plain plugin configurations"
                };
                let message =
                    format!("a resource {kind:?} carries no plugin configuration: {remedy}");
                self.stranger(document, path, message);
            }
        }
    }

    fn config(&mut self, document: Place<'a>, path: &str) {
        // Beside manifests in a folder lie values of charts, scenarios and the like.
        if !self.named && !Filter::all_keys_known(document.node()) {
            let message = "is no configuration of ours, and no resource".to_owned();
            return self.stranger(document, path, message);
        }
        if !matches!(document.node(), Node::Object(_)) {
            let kind = document.node().kind();
            self.report(
                document.position(),
                path,
                format!("is {kind}, must be an object: a plugin configuration, a resource or an Envoy bootstrap"),
            );
            return;
        }
        let carried = Carried {
            path: path.to_owned(),
            names: Vec::new(),
            content: Content::Tree(document),
        };
        self.carried(&carried, Holder::Alone, path);
    }

    fn resource(
        &mut self,
        document: Place<'a>,
        path: &str,
        holder: &[&str],
        read: fn(&Value<'_>) -> Option<()>,
    ) {
        let problems = Problems::default();
        read(&Value::root(document.node(), &problems));
        for problem in problems.into_vec() {
            let position = document.locate(problem.path());
            self.report(position, &below(path, problem.path()), problem.message());
        }
        let Some(plugin) = document.at(holder) else {
            return;
        };
        let names = ["url", "pluginName"]
            .into_iter()
            .filter_map(|key| plugin.get(key));
        let content = match plugin.get("pluginConfig") {
            Some(config) => Content::Tree(config),
            None => Content::Absent(plugin),
        };
        self.carried(
            &Carried {
                path: below(path, &format!("{}.pluginConfig", holder.join("."))),
                names: names.filter_map(Place::text).collect(),
                content,
            },
            Holder::Resource { document, plugin },
            path,
        );
    }

    fn extension_policy(&mut self, document: Place<'a>, path: &str) {
        let plugins: Vec<_> = document
            .at(&["spec", "wasm"])
            .into_iter()
            .flat_map(Place::items)
            .collect();
        if plugins.is_empty() {
            let message = "this EnvoyExtensionPolicy has no plugin in spec.wasm".to_owned();
            return self.stranger(document, path, message);
        }
        for (number, plugin) in plugins.into_iter().enumerate() {
            let image = plugin.at(&["code", "image", "url"]);
            let download = plugin.at(&["code", "http", "url"]);
            let names = [image, download, plugin.get("rootID"), plugin.get("name")];
            let content = match plugin.get("config") {
                Some(config) => Content::Tree(config),
                None => Content::Absent(plugin),
            };
            let carried = Carried {
                path: below(path, &format!("spec.wasm[{number}].config")),
                names: names
                    .into_iter()
                    .flatten()
                    .filter_map(Place::text)
                    .collect(),
                content,
            };
            self.carried(&carried, Holder::Gateway { plugin }, path);
        }
    }

    fn envoy(&mut self, document: Place<'a>, path: &str, what: &str, bootstrap: bool) {
        let mut found = Vec::new();
        carried::in_envoy(document, path, &mut found);
        if found.is_empty() {
            let message = format!("this {what} has no wasm filter (no vm_config anywhere)");
            // An EnvoyFilter beside a plugin may do something else, a bootstrap is all there is.
            if bootstrap && self.named {
                self.report(document.position(), path, message);
            } else {
                self.stranger(document, path, message);
            }
        }
        for (plugin, carried) in &found {
            let holder = Holder::Envoy {
                document,
                plugin: *plugin,
                bootstrap,
            };
            self.carried(carried, holder, path);
        }
    }

    fn carried(&mut self, carried: &Carried<'a>, holder: Holder<'a>, resource_path: &str) {
        let open = match carried.open() {
            Ok(open) => open,
            Err((position, problem)) => {
                return self.report(
                    position,
                    &within(problem.path(), &carried.path),
                    problem.message(),
                );
            }
        };
        let named = carried.named_filter();
        let detected = Filter::of_config(&open.node);
        let Some(filter) = self.wanted.or(named).or(detected) else {
            let module = carried.names.first();
            // A module of somebody else is none of our business.
            if matches!(holder, Holder::Alone) || module.is_none() {
                self.unknown(&open, &carried.path);
            }
            return;
        };
        let problems = filter.problems(&open.node);
        for problem in &problems {
            let position = open.locate(problem.path());
            self.report(
                position,
                &within(problem.path(), &carried.path),
                problem.message(),
            );
        }
        self.found.checked.push(Checked {
            file: self.file,
            position: open.locate(""),
            path: carried.path.clone(),
            resource_path: resource_path.to_owned(),
            filter,
            open,
            holder,
            taken: problems.is_empty(),
        });
    }

    fn unknown(&mut self, open: &Open<'a>, path: &str) {
        let names = Filter::ALL.map(Filter::name).join(", ");
        self.report(
            open.locate(""),
            path,
            format!("cannot tell whose configuration this is: name it with --filter ({names})"),
        );
    }
}

pub(super) fn below(path: &str, key: &str) -> String {
    within(key, path)
}

/// `inner` seen from outside.
pub(super) fn within(inner: &str, path: &str) -> String {
    if path.is_empty() {
        return inner.to_owned();
    }
    if inner.is_empty() {
        return path.to_owned();
    }
    Problem::new(inner, "").within(path).path().to_owned()
}
