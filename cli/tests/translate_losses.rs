//! Every source system's fixture of what cannot be carried over: each field that is
//! marked there is listed with its line and its path, and nothing else is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::meshpack_in;
use serde_json::Value;

/// A line, and the key on it by which the path in the report ends.
type Place = (u64, String);

/// What the comments of a fixture say about one target.
fn marked(text: &str, target: &str) -> (BTreeSet<Place>, BTreeSet<Place>) {
    let (mut lost, mut noted) = (BTreeSet::new(), BTreeSet::new());
    for (line, content) in (1..).zip(text.lines()) {
        let Some((content, mark)) = content.split_once(" # ") else {
            continue;
        };
        let (mark, at) = match mark.split_once(" at the ") {
            Some((mark, at)) => (mark, at),
            None => (mark, "field"),
        };
        let key = match at {
            // The item or resource as a whole, which begins on this line.
            "item" => "]".to_owned(),
            "resource" => String::new(),
            _ => {
                let key = content.trim_start().trim_start_matches("- ");
                key.split(':').next().unwrap_or_default().to_owned()
            }
        };
        // A list of texts has no keys.
        let key = if content.contains("- ") && !content.contains(": ") && !content.ends_with(':') {
            "]".to_owned()
        } else {
            key
        };
        let place = (line, key);
        match (mark, target) {
            ("lost", _)
            | ("lost in envoy" | "noted, lost in envoy", "envoy")
            | ("lost in wasmplugin", "wasmplugin") => {
                lost.insert(place);
            }
            ("noted", _) | ("noted in wasmplugin" | "noted, lost in envoy", "wasmplugin") => {
                noted.insert(place);
            }
            ("lost in envoy" | "noted in wasmplugin" | "lost in wasmplugin", _) => {}
            (other, _) => panic!("line {line}: {other:?} says nothing"),
        }
    }
    (lost, noted)
}

fn listed(report: &Value, key: &str) -> Vec<(u64, String)> {
    let remarks = report[key].as_array().unwrap().iter();
    remarks
        .map(|remark| {
            (
                remark["line"].as_u64().unwrap(),
                remark["path"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

fn check(system: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/translate");
    let text = fs::read_to_string(folder.join(system).join("losses.yaml")).unwrap();
    for target in ["wasmplugin", "envoy"] {
        let file = format!("{system}/losses.yaml");
        let ran = meshpack_in(
            &folder,
            &[
                "--json",
                "translate",
                "--callers",
                "none",
                "--to",
                target,
                &file,
            ],
        );
        assert_eq!(ran.code, 1, "{}", ran.err);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let (lost, noted) = marked(&text, target);
        assert!(lost.len() > 5, "{system}");
        let mut wrong = Vec::new();
        let mut compare = |kind: &str, marked: &BTreeSet<Place>, listed: &[Place], strict: bool| {
            let fits = |(line, key): &Place, (at, path): &Place| {
                let last = path.rsplit('.').next().unwrap_or_default();
                // Keys with dots are quoted in paths.
                line == at
                    && (path.is_empty() == key.is_empty())
                    && (last.ends_with(key.as_str()) || path.contains(key.as_str()))
            };
            for place in marked {
                if !listed.iter().any(|remark| fits(place, remark)) {
                    wrong.push(format!("{kind}, and not listed: {place:?}"));
                }
            }
            for remark in listed {
                if strict && !marked.iter().any(|place| fits(place, remark)) {
                    wrong.push(format!("listed as {kind}, and not marked: {remark:?}"));
                }
            }
        };
        compare("lost", &lost, &listed(&report, "lost"), true);
        // Notes about the whole of a policy or a route are not for the fixtures.
        compare("noted", &noted, &listed(&report, "notes"), false);
        assert!(
            wrong.is_empty(),
            "{system} to {target}:\n{}",
            wrong.join("\n")
        );
    }
}

#[test]
fn istio() {
    check("istio");
}

#[test]
fn gateway_api() {
    check("gateway-api");
}

#[test]
fn linkerd() {
    check("linkerd");
}

#[test]
fn consul() {
    check("consul");
}

#[test]
fn app_mesh() {
    check("app-mesh");
}

#[test]
fn cilium() {
    check("cilium");
}
