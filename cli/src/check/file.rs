//! Checking one file.

use meshpack_sdk::config::{Node, Problem, Problems, Value};
use serde_json::json;

use super::carried::{self, Carried, Content, Open};
use super::finding::Finding;
use super::resource;
use crate::filters::Filter;
use crate::yaml::{self, Place, Position};

/// A configuration that was read.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) file: String,
    pub(super) position: Position,
    pub(super) path: String,
    pub(super) filter: Filter,
    pub(super) config: Node,
    /// Whether it stands in an Envoy bootstrap, which is loaded as a whole.
    pub(super) in_bootstrap: bool,
}

impl Checked {
    pub(super) fn to_json(&self) -> serde_json::Value {
        json!({
            "file": self.file,
            "line": self.position.line,
            "path": self.path,
            "filter": self.filter.name(),
        })
    }
}

/// What a file came to.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) findings: Vec<Finding>,
    pub(super) checked: Vec<Checked>,
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

/// Checks all documents of a file, which is to hold a configuration.
pub(super) fn check(file: &str, text: &str, wanted: Option<Filter>) -> Found {
    let (mut found, others) = check_carried(file, text, wanted);
    if found.checked.is_empty() {
        found.findings.extend(others);
    }
    found
}

/// Checks all documents of a file. What is said about resources that carry no
/// plugin comes apart: it is no mistake where something else was looked for.
pub(super) fn check_carried(
    file: &str,
    text: &str,
    wanted: Option<Filter>,
) -> (Found, Vec<Finding>) {
    let mut check = Check {
        file,
        wanted,
        found: Found::default(),
        others: Vec::new(),
    };
    match yaml::parse(text) {
        Err(error) => check.report(error.position, "", error.message),
        Ok(documents) if documents.is_empty() => check.report(
            Position { line: 1, column: 1 },
            "",
            "holds no document, only comments or separators",
        ),
        Ok(documents) => {
            for document in &documents {
                check.document(document.root(), "");
            }
        }
    }
    (check.found, check.others)
}

struct Check<'a> {
    file: &'a str,
    wanted: Option<Filter>,
    found: Found,
    /// Resources that carry no plugin; a mistake only if nothing else is here.
    others: Vec<Finding>,
}

impl Check<'_> {
    fn report(&mut self, position: Position, path: &str, message: impl Into<String>) {
        let finding = self.finding(position, path, message);
        self.found.findings.push(finding);
    }

    fn finding(&self, position: Position, path: &str, message: impl Into<String>) -> Finding {
        Finding {
            file: self.file.to_owned(),
            position,
            path: path.to_owned(),
            message: message.into(),
        }
    }

    fn document(&mut self, document: Place<'_>, path: &str) {
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
            Kind::EnvoyFilter => self.envoy(document, path, "EnvoyFilter", false),
            Kind::Bootstrap => self.envoy(document, path, "bootstrap", true),
            Kind::Other(kind) => {
                let remedy = if resource::is_translatable(kind) {
                    "meshpack translate makes one of it"
                } else {
                    "check takes WasmPlugin, TrafficExtension, EnvoyFilter, Envoy bootstraps and plain plugin configurations"
                };
                let message =
                    format!("a resource {kind:?} carries no plugin configuration: {remedy}");
                self.others.push(self.finding(at, path, message));
            }
        }
    }

    fn config(&mut self, document: Place<'_>, path: &str) {
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
        self.carried(&carried, false, true);
    }

    fn resource(
        &mut self,
        document: Place<'_>,
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
            false,
            false,
        );
    }

    fn envoy(&mut self, document: Place<'_>, path: &str, what: &str, in_bootstrap: bool) {
        let mut found = Vec::new();
        carried::in_envoy(document, path, &mut found);
        if found.is_empty() {
            let message = format!("this {what} has no wasm filter (no vm_config anywhere)");
            let finding = self.finding(document.position(), path, message);
            // An EnvoyFilter beside a plugin may do something else, a bootstrap is all there is.
            if in_bootstrap {
                self.found.findings.push(finding);
            } else {
                self.others.push(finding);
            }
        }
        for carried in &found {
            self.carried(carried, in_bootstrap, false);
        }
    }

    fn carried(&mut self, carried: &Carried<'_>, in_bootstrap: bool, is_plain: bool) {
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
            if is_plain || module.is_none() {
                self.unknown(&open, &carried.path);
            }
            return;
        };
        for problem in filter.problems(&open.node) {
            let position = open.locate(problem.path());
            self.report(
                position,
                &within(problem.path(), &carried.path),
                problem.message(),
            );
        }
        self.found.checked.push(Checked {
            file: self.file.to_owned(),
            position: open.locate(""),
            path: carried.path.clone(),
            filter,
            config: open.node,
            in_bootstrap,
        });
    }

    fn unknown(&mut self, open: &Open<'_>, path: &str) {
        let names = Filter::ALL.map(Filter::name).join(", ");
        self.report(
            open.locate(""),
            path,
            format!("cannot tell whose configuration this is: name it with --filter ({names})"),
        );
    }
}

fn below(path: &str, key: &str) -> String {
    within(key, path)
}

/// `inner` seen from outside.
fn within(inner: &str, path: &str) -> String {
    if path.is_empty() {
        return inner.to_owned();
    }
    if inner.is_empty() {
        return path.to_owned();
    }
    Problem::new(inner, "").within(path).path().to_owned()
}
