//! The pages on verify, on CI and on bundles say what the program does: examples and
//! commands are run, tables have the keys and options that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{meshpack_in, typed};
use crate::registry::OwnRegistry;
use meshpack_cli::{json, yaml};
use serde_json::Value;

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

pub(crate) fn page(name: &str) -> String {
    fs::read_to_string(workspace().join("docs").join(name)).unwrap()
}

/// The fenced blocks of a page in a language.
pub(crate) fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let starts = page.match_indices(&fence).map(|(at, _)| at + fence.len());
    starts
        .map(|at| page[at..].split("```").next().unwrap())
        .collect()
}

/// The words in backticks in the first cells of the table whose header starts so.
pub(crate) fn first_cells(page: &str, header: &str) -> BTreeSet<String> {
    let start = format!("| {header} |");
    let table = page.lines().skip_while(|line| !line.starts_with(&start));
    let rows: Vec<&str> = table
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(!rows.is_empty(), "no table {header}");
    rows.iter()
        .flat_map(|row| {
            let cell = row.split('|').nth(1).unwrap();
            cell.split('`').skip(1).step_by(2).map(str::to_owned)
        })
        .collect()
}

/// The keys that the program knows where `zzz` stands in these scenarios.
fn known_keys(scenarios: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m.wasm"), "").unwrap();
    fs::write(folder.path().join("s.yaml"), scenarios).unwrap();
    let ran = meshpack_in(folder.path(), &["verify", "s.yaml"]);
    let line = ran
        .err
        .lines()
        .find(|line| line.contains("zzz: unknown key"));
    let line = line.unwrap_or_else(|| panic!("{}", ran.err));
    let (_, keys) = line.split_once("known keys here: ").unwrap();
    keys.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_tables_have_the_keys_that_there_are() {
    let page = page("verify.md");
    let common = "plugins: [{name: m, module: m.wasm}]\nupstreams: {v1: {}}\n";
    let one = |inside: &str| format!("{common}scenarios: [{{name: a, {inside}}}]");
    for (table, scenarios) in [
        (
            "key of the file",
            format!("zzz: 1\n{common}scenarios: [{{name: a, pause: 1s}}]"),
        ),
        (
            "key of a step",
            one("steps: [{name: b, zzz: 1, pause: 1s}]"),
        ),
        (
            "key of a plugin",
            one("plugins: [{name: m, module: m.wasm, zzz: 1}], pause: 1s"),
        ),
        (
            "key of a route",
            one("routes: [{to: v1, zzz: 1}], pause: 1s"),
        ),
        (
            "key of an upstream",
            one("upstreams: {v1: {zzz: 1}}, pause: 1s"),
        ),
        ("key of `send`", one("send: {zzz: 1}")),
        (
            "key of a metric",
            one("expect: {metrics: [{stat: x, value: 1, zzz: 1}]}"),
        ),
    ] {
        let mut known = known_keys(&scenarios);
        if table == "key of a plugin" {
            known.insert("filter".to_owned());
        }
        assert_eq!(first_cells(&page, table), known, "{table}");
    }
    // A scenario of steps and one that is a step know different keys.
    let known = &known_keys(&one("steps: [{name: b, pause: 1s}], zzz: 1"))
        | &known_keys(&one("pause: 1s, zzz: 1"));
    assert_eq!(first_cells(&page, "key of a scenario"), known);
    let own = ["name", "steps", "pause", "send", "expect"];
    let runs = known.into_iter().filter(|key| !own.contains(&key.as_str()));
    assert_eq!(first_cells(&page, "key of what runs"), runs.collect());
    let expect = known_keys(&one("send: {}, expect: {zzz: 1}"));
    assert_eq!(
        first_cells(&page, "key | every answer, unless said otherwise"),
        expect
    );
}

/// The long options of a command, but for those of every command.
fn options(command: &str) -> BTreeSet<String> {
    let ran = meshpack_in(&workspace(), &[command, "--help"]);
    let words = ran.out.lines().filter_map(|line| {
        let at = line
            .find("--")
            .filter(|at| line[..*at].trim_start().len() <= 4)?;
        let name = line[at + 2..]
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .next()?;
        Some(format!("--{name}"))
    });
    let general = ["--help", "--version"];
    words
        .filter(|name| !general.contains(&name.as_str()))
        .collect()
}

#[test]
fn the_tables_have_the_options_that_there_are() {
    for (command, page_name) in [("verify", "verify.md"), ("bundle", "bundle.md")] {
        let documented = first_cells(&page(page_name), "option")
            .iter()
            .filter(|cell| cell.starts_with("--"))
            .map(|cell| cell.split(' ').next().unwrap().to_owned())
            .collect::<BTreeSet<_>>();
        assert_eq!(documented, options(command), "{command}");
    }
}

#[test]
fn the_example_of_the_page_holds_and_reports_as_shown() {
    let page = page("verify.md");
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("payments.yaml"),
        blocks(&page, "yaml")[0],
    )
    .unwrap();
    let dist = workspace().join("dist");
    let args = [
        "verify",
        "payments.yaml",
        "--modules",
        dist.to_str().unwrap(),
    ];
    let ran = meshpack_in(folder.path(), &args);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    // Times and drawn numbers differ from run to run; the words do not.
    let words = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.starts_with('$'))
            .map(|line| {
                line.chars()
                    .filter(|c| c.is_alphabetic() || *c == '✓')
                    .collect()
            })
            .map(|line: String| line.replace("msfrom", "sfrom"))
            .filter(|line: &String| !line.is_empty() && !line.contains("requestsin"))
            .map(|line| line.trim_end_matches(['m', 's']).to_owned())
            .collect()
    };
    assert_eq!(words(&ran.out), words(blocks(&page, "console")[0]));
}

