//! Plugin configurations inside other documents, found and laid open.

use meshpack_sdk::config::{Node, Problem};

use crate::filters::Filter;
use crate::yaml::{self, Document, Place, Position, push_key};

/// A plugin configuration inside a document.
pub(super) struct Carried<'a> {
    /// Where it is in the document.
    pub(super) path: String,
    /// What its module is called: URL, file name, plugin name.
    pub(super) names: Vec<&'a str>,
    pub(super) content: Content<'a>,
}

/// How the configuration is written.
pub(super) enum Content<'a> {
    /// As part of the document.
    Tree(Place<'a>),
    /// As JSON text in a string, as Envoy's `StringValue` has it.
    Text(Place<'a>),
    /// Not at all: the filter sees an empty configuration.
    Absent(Place<'a>),
    /// In a form that cannot be looked into.
    Closed(Place<'a>, String),
}

/// A configuration ready to be read by its filter.
pub(super) struct Open<'a> {
    pub(super) node: Node,
    origin: Origin<'a>,
}

enum Origin<'a> {
    Tree(Place<'a>),
    Text {
        at: Place<'a>,
        inner: Option<Document>,
    },
}

impl<'a> Carried<'a> {
    /// The filter that the names speak of.
    pub(super) fn named_filter(&self) -> Option<Filter> {
        self.names.iter().find_map(|name| Filter::of_name(name))
    }

    /// # Errors
    /// The position and what is wrong.
    pub(super) fn open(&self) -> Result<Open<'a>, (Position, Problem)> {
        match &self.content {
            Content::Tree(place) => Ok(Open {
                node: place.node().clone(),
                origin: Origin::Tree(*place),
            }),
            Content::Absent(place) => Ok(Open {
                node: Node::Object(Vec::new()),
                origin: Origin::Tree(*place),
            }),
            Content::Closed(place, message) => {
                Err((place.position(), Problem::new("", message.clone())))
            }
            Content::Text(place) => {
                let text = place.text().unwrap_or_default();
                match Node::from_plugin_configuration(text.as_bytes()) {
                    Ok(node) => {
                        let documents = yaml::parse(text).unwrap_or_default();
                        Ok(Open {
                            node,
                            origin: Origin::Text {
                                at: *place,
                                inner: documents.into_iter().next(),
                            },
                        })
                    }
                    Err(problem) => Err((place.text_position(), problem)),
                }
            }
        }
    }
}

impl Open<'_> {
    /// Where a path of the configuration stands in the file.
    pub(super) fn locate(&self, path: &str) -> Position {
        match &self.origin {
            Origin::Tree(place) => place.locate(path),
            Origin::Text { at, inner } => {
                let start = at.text_position();
                let inner = inner.as_ref().map(|document| document.root().locate(path));
                match inner {
                    Some(inside) if at.is_block() => Position {
                        line: start.line + inside.line - 1,
                        column: start.column + inside.column - 1,
                    },
                    Some(inside) if inside.line == 1 => Position {
                        column: start.column + inside.column - 1,
                        ..start
                    },
                    _ => start,
                }
            }
        }
    }
}

/// All Envoy plugins below `place`, objects with a `vm_config`, with their
/// configurations.
pub(super) fn in_envoy<'a>(
    place: Place<'a>,
    path: &str,
    found: &mut Vec<(Place<'a>, Carried<'a>)>,
) {
    if let Some(vm) = either(place, "vm_config", "vmConfig") {
        found.push((place, plugin(place, vm, path)));
        return;
    }
    for (key, child) in place.entries() {
        let mut below = path.to_owned();
        push_key(&mut below, key);
        in_envoy(child, &below, found);
    }
    for (index, child) in place.items().enumerate() {
        in_envoy(child, &format!("{path}[{index}]"), found);
    }
}

fn plugin<'a>(place: Place<'a>, vm: Place<'a>, path: &str) -> Carried<'a> {
    let remote = vm.at(&["code", "remote"]);
    let url = remote.and_then(|remote| either(remote, "http_uri", "httpUri"));
    let names = [
        vm.at(&["code", "local", "filename"]),
        url.and_then(|url| url.get("uri")),
        either(place, "root_id", "rootId"),
        place.get("name"),
    ];
    let names = names
        .into_iter()
        .flatten()
        .filter_map(Place::text)
        .collect();
    let Some(configuration) = place.get("configuration") else {
        return Carried {
            path: path.to_owned(),
            names,
            content: Content::Absent(place),
        };
    };
    let kind = configuration.get("@type").and_then(Place::text);
    let kind = kind.unwrap_or_default().rsplit('/').next();
    let value = configuration.get("value");
    let content = match (kind, value) {
        (Some("google.protobuf.StringValue"), Some(value)) if value.text().is_some() => {
            Content::Text(value)
        }
        (Some("google.protobuf.StringValue"), Some(value)) => Content::Closed(
            value,
            format!("is {}, must be JSON text in a string", value.node().kind()),
        ),
        (Some("google.protobuf.Struct"), Some(value)) => Content::Tree(value),
        (Some("google.protobuf.StringValue" | "google.protobuf.Struct"), None) => {
            Content::Absent(configuration)
        }
        _ => Content::Closed(
            configuration,
            "is neither a google.protobuf.StringValue nor a google.protobuf.Struct: give \"@type\" and value".to_owned(),
        ),
    };
    let place = match &content {
        Content::Text(_) | Content::Tree(_) => "configuration.value",
        _ => "configuration",
    };
    Carried {
        path: if path.is_empty() {
            place.to_owned()
        } else {
            format!("{path}.{place}")
        },
        names,
        content,
    }
}

pub(super) fn either<'a>(place: Place<'a>, snake: &str, camel: &str) -> Option<Place<'a>> {
    place.get(snake).or_else(|| place.get(camel))
}
