//! Rules and dashboard: every expression is PromQL, and a filter makes every
//! metric they name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use meshpack_cli::{Filter, yaml};
use meshpack_sdk::config::Node;
use meshpack_sdk::metrics::Kind;
use meshpack_sdk::record::PANICS;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join("docs/observability").join(name)).unwrap()
}

/// All strings under a key, anywhere in a document.
fn strings_under<'a>(node: &'a Node, key: &str, found: &mut Vec<&'a str>) {
    match node {
        Node::Object(entries) => {
            for (name, value) in entries {
                match value {
                    Node::String(text) if name == key => found.push(text),
                    _ => strings_under(value, key, found),
                }
            }
        }
        Node::List(items) => items
            .iter()
            .for_each(|item| strings_under(item, key, found)),
        _ => {}
    }
}

fn of_rules(file: &str, key: &str) -> Vec<String> {
    let text = text(file);
    let documents = yaml::parse(&text).unwrap();
    let mut found = Vec::new();
    strings_under(documents[0].root().node(), key, &mut found);
    found.into_iter().map(str::to_owned).collect()
}

fn dashboard() -> serde_json::Value {
    serde_json::from_str(&text("dashboard.json")).unwrap()
}

fn of_dashboard() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

/// Grafana's variables, as Grafana fills them in.
fn filled(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "5m")
        .replace("$reporter", ".*")
        .replace("$service", ".*")
}

/// Names of ours in an expression.
fn metrics(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.starts_with("meshpack_") || word.starts_with("meshpack:"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_expression_is_promql() {
    let rules = ["recording-rules.yaml", "alert-rules.yaml"];
    let rules = rules.iter().flat_map(|file| of_rules(file, "expr"));
    let all: Vec<String> = rules.chain(of_dashboard()).collect();
    assert!(all.len() > 40, "{}", all.len());
    for expression in all {
        let parsed = promql_parser::parser::parse(&filled(&expression));
        assert!(parsed.is_ok(), "{expression}: {parsed:?}");
    }
}

#[test]
fn every_metric_is_made_by_a_filter_or_a_rule() {
    let made: BTreeMap<&str, Kind> = Filter::ALL
        .iter()
        .flat_map(|filter| filter.record().metrics)
        .chain([&PANICS])
        .map(|metric| (metric.name, metric.kind))
        .collect();
    let recorded: BTreeSet<String> = of_rules("recording-rules.yaml", "record")
        .into_iter()
        .collect();
    let rules = ["recording-rules.yaml", "alert-rules.yaml"];
    let rules = rules.iter().flat_map(|file| of_rules(file, "expr"));
    for name in rules
        .chain(of_dashboard())
        .flat_map(|expression| metrics(&expression))
    {
        let suffixes = ["_bucket", "_sum", "_count"];
        let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        let histogram = base.and_then(|base| made.get(base)) == Some(&Kind::Histogram);
        let plain = made
            .get(name.as_str())
            .is_some_and(|kind| *kind != Kind::Histogram);
        let is_made = recorded.contains(&name) || histogram || plain;
        assert!(is_made, "nobody makes {name}");
    }
}

#[test]
fn panels_have_their_own_ids_and_do_not_overlap() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{}",
            panel["title"]
        );
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(cells.insert((x, y)), "{} overlaps", panel["title"]);
            }
        }
        if panel["type"] != "row" {
            assert!(
                !panel["description"].as_str().unwrap().is_empty(),
                "{}",
                panel["title"]
            );
        }
    }
}