pub(crate) fn parsed(text: &str) -> Value {
    json::value(yaml::parse(text).unwrap()[0].root().node())
}

/// A user's repository with plugins and scenarios, and meshpack beside them.
pub(crate) fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "mesh/plugins/canary.yaml",
        "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: canary, namespace: shop}
spec:
  url: oci://registry.example.com/meshpack/canary_split:0.1.0
  failStrategy: FAIL_OPEN
  match: [{mode: CLIENT}]
  pluginConfig:
    splits: [{name: payments, arms: [{value: v1, weight: 1}, {value: v2, weight: 0}]}]
",
    );
    write(
        "mesh/scenarios/canary.yaml",
        "plugins: [{name: canary_split, configFile: ../plugins/canary.yaml}]
upstreams: {v1: {}, v2: {}}
scenarios: [{name: nobody sees v2, send: {count: 20}, expect: {upstream: v1}}]
",
    );
    folder
}

/// Runs a line as the shell of a pipeline does; returns its standard output.
fn shell(folder: &Path, line: &str) -> String {
    let ran = typed(folder, line).output().unwrap();
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    let err = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{line}\n{out}{err}");
    out
}

#[test]
fn the_job_for_gitlab_runs() {
    let file = page("examples/ci/gitlab-ci.yml");
    assert!(blocks(&page("verify-in-ci.md"), "yaml").contains(&file.as_str()));
    let pipeline = parsed(&file);
    let job = &pipeline["verify-mesh-policies"];
    let folder = repository();
    for line in job["script"].as_array().unwrap() {
        shell(folder.path(), line.as_str().unwrap());
    }
    let junit = job["artifacts"]["reports"]["junit"].as_str().unwrap();
    assert!(folder.path().join(junit).is_file());
    let page = job["artifacts"]["paths"][0].as_str().unwrap();
    assert!(folder.path().join(page).is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_for_bundles_run() {
    let page = page("bundle.md");
    let registry = OwnRegistry::start(None).await;
    let mut commands: Vec<String> = blocks(&page, "console")
        .iter()
        .chain(&blocks(&page, "sh"))
        .flat_map(|block| block.lines())
        .map(|line| line.trim_start_matches("$ ").to_owned())
        .filter(|line| line.starts_with("meshpack "))
        .map(|line| line.replace("registry.example.com", &registry.address().to_string()))
        .collect();
    assert_eq!(commands.len(), 4);
    let at = commands
        .iter()
        .position(|command| command.contains(" | jq "));
    let url = commands.remove(at.unwrap());
    let address = registry.address().to_string();
    tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir().unwrap();
        let overlay = folder.path().join("istio-manifests/overlays");
        fs::create_dir_all(&overlay).unwrap();
        fs::write(
            overlay.join("canary.yaml"),
            "url: oci://old.test/canary_split:1\n",
        )
        .unwrap();
        for command in commands {
            let out = shell(folder.path(), &command);
            assert!(out.contains("digest  sha256:"), "{out}");
        }
        assert!(
            folder
                .path()
                .join("images/canary_split/oci-layout")
                .is_file()
        );
        let pinned = fs::read_to_string(overlay.join("canary.yaml")).unwrap();
        let expected = format!("url: oci://{address}/meshpack/canary_split@sha256:");
        assert!(pinned.starts_with(&expected), "{pinned}");
        // What jq picks is picked here, so that the test needs no jq.
        let (command, filter) = url.split_once(" | jq -r ").unwrap();
        assert_eq!(filter, "'.[0].url'");
        let report: Value = serde_json::from_str(&shell(folder.path(), command)).unwrap();
        let url = report[0]["url"].as_str().unwrap();
        assert!(
            url.starts_with("oci://") && url.contains("/canary_split@sha256:"),
            "{url}"
        );
    })
    .await
    .unwrap();
}
