//! What the filters' records say is what they do, and what pages and manifests say.
//!
//! Metric tables and the list of failure policies are written from the records: with
//! `MESHPACK_WRITE_DOCS=1` the tests write them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use meshpack_cli::{Filter, yaml};
use meshpack_pack::{Meshpack, PARTS};
use meshpack_sdk::config::{self, Node};
use meshpack_sdk::metrics::Kind;
use meshpack_sdk::record::{FailurePolicy, Labels, Metric, PANICS, Record};
use meshpack_telemetry::policy::labels::PACK_LABELS;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn folder(record: &Record) -> PathBuf {
    root().join("filters").join(record.name.replace('_', "-"))
}

#[test]
fn the_pack_has_the_parts_of_the_records() {
    for record in PARTS {
        let json = format!(r#"{{"{}": {{"noSuchKey": 1}}}}"#, record.part);
        let read = config::parse(json.as_bytes(), |value| {
            <Meshpack as meshpack_sdk::Filter>::read(value)
        });
        let problems = read.err().expect("a key that nobody has");
        let place = format!("{}.noSuchKey", record.part);
        assert!(
            problems
                .iter()
                .any(|problem| problem.to_string().starts_with(&place)),
            "{problems:?}"
        );
    }
    let known: Vec<&str> = Filter::ALL
        .iter()
        .map(|filter| filter.record().part)
        .collect();
    for part in PARTS.map(|record| record.part) {
        assert_eq!(
            Filter::of_part(part).map(|filter| filter.record().part),
            Some(part)
        );
        assert!(known.contains(&part));
    }
}

#[test]
fn keys_are_those_of_the_schema() {
    for record in PARTS.into_iter().chain([&meshpack_pack::RECORD]) {
        let folder = if record.part.is_empty() {
            root().join("filters/pack")
        } else {
            folder(record)
        };
        let schema = std::fs::read_to_string(folder.join("schema.json")).unwrap();
        let schema: Value = serde_json::from_str(&schema).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        let properties: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
        let keys: BTreeSet<&str> = record.keys.iter().copied().collect();
        assert_eq!(keys, properties, "{}", record.name);
    }
}

#[test]
fn no_custom_label_can_be_taken_for_one_of_a_filter() {
    let fixed = PARTS.iter().flat_map(|record| record.labels());
    let mut fixed: BTreeSet<&str> = fixed.collect();
    if let Labels::Fixed(labels) = PANICS.labels {
        fixed.extend(labels);
    }
    assert_eq!(fixed, PACK_LABELS.iter().copied().collect());
}

/// The text of a page with what stands between two marks replaced.
fn replaced(page: &str, mark: &str, text: &str) -> Option<String> {
    let (open, close) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let (before, rest) = page.split_once(&open)?;
    let (_, after) = rest.split_once(&close)?;
    Some(format!("{before}{open}{text}{close}{after}"))
}

fn hold(page: &Path, mark: &str, text: &str) {
    let old = std::fs::read_to_string(page).unwrap();
    let new = replaced(&old, mark, text)
        .unwrap_or_else(|| panic!("{}: has no <!-- {mark} -->", page.display()));
    if std::env::var_os("MESHPACK_WRITE_DOCS").is_some() {
        std::fs::write(page, new).unwrap();
        return;
    }
    assert_eq!(
        old,
        new,
        "{}: run MESHPACK_WRITE_DOCS=1 cargo test -p meshpack-pack --test pack record",
        page.display()
    );
}

fn table<'m>(metrics: impl Iterator<Item = &'m Metric>) -> String {
    let mut out = String::from("| metric | kind | labels | counts or shows |\n|---|---|---|---|\n");
    for metric in metrics {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels = match metric.labels {
            Labels::Fixed(labels) => labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect::<Vec<_>>()
                .join(", "),
            Labels::Configured => "those of the configuration".to_owned(),
        };
        let _ = writeln!(
            out,
            "| `{}` | {kind} | {labels} | {} |",
            metric.name, metric.help
        );
    }
    out
}

