//! What a translation passes over: every value in every example either makes a
//! difference to what comes out, or is listed, or is named here with the reason
//! why it may be left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Ends of paths of values that may change without a word, and why. `*` stands for
/// any step.
const MEANINGLESS: &[(&str, &str)] = &[
    (
        "metadata > name",
        "the name of a resource that nothing refers to",
    ),
    ("metadata > namespace", "the same"),
    ("metadata > arn", "what AWS calls it"),
    ("metadata > uid", "the same"),
    ("metadata > version", "the same"),
    ("status > status", "what AWS says of it"),
    ("meshName", "a file is of one mesh"),
    ("virtualRouter > virtualRouterName", "its routes name it"),
    ("routeName", "names of routes mean nothing to requests"),
    ("routes > * > name", "the same"),
    ("http > * > name", "the same"),
    ("spec > awsName", "what AWS calls it"),
    (
        "metadata > annotations > linkerd.io/created-by",
        "instructs nobody",
    ),
    ("spec > description", "for people"),
    ("group", "the kind tells whose it is"),
    (
        "listeners > * > portMapping > port",
        "where a router listens is where its services are called",
    ),
    (
        "listeners > * > portMapping > protocol",
        "the routes say what a router speaks",
    ),
    (
        "virtualService > virtualServiceRef > name",
        "there is a note on all backends",
    ),
    (
        "endpointSelector > matchLabels > *",
        "an Envoy stands beside the workload that it is for",
    ),
    ("podSelector > matchLabels > *", "the same"),
    (
        "subsets > * > labels > version",
        "the endpoints of a subset are given to Envoy, and a note says so",
    ),
    (
        "Filter",
        "the endpoints of a subset are given to Envoy, and a note says so",
    ),
    ("filter", "the same"),
    ("[2] > Name", "the resolver that has these subsets"),
    (
        "matches > * > name",
        "names of matches mean nothing to requests",
    ),
    (
        "spec > exportTo > *",
        "which proxies see a route means nothing to an Envoy of one's own",
    ),
    (
        "metadata > labels > team",
        "for people, and kept where a resource is written again",
    ),
    (
        "subsets > * > name",
        "the clusters of an Envoy are those of the routes",
    ),
    (
        "parentRefs > * > namespace",
        "all routes are in the one listener of an Envoy of one's own",
    ),
    (
        "parentRefs > * > name",
        "all routes are in the one listener of an Envoy of one's own",
    ),
];

const OPTIONS: [&str; 14] = [
    "--sticky-by",
    "header:x-user-id",
    "--principal",
    "org=empire:cluster.local/ns/galaxy/sa/tiefighter",
    "--namespace",
    "elsewhere",
    "--callers",
    "reading-room",
    "--gateway",
    "front/istio=ingressgateway",
    "--trust-domain",
    "cluster.local",
    "--http-port",
    "all",
];

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/translate");
    let systems = fs::read_dir(folder)
        .unwrap()
        .map(|system| system.unwrap().path());
    let mut files: Vec<PathBuf> = systems
        .flat_map(|system| fs::read_dir(system).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
}

/// A copy of a tree in which one value is another, or gone.
struct Changed {
    steps: Vec<String>,
    tree: Value,
}

