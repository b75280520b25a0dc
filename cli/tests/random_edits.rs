//! What a tired hand does to a file that was right: edits by chance, through every command
//! that reads files. None may end otherwise than the commands say they do, and none may
//! pass without a word.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Draw, Ran, meshpack_in};

/// Fixed, so that a test that passes goes on to; `MESHPACK_SEED` gives another, and
/// `MESHPACK_EDITS` another number of edits.
fn number(name: &str, unless: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(unless)
}

/// What people and editors leave behind in a file.
const STRAY: &[&str] = &[
    "",
    " ",
    "\t",
    ":",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "|",
    "&a ",
    "*a",
    "!!binary ",
    "~",
    "null",
    "on",
    "0",
    "-1",
    "1e999",
    "0x10",
    "2026-13-45",
    "é",
    "\u{202e}",
    "\u{0}",
    "<<: ",
    "# ",
    "---\n",
    "...\n",
    "18446744073709551616",
    "NaN",
    "../..",
    "%00",
    "{{ .Values.x }}",
];

/// One edit.
fn edited(text: &str, random: &mut Draw) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = random.below(lines.len());
    let stray = random.pick(STRAY);
    match random.below(8) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => {
            let other = random.below(lines.len());
            lines.swap(at, other);
        }
        3 => lines[at].insert_str(0, "  "),
        4 => lines[at] = lines[at].trim_start().to_owned(),
        5 => lines.truncate(at + 1),
        6 => {
            let line = &mut lines[at];
            let places: Vec<usize> = line
                .char_indices()
                .map(|(at, _)| at)
                .chain([line.len()])
                .collect();
            line.insert_str(places[random.below(places.len())], stray);
        }
        _ => {
            // The value of a key, or of the first in braces.
            let line = &mut lines[at];
            if let Some(colon) = line.find(": ") {
                let end = line[colon + 2..]
                    .find([',', '}'])
                    .map_or(line.len(), |end| colon + 2 + end);
                line.replace_range(colon + 2..end, stray);
            }
        }
    }
    lines.join("\n") + "\n"
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every YAML and JSON file that is shipped to be copied.
fn shipped() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = [
        "envoy-configs",
        "istio-manifests",
        "envoy-gateway-manifests",
        "consul-manifests",
        "tests/translate",
        "tests/verify",
    ]
    .iter()
    .map(|folder| workspace().join(folder))
    .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let ending = path
                .extension()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if ["yaml", "yml", "json"].contains(&ending.as_str()) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn no_edit_ends_a_command_otherwise_than_it_says() {
    let seed = number("MESHPACK_SEED", 19);
    let edits = number("MESHPACK_EDITS", 250);
    let mut random = Draw(seed);
    let files = shipped();
    assert!(files.len() > 40, "{}", files.len());
    let folder = tempfile::tempdir().unwrap();
    let mut passed = 0;
    for number in 0..edits {
        let file = &files[random.below(files.len())];
        let mut text = fs::read_to_string(file).unwrap();
        for _ in 0..1 + random.below(3) {
            text = edited(&text, &mut random);
        }
        fs::write(folder.path().join("in.yaml"), &text).unwrap();
        for command in [
            &["check", "in.yaml"][..],
            &["check", "--json", "."],
            &["check", "--sarif", "in.yaml"],
            &["explain", "in.yaml", "--host", "payments", "--path", "/a"],
            &["tags", "in.yaml"],
            &["translate", "in.yaml"],
            &["translate", "in.yaml", "--to", "envoy"],
        ] {
            let Ran { code, out, err } = meshpack_in(folder.path(), command);
            let context = format!(
                "MESHPACK_SEED={seed}, edit {number} of {}, {command:?}: exit {code}\n{out}\n{err}\n{text}",
                file.display()
            );
            assert!((0..=2).contains(&code), "{context}");
            assert!(
                !err.contains("panicked") && !out.contains("panicked"),
                "{context}"
            );
            assert!(
                !(out.trim().is_empty() && err.trim().is_empty()),
                "without a word: {context}"
            );
            passed += u64::from(code == 0);
        }
    }
    // Edits in comments and names are right, most others are not.
    assert!(passed > 0 && passed < edits * 7, "{passed}");
}
