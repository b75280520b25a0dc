//! Every command on every page: run here or by the test of its page, or listed here
//! with what it takes that a test has not. A new one fails until it is one of these.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::typed;
use crate::registry::OwnRegistry;
use meshpack_cli::{json, yaml};

/// Pages whose commands are run by tests of their own.
const ELSEWHERE: &[(&str, &str)] = &[
    ("README.md", "installed.rs"),
    ("docs/try-it.md", "installed.rs"),
    ("docs/install.md", "installed.rs"),
    ("docs/gitops.md", "installed.rs"),
    ("tools/release/pypi.md", "installed.rs"),
    ("docs/bundle.md", "docs_verify.rs"),
    ("docs/check.md", "translate_docs.rs"),
    ("docs/explain.md", "docs_explain.rs"),
    ("docs/migrate-from-app-mesh.md", "translate_docs.rs"),
    ("docs/migrate-from-cilium.md", "translate_docs.rs"),
    ("docs/migrate-from-consul.md", "translate_docs.rs"),
    ("docs/migrate-from-gateway-api.md", "translate_docs.rs"),
    ("docs/migrate-from-istio.md", "translate_docs.rs"),
    ("docs/migrate-from-linkerd.md", "translate_docs.rs"),
    ("docs/translate.md", "translate_docs.rs"),
    ("docs/verify.md", "docs_verify.rs"),
];

/// Commands that are not run, by their beginnings, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("for i in ", "asks a service in a cluster"),
    ("curl -s -H", "the same"),
    ("done", "the same"),
    (
        "cargo build --release --target wasm32-wasip1 -p meshpack-sdk --examples",
        "tools/build.sh runs it",
    ),
    ("meshpack-postlink ", "the same"),
    ("FUZZ_SECONDS=", "the CI runs it for two seconds a target"),
    ("cargo test -p meshpack-e2e ", "the CI runs all of them"),
];

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "dist" {
                pages(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The commands in the blocks of a page, without prompts and comments.
fn commands(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut block: Option<&str> = None;
    for line in page.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = match block {
                Some(_) => None,
                None => Some(language),
            };
            continue;
        }
        let command = match block {
            Some("sh" | "bash" | "shell" | "") => line.trim(),
            Some("console") => match line.strip_prefix("$ ") {
                Some(command) => command,
                None => continue,
            },
            _ => continue,
        };
        let command = command.split("  #").next().unwrap_or_default().trim();
        if command.is_empty() || command.starts_with('#') {
            continue;
        }
        found.push(command.to_owned());
    }
    found
}

/// What the pages take for granted: modules, manifests, files of the reader's own.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(
        &workspace().join("istio-manifests"),
        &folder.path().join("istio-manifests"),
    );
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let canary = fs::read_to_string(workspace().join("tests/translate/istio/canary.yaml")).unwrap();
    for document in yaml::parse(&canary).unwrap() {
        let text = json::yaml(document.root().node());
        match text.contains("kind: VirtualService") {
            true => write("your-virtualservice.yaml", &text),
            false => write("your-destinationrule.yaml", &text),
        }
    }
    write(
        "config.yaml",
        "metrics: [{name: orders_total, type: counter, labels: {tenant: 'request.headers[\"x-tenant\"]'}}]\n",
    );
    write(
        "policies.yaml",
        "policies: [{metadata: {name: deny-admin}, spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}}]\n",
    );
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

fn shell(folder: &Path, line: &str) -> Result<(), String> {
    let ran = typed(folder, line).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match ran.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{line}\n{}{}",
            text(&ran.stdout),
            text(&ran.stderr)
        )),
    }
}

/// Runs a command, or sees to what can be seen of it.
fn command(folder: &Path, makefile: &str, command: &str) -> Result<(), String> {
    if let Some(target) = command
        .split("make ")
        .nth(1)
        .filter(|_| !command.contains("meshpack"))
    {
        let rule = format!("\n{}:", target.trim());
        return makefile
            .contains(&rule)
            .then_some(())
            .ok_or(format!("no rule {rule}"));
    }
    if let Some(overlay) = command.strip_prefix("kubectl apply -k ") {
        let file = folder.join(overlay).join("kustomization.yaml");
        return file
            .is_file()
            .then_some(())
            .ok_or(format!("no {}", file.display()));
    }
    let line = command;
    if line.starts_with("meshpack ") {
        return shell(folder, line);
    }
    if line == "pip install 'meshpack[envoy]'" {
        // That is what the commands run in; installed.rs runs it where nothing else is.
        return Ok(());
    }
    Err(format!("{command}: nobody runs this"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_on_every_page_is_accounted_for() {
    let registry = OwnRegistry::start(None).await;
    let address = registry.address().to_string();
    tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        pages(&workspace(), &mut all);
        all.sort();
        let makefile = fs::read_to_string(workspace().join("Makefile")).unwrap();
        let folder = folder();
        let (mut run, mut wrong, mut excused) = (0, Vec::new(), Vec::new());
        for page in all {
            let name = page
                .strip_prefix(workspace())
                .unwrap()
                .display()
                .to_string();
            if let Some((_, test)) = ELSEWHERE.iter().find(|(page, _)| *page == name) {
                let test = workspace().join("cli/tests").join(test);
                let text = fs::read_to_string(test).unwrap();
                let file = name.trim_start_matches("docs/");
                assert!(text.contains(file), "{name} is not run there");
                continue;
            }
            for line in commands(&fs::read_to_string(&page).unwrap()) {
                let known = NOT_RUN.iter().find(|(start, _)| line.starts_with(start));
                if let Some((start, _)) = known {
                    excused.push(*start);
                    continue;
                }
                let line = line.replace("registry.example.com", &address);
                match command(folder.path(), &makefile, &line) {
                    Ok(()) => run += 1,
                    Err(error) => wrong.push(format!("{name}: {error}")),
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(run >= 10, "{run} commands");
        for (start, reason) in NOT_RUN {
            assert!(excused.contains(start), "{start} ({reason}) is on no page");
        }
    })
    .await
    .unwrap();
}
