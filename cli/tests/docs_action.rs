//! The action at the root of the repository, as pipelines use it: with the wheel that a
//! release has, and the inputs of the example.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::common::typed;
use crate::docs_verify::{blocks, first_cells, page, parsed, repository};
use crate::installed::artefacts;
use serde_json::Value;

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

fn action() -> Value {
    parsed(&fs::read_to_string(workspace().join("action.yml")).unwrap())
}

/// Runs the action in a user's repository with these inputs, the others as they are unless
/// given.
fn run(folder: &Path, with: &Value) -> Output {
    let action = action();
    let steps = action["runs"]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["id"] == "run").unwrap();
    let script = step["run"].as_str().unwrap().trim_matches('"');
    let script = script.replace("$GITHUB_ACTION_PATH", workspace().to_str().unwrap());
    let mut command = Command::new(script);
    let links = std::env::var("PIP_FIND_LINKS").unwrap_or_default();
    command
        .current_dir(folder)
        .env(
            "PIP_FIND_LINKS",
            format!("{} {links}", artefacts().display()),
        )
        .env("RUNNER_TEMP", folder)
        .env("GITHUB_OUTPUT", folder.join("output"))
        .env_remove("MESHPACK_DIST")
        .stdin(Stdio::null());
    for (name, value) in step["env"].as_object().unwrap() {
        let value = value.as_str().unwrap();
        let input = value
            .strip_prefix("${{ inputs.")
            .unwrap()
            .strip_suffix(" }}")
            .unwrap();
        let default = action["inputs"][input]["default"].as_str().unwrap();
        command.env(name, with[input].as_str().unwrap_or(default));
    }
    command.output().unwrap()
}

fn said(ran: &Output) -> String {
    String::from_utf8_lossy(&[ran.stdout.clone(), ran.stderr.clone()].concat()).into_owned()
}

#[test]
fn the_workflow_of_the_page_runs() {
    let file = page("examples/ci/github-actions.yaml");
    let shown = page("verify-in-ci.md");
    let shown = blocks(&shown, "yaml");
    assert!(shown.contains(&file.as_str()));
    let workflow = parsed(&file);
    let steps = workflow["jobs"]["verify"]["steps"].as_array().unwrap();
    let ours = |step: &&Value| {
        step["uses"]
            .as_str()
            .unwrap()
            .starts_with("meshpack/meshpack@v")
    };
    let step = steps.iter().find(ours).unwrap();
    let version = step["uses"].as_str().unwrap().split_once("@v").unwrap().1;
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let folder = repository();
    let ran = run(folder.path(), &step["with"]);
    let out = said(&ran);
    assert!(ran.status.success(), "{out}");
    assert!(out.contains("(installed with the command)"), "{out}");
    // On each of the versions of Envoy.
    let versions = step["with"]["envoy"].as_str().unwrap().split(' ').count();
    assert!(
        out.contains(&format!("{versions} scenarios passed")),
        "{out}"
    );
    let output = fs::read_to_string(folder.path().join("output")).unwrap();
    let reports = folder
        .path()
        .join(output.trim().strip_prefix("report=").unwrap());
    assert!(reports.join("verify.xml").is_file() && reports.join("verify.html").is_file());
}

#[test]
fn the_page_has_the_inputs_that_there_are() {
    let inputs = action()["inputs"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(first_cells(&page("verify-in-ci.md"), "input"), inputs);
}

#[test]
fn an_action_that_would_do_nothing_fails() {
    let folder = repository();
    for (with, says) in [
        ("{}", "nothing to do"),
        (
            "{scenarios: 'mesh/scenario/*.yaml'}",
            "no file matches mesh/scenario/*.yaml",
        ),
        (
            "{configs: 'mesh/plugins/*.yaml mesh/p/**/*.yaml'}",
            "no file matches mesh/p/**/*.yaml",
        ),
    ] {
        let ran = run(folder.path(), &parsed(with));
        assert!(
            !ran.status.success() && said(&ran).contains(says),
            "{with}: {}",
            said(&ran)
        );
    }
    // And one whose scenario fails.
    let scenario = folder.path().join("mesh/scenarios/canary.yaml");
    let text = fs::read_to_string(&scenario).unwrap();
    fs::write(
        &scenario,
        text.replace("expect: {upstream: v1}", "expect: {upstream: v2}"),
    )
    .unwrap();
    let ran = run(
        folder.path(),
        &parsed("{scenarios: 'mesh/scenarios/*.yaml'}"),
    );
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
}

/// What workflows run is here, so that it can run here.
#[test]
fn workflows_call_what_there_is() {
    let makefile = fs::read_to_string(workspace().join("Makefile")).unwrap();
    let mut seen = 0;
    for name in ["ci.yaml", "release.yaml"] {
        let text = fs::read_to_string(workspace().join(".github/workflows").join(name)).unwrap();
        for job in parsed(&text)["jobs"].as_object().unwrap().values() {
            for line in job["steps"].as_array().unwrap() {
                let Some(line) = line["run"].as_str() else {
                    continue;
                };
                let word = line.split(' ').find(|word| *word != "bash").unwrap();
                if word.contains('/') {
                    assert!(workspace().join(word).is_file(), "{name}: {line}");
                    seen += 1;
                } else if word == "make" {
                    let rule = format!("\n{}:", line.split(' ').nth(1).unwrap());
                    assert!(makefile.contains(&rule), "{name}: {line}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 8, "{seen}");
}

/// The picture on the first page was drawn from what the commands in its title print.
#[test]
fn the_picture_shows_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    for block in blocks(&page("try-it.md"), "yaml") {
        let name = block.lines().next().unwrap().trim_start_matches("# ");
        fs::write(folder.path().join(name), block).unwrap();
    }
    let picture = page("verify.svg");
    let picture = roxmltree::Document::parse(&picture).unwrap();
    let texts = |tag: &str| -> Vec<String> {
        let nodes = picture.descendants().filter(|node| node.has_tag_name(tag));
        nodes
            .filter_map(|node| node.text().map(str::to_owned))
            .collect()
    };
    let mut printed = String::new();
    for command in texts("title").concat().split("; ") {
        let ran = typed(folder.path(), command).output().unwrap();
        assert!(ran.status.success(), "{command}: {}", said(&ran));
        printed += &format!("$ {command}\n{}", String::from_utf8_lossy(&ran.stdout));
    }
    // Times differ, and with them their units.
    let words = |text: &str| -> String {
        let units = text.replace('\u{a0}', " ").replace(" ms", " s");
        units
            .chars()
            .filter(|c| c.is_alphabetic() || "$✓".contains(*c))
            .collect()
    };
    assert_eq!(words(&texts("text").concat()), words(&printed));
}
