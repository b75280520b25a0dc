//! Running the built `meshpack`.

mod draw;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

pub(crate) use draw::Draw;

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `meshpack` with arguments, in a folder.
pub(crate) fn meshpack_in(folder: &Path, args: &[&str]) -> Ran {
    let ran = Command::new(env!("CARGO_BIN_EXE_meshpack"))
        .args(args)
        .current_dir(folder)
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: ran.status.code().unwrap(),
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
    }
}

/// A prefix as packages, wheels and archives make it: `bin/meshpack`, and its modules in
/// `share/meshpack`. For commands that a user has installed.
pub(crate) fn installed() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("installed");
        let _ = std::fs::remove_dir_all(&prefix);
        for folder in ["bin", "share"] {
            std::fs::create_dir_all(prefix.join(folder)).unwrap();
        }
        let built = Path::new(env!("CARGO_BIN_EXE_meshpack"));
        std::fs::hard_link(built, prefix.join("bin/meshpack")).unwrap();
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist");
        std::os::unix::fs::symlink(dist, prefix.join("share/meshpack")).unwrap();
        prefix
    })
}

/// A line that a user of an installed meshpack types into a shell.
pub(crate) fn typed(folder: &Path, line: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command
        .args(["-euc", line])
        .current_dir(folder)
        .env(
            "PATH",
            format!("{}:{path}", installed().join("bin").display()),
        )
        .env_remove("MESHPACK_DIST")
        .stdin(Stdio::null());
    command
}

/// Runs `meshpack check` on a file `input` with these bytes.
pub(crate) fn check_bytes(bytes: &[u8], args: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("input"), bytes).unwrap();
    let args = [&["check"], args, &["input"]].concat();
    meshpack_in(folder.path(), &args)
}

/// Runs `meshpack translate` on resources.
pub(crate) fn translate(resources: &[Value], options: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let text: Vec<String> = resources.iter().map(Value::to_string).collect();
    std::fs::write(folder.path().join("in.yaml"), text.join("\n---\n")).unwrap();
    let args = [&["translate"], options, &["in.yaml"]].concat();
    meshpack_in(folder.path(), &args)
}

/// The documents that a command printed.
pub(crate) fn documents(ran: &Ran) -> Vec<Value> {
    let documents = meshpack_cli::yaml::parse(&ran.out).unwrap();
    documents
        .iter()
        .map(|document| meshpack_cli::json::value(document.root().node()))
        .collect()
}
