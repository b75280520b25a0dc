//! The `match` of an entry: which requests it is for.

use super::{PathTemplate, RequestHead, TextMatch};
use crate::config::{Node, Value};
use crate::headers::check_name;

/// Which requests an entry is for: `{hosts, paths, methods, headers}`, all
/// optional, ANDed; the values of each are ORed.
///
/// Strings take Istio's forms (exact, `prefix*`, `*suffix`, `*`). Hosts compare
/// without case and port; paths without query, and may be templates (`{*}`,
/// `{**}`). A header's value is a string or a list of strings; `*` means that
/// the header is present, even empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestMatch {
    pub(super) hosts: Vec<TextMatch>,
    pub(super) paths: Vec<PathMatch>,
    pub(super) methods: Vec<TextMatch>,
    pub(super) headers: Vec<(String, Vec<TextMatch>)>,
}

/// One entry of `paths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathMatch {
    Text(TextMatch),
    Template(PathTemplate),
}

impl PathMatch {
    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Text(text) => text.matches(path),
            Self::Template(template) => template.matches(path),
        }
    }
}

impl RequestMatch {
    /// A match that takes every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Reads the value of a `match` key.
    #[must_use]
    #[cold]
    pub fn read(value: &Value<'_>) -> Option<Self> {
        let mut fields = value.object()?;
        let hosts = fields
            .get("hosts")
            .map(|hosts| hosts.non_empty_list_of(read_host));
        let paths = fields
            .get("paths")
            .map(|paths| paths.non_empty_list_of(read_path));
        let methods = fields
            .get("methods")
            .map(|methods| methods.non_empty_list_of(read_text));
        let headers = fields.get("headers").map(|headers| read_headers(&headers));
        drop(fields);
        Some(Self {
            hosts: hosts.unwrap_or_else(|| Some(Vec::new()))?,
            paths: paths.unwrap_or_else(|| Some(Vec::new()))?,
            methods: methods.unwrap_or_else(|| Some(Vec::new()))?,
            headers: headers.unwrap_or_else(|| Some(Vec::new()))?,
        })
    }

    /// Whether the header of this (lower-case) name is looked at.
    #[must_use]
    pub fn names_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own == name)
    }

    /// Whether this entry is for the request.
    #[must_use]
    pub fn matches(&self, request: &RequestHead<'_>) -> bool {
        let host = |text: &TextMatch| text.matches_ignoring_case(request.host());
        let path = |path: &PathMatch| path.matches(request.path());
        let method = |text: &TextMatch| text.matches(request.method());
        (self.hosts.is_empty() || self.hosts.iter().any(host))
            && (self.paths.is_empty() || self.paths.iter().any(path))
            && (self.methods.is_empty() || self.methods.iter().any(method))
            && self.headers.iter().all(|(name, values)| {
                let any = |value: &[u8]| values.iter().any(|text| text.matches(value));
                request.with_header(name.as_bytes(), any) == Some(true)
            })
    }
}

#[cold]
fn read_text(value: &Value<'_>) -> Option<TextMatch> {
    Some(TextMatch::parse(value.non_empty_string()?))
}

#[cold]
fn read_host(value: &Value<'_>) -> Option<TextMatch> {
    let text = value.non_empty_string()?;
    let bare = text.trim_start_matches('*').trim_end_matches('*');
    let is_address = bare.starts_with('[');
    if bare.contains('/') || (!is_address && bare.contains(':')) {
        return value.problem(format!(
            "{text:?} can never match: hosts are compared without scheme, port and path"
        ));
    }
    if text.contains(char::is_whitespace) {
        return value.problem(format!("{text:?} can never match: a host has no spaces"));
    }
    Some(TextMatch::parse(text).to_ascii_lowercase())
}

#[cold]
fn read_path(value: &Value<'_>) -> Option<PathMatch> {
    let text = value.non_empty_string()?;
    if text.contains(['?', '#']) {
        return value.problem(format!(
            "{text:?} can never match: paths are compared without query and fragment"
        ));
    }
    // A brace that is no template is a mistake rather than a path.
    if text.contains(['{', '}']) {
        return match PathTemplate::parse(text) {
            Ok(template) => Some(PathMatch::Template(template)),
            Err(error) => value.problem(format!("{text:?} is not a path template: {error}")),
        };
    }
    if !text.starts_with(['/', '*']) {
        return value.problem(format!(
            "{text:?} can never match: a path starts with /, or with * to match its end"
        ));
    }
    Some(PathMatch::Text(TextMatch::parse(text)))
}

#[cold]
fn read_headers(value: &Value<'_>) -> Option<Vec<(String, Vec<TextMatch>)>> {
    let entries = value.entries()?;
    if entries.is_empty() {
        return value.problem("is empty: give at least one header or leave the key out");
    }
    let headers: Vec<_> = entries
        .into_iter()
        .map(|(name, value)| {
            if check_name(name.as_bytes()).is_err() {
                return value.problem(format!("{name:?} is not a header name"));
            }
            let values = match value.node() {
                Node::List(_) => {
                    value.non_empty_list_of(|item| Some(TextMatch::parse(item.string()?)))
                }
                Node::String(text) => Some(vec![TextMatch::parse(text)]),
                other => value.problem(format!(
                    "is {}, must be a string or a list of strings",
                    other.kind()
                )),
            };
            Some((name.to_ascii_lowercase(), values?))
        })
        .collect();
    headers.into_iter().collect()
}