#[test]
fn pages_have_the_metrics_of_the_records() {
    for record in PARTS {
        let page = folder(record).join("README.md");
        let (own, configured): (Vec<&Metric>, Vec<&Metric>) = record
            .metrics
            .iter()
            .partition(|metric| matches!(metric.labels, Labels::Fixed(_)));
        hold(&page, "metrics", &table(own.into_iter()));
        if !configured.is_empty() {
            hold(&page, "golden metrics", &table(configured.into_iter()));
        }
    }
}

#[test]
fn the_security_page_says_what_happens_after_a_trap() {
    let mut out = String::new();
    for record in PARTS.into_iter().chain([&meshpack_pack::RECORD]) {
        let _ = writeln!(
            out,
            "- `{}`: `{}`, for {}.",
            record.name,
            record.on_trap.name(),
            record.on_trap_because
        );
    }
    hold(&root().join("docs/security.md"), "on trap", &out);
}

/// The entries of an object in a document.
#[derive(Clone, Copy)]
struct Fields<'n>(&'n [(String, Node)]);

impl<'n> Fields<'n> {
    fn get(self, key: &str) -> Option<&'n Node> {
        let entry = self.0.iter().find(|(own, _)| own == key);
        entry.map(|(_, node)| node)
    }

    fn text(self, key: &str) -> Option<&'n str> {
        match self.get(key) {
            Some(Node::String(text)) => Some(text),
            _ => None,
        }
    }
}

/// Every object in a document, outermost first.
fn objects<'n>(node: &'n Node, visit: &mut dyn FnMut(Fields<'n>)) {
    match node {
        Node::Object(entries) => {
            visit(Fields(entries));
            entries.iter().for_each(|(_, value)| objects(value, visit));
        }
        Node::List(items) => items.iter().for_each(|item| objects(item, visit)),
        _ => {}
    }
}

/// A plugin of a manifest: whose it is, whether it has a guard, and its failure policy.
fn plugin(fields: Fields<'_>) -> Option<(Filter, bool, FailurePolicy)> {
    let said = fields
        .text("failStrategy")
        .or(fields.text("failure_policy"));
    let policy = match (said, fields.get("failOpen")) {
        (Some("FAIL_RELOAD"), _) | (None, Some(Node::Bool(false))) => FailurePolicy::Reload,
        (Some("FAIL_OPEN"), _) | (None, Some(Node::Bool(true))) => FailurePolicy::Open,
        (Some(other), _) => panic!("{other}"),
        _ => return None,
    };
    let names = ["url", "pluginName", "root_id", "rootID", "name"];
    let filter = names
        .into_iter()
        .find_map(|key| Filter::of_name(fields.text(key)?))?;
    let configs = ["pluginConfig", "configuration", "config"];
    let config = configs.into_iter().find_map(|key| fields.get(key));
    let mut guards = false;
    if let Some(config) = config {
        objects(config, &mut |part| {
            // In an Envoy configuration it may be JSON in a string.
            let json = part
                .text("value")
                .is_some_and(|text| text.contains("\"authz\""));
            guards |= json || part.get("authz").is_some();
        });
    }
    Some((filter, guards, policy))
}

fn manifests(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            manifests(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            found.push(path);
        }
    }
}

#[test]
fn manifests_fail_as_the_records_say() {
    let mut files = Vec::new();
    for folder in [
        "istio-manifests",
        "envoy-gateway-manifests",
        "envoy-configs",
    ] {
        manifests(&root().join(folder), &mut files);
    }
    let mut seen: BTreeSet<(Filter, bool)> = BTreeSet::new();
    let mut plugins = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for document in yaml::parse(&text).unwrap() {
            objects(document.root().node(), &mut |fields| {
                let Some((filter, guards, policy)) = plugin(fields) else {
                    return;
                };
                // A pack without a guard in it shares the fate of what only helps.
                let expected = match filter {
                    Filter::Meshpack if !guards => FailurePolicy::Open,
                    _ => filter.record().on_trap,
                };
                assert_eq!(policy, expected, "{}: {filter}", file.display());
                seen.insert((filter, guards && filter == Filter::Meshpack));
                plugins += 1;
            });
        }
    }
    // Each filter, and the pack with and without a guard.
    assert_eq!(seen.len(), Filter::ALL.len() + 1, "{seen:?}");
    assert!(plugins >= 25, "{plugins}");
}