/// Copies of a tree for each of its leaves: without it, and with another value.
fn changed(tree: &Value) -> Vec<Vec<Changed>> {
    let mut leaves = Vec::new();
    let below = |step: String, leaf: Vec<Changed>, put: &dyn Fn(Value) -> Value| {
        let inner = leaf.into_iter().map(|one| Changed {
            steps: [vec![step.clone()], one.steps].concat(),
            tree: put(one.tree),
        });
        inner.collect::<Vec<_>>()
    };
    match tree {
        Value::Object(fields) => {
            for (key, value) in fields {
                let put = |value: Value| {
                    let mut own = fields.clone();
                    match value {
                        Value::Null => drop(own.remove(key)),
                        value => drop(own.insert(key.clone(), value)),
                    }
                    Value::Object(own)
                };
                for leaf in changed(value) {
                    leaves.push(below(key.clone(), leaf, &put));
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let put = |value: Value| {
                    let mut own = items.clone();
                    match value {
                        Value::Null => drop(own.remove(index)),
                        value => own[index] = value,
                    }
                    Value::Array(own)
                };
                for leaf in changed(item) {
                    leaves.push(below(format!("[{index}]"), leaf, &put));
                }
            }
        }
        leaf => {
            let other = match leaf {
                Value::Number(number) => number
                    .as_i64()
                    .map(|number| Value::from(number + 1))
                    .or(number.as_f64().map(|number| Value::from(number + 0.25))),
                Value::String(text) => Some(Value::from(format!("{text}x"))),
                Value::Bool(value) => Some(Value::from(!value)),
                _ => None,
            };
            let both = [Some(Value::Null), other].into_iter().flatten();
            let both = both.map(|tree| Changed {
                steps: Vec::new(),
                tree,
            });
            leaves.push(both.collect());
        }
    }
    leaves
}

/// What comes out and what is said, without the places of what is said.
fn outcome(documents: &Value, folder: &Path, target: &str) -> Result<String, String> {
    let file = folder.join("in.json");
    fs::write(&file, documents.to_string()).unwrap();
    let file = file.to_string_lossy();
    let words = [&OPTIONS[..], &["--to", target, &file]].concat();
    let translated =
        meshpack_cli::translate::from_words(&words).map_err(|error| error.to_string())?;
    let said = translated.remarks.iter().map(|remark| {
        let (kind, rest) = remark.split_once(&*file).unwrap_or(("", remark));
        let place = |c: char| c == ':' || c.is_ascii_digit();
        format!("{kind}{}\n", rest.trim_start_matches(place))
    });
    let said: Vec<String> = said.collect();
    Ok(translated.yaml() + &said.concat())
}

/// Whether the field, or something around it, is listed as not carried over.
fn is_listed(outcome: &str, steps: &[String]) -> bool {
    let lost = |line: &&str| line.starts_with("not carried over: ");
    let mut path = String::new();
    steps.iter().any(|step| {
        if !step.starts_with('[') && !path.is_empty() {
            path.push('.');
        }
        path.push_str(step);
        let mention = format!(": {path}: ");
        outcome
            .lines()
            .filter(lost)
            .any(|line| line.contains(&mention))
    })
}

fn fits(pattern: &str, steps: &[String]) -> bool {
    let pattern: Vec<&str> = pattern.split(" > ").collect();
    let same = |(one, step): (&&str, &String)| *one == "*" || *one == step;
    pattern.len() <= steps.len() && pattern.iter().rev().zip(steps.iter().rev()).all(same)
}

#[test]
fn every_field_matters_or_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let mut silent = Vec::new();
    let mut needed = BTreeSet::new();
    let mut tried = 0;
    for example in examples() {
        let text = fs::read_to_string(&example).unwrap();
        let documents = meshpack_cli::yaml::parse(&text).unwrap();
        let documents = documents
            .iter()
            .map(|document| meshpack_cli::json::value(document.root().node()));
        let documents = Value::Array(documents.collect());
        for target in ["wasmplugin", "envoy"] {
            let whole = outcome(&documents, folder.path(), target).unwrap();
            for leaf in changed(&documents) {
                let Some(steps) = leaf.first().map(|one| one.steps.clone()) else {
                    continue;
                };
                tried += 1;
                let matters = |one: &Changed| {
                    outcome(&one.tree, folder.path(), target).as_ref() != Ok(&whole)
                };
                if is_listed(&whole, &steps) || leaf.iter().any(matters) {
                    continue;
                }
                let known = MEANINGLESS.iter().find(|(path, _)| fits(path, &steps));
                match known {
                    Some((path, _)) => drop(needed.insert(*path)),
                    None => silent.push(format!(
                        "{} to {target}: {}",
                        example.display(),
                        steps.join(" > ")
                    )),
                }
            }
        }
    }
    assert!(tried > 600, "{tried}");
    assert!(
        silent.is_empty(),
        "{} of {tried} fields are passed over:\n{}",
        silent.len(),
        silent.join("\n")
    );
    for (path, reason) in MEANINGLESS {
        assert!(
            needed.contains(path),
            "{path} ({reason}) is excused, and need not be"
        );
    }
}
