//! What a machine without one of the prerequisites is told.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `tools/setup.sh` itself calls, besides the prerequisites.
const BASICS: [&str; 3] = ["bash", "env", "grep"];
const PREREQUISITES: [&str; 4] = ["cargo", "rustup", "cc", "python3"];

fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{program} is not on this machine"))
}

/// A folder of programs: the basics and `tools`, and a rustup with `targets` that
/// cannot add another.
fn machine(tools: &[&str], targets: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for program in BASICS {
        symlink(found(program), folder.path().join(program)).unwrap();
    }
    for tool in tools {
        let script = match *tool {
            "rustup" => format!(
                "#!/usr/bin/env bash\nif [ \"$2\" = add ]; then exit 1; fi\nprintf '%s\\n' {targets}\n"
            ),
            _ => "#!/usr/bin/env bash\n".to_owned(),
        };
        let path = folder.path().join(tool);
        fs::write(&path, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).unwrap();
    }
    folder
}

fn setup(machine: &Path, variables: &[(&str, &str)]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/setup.sh");
    Command::new(found("bash"))
        .arg(script)
        .env_clear()
        .env("PATH", machine)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const TARGETS: &str = "wasm32-wasip1";

#[test]
fn each_missing_prerequisite_is_one_sentence_with_the_remedy() {
    for (missing, remedy) in [
        ("cargo", "https://rustup.rs"),
        ("rustup", "https://rustup.rs"),
        ("cc", "apt-get install gcc"),
        ("python3", "install Python 3"),
    ] {
        let tools: Vec<&str> = PREREQUISITES
            .into_iter()
            .filter(|tool| *tool != missing)
            .collect();
        let output = setup(machine(&tools, TARGETS).path(), &[]);
        let said = said(&output);
        assert!(!output.status.success(), "{missing}");
        assert!(
            said.starts_with(&format!("setup: {missing} is missing: ")),
            "{said}"
        );
        assert!(said.contains(remedy) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn an_envoy_of_ones_own_needs_no_python() {
    let machine = machine(&["cargo", "rustup", "cc"], TARGETS);
    for variable in [("ENVOY_BIN", "/bin/true"), ("ENVOY_BACKEND", "container")] {
        let output = setup(machine.path(), &[variable]);
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(said(&output), "");
    }
}

#[test]
fn a_target_that_cannot_be_added_says_how() {
    let output = setup(
        machine(&PREREQUISITES, "wasm32-unknown-unknown").path(),
        &[],
    );
    assert!(!output.status.success());
    let said = said(&output);
    assert!(
        said.contains("run 'rustup target add wasm32-wasip1'"),
        "{said}"
    );
}

#[test]
fn a_wrong_envoy_is_refused_with_the_remedy() {
    for (variable, value, remedy) in [
        (
            "ENVOY_BIN",
            "/no/such/envoy",
            "unset it to use a pinned Envoy",
        ),
        ("ENVOY_VERSION", "newest", "1.40.0"),
        ("ENVOY_VERSION", "1.38.3", "1.38.2"),
        ("ENVOY_VERSION", "1.2.3", "1.40.0"),
        ("ENVOY_BACKEND", "podman", "use `binary` or `container`"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_envoy-bin"))
            .env_remove("ENVOY_BIN")
            .env_remove("ENVOY_VERSION")
            .env_remove("ENVOY_BACKEND")
            .env(variable, value)
            .output()
            .unwrap();
        let said = said(&output);
        assert!(!output.status.success(), "{variable}={value}");
        assert!(said.contains(value) && said.contains(remedy), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
