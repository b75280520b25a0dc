//! Namespaces of the mesh's own, and the machine inside them.
//!
//! A program runs itself again under `unshare`: the copy is the first process of a new
//! process namespace, in a new network and a new mount namespace. When it ends the kernel
//! kills what it started and takes the network with it. It ends when the outer program
//! does: by the parent-death signal, and because its standard input closes.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::process::Output;
use crate::programs::{Missing, Programs};

/// What a copy of this program is; unset in the program that a person started.
const ROLE: &str = "MESHPACK_MESH_ROLE";

/// The address of the node: the registry listens there.
pub(crate) const NODE: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

/// Where the mesh keeps its files: in memory, visible to its own processes only.
pub(crate) const HOME: &str = "/run/mesh";

/// The names that every process of the mesh can resolve.
pub(crate) const HOSTS: &str = "/run/mesh/hosts";

/// The process that holds the namespaces, as the machine counts.
static NUMBER: OnceLock<u32> = OnceLock::new();

/// That number, for commands that a person copies.
pub(crate) fn number() -> u32 {
    NUMBER.get().copied().unwrap_or_default()
}

/// A command that runs a copy of this program in the given role.
pub(crate) fn copy_as(role: &str) -> Command {
    let mut command = Command::new(format!("{HOME}/bin/mesh"));
    command.env(ROLE, role);
    command
}

/// Runs the `meshpack` command in the mesh, whatever it says.
pub async fn meshpack(arguments: &[&str]) -> Result<Output> {
    let output = tokio::process::Command::from(copy_as("meshpack"))
        .current_dir(crate::Manifest::root())
        .args(arguments)
        .env("HOME", HOME)
        .stdin(Stdio::null())
        .output()
        .await
        .context("meshpack does not start")?;
    Ok(Output {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs `inside` in namespaces of its own; what is missing for it goes to `missing`.
///
/// Call it first in `main`. The kernel's parent-death signal follows the thread that
/// starts the copy, so that must be one that lives as long as the process.
pub fn enter<F>(missing: impl FnOnce(&Missing) -> ExitCode, inside: F) -> ExitCode
where
    F: AsyncFnOnce(Programs) -> Result<ExitCode>,
{
    let result = match std::env::var(ROLE).as_deref() {
        Err(_) => match outside() {
            Ok(Ok(code)) => return code,
            Ok(Err(what)) => return missing(&what),
            Err(error) => Err(error),
        },
        Ok("node") => prepare().and_then(|programs| runtime()?.block_on(inside(programs))),
        Ok("meshpack") => return meshpack_cli::main(),
        Ok(other) => Err(anyhow::anyhow!("{ROLE}={other} is no role")),
    };
    result.unwrap_or_else(|error| {
        eprintln!("mesh: {error:#}");
        ExitCode::FAILURE
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Runtime::new()?)
}

/// Runs the copy and waits for it.
fn outside() -> Result<Result<ExitCode, Missing>> {
    end_with_the_parent();
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(missing) => return Ok(Err(missing)),
    };
    if let Err(missing) = may_unshare() {
        return Ok(Err(missing));
    }
    let mut inner = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(UNSHARE)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(ROLE, "node")
        .envs(programs.environment())
        // Held open: its end tells the copy that this process is gone.
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start setpriv and unshare (Debian: util-linux)")?;
    let mut lifeline = inner.stdin.take().context("no standard input")?;
    // Its number out here, by which others can enter the namespaces.
    writeln!(lifeline, "{}", inner.id())?;
    let status = inner.wait()?;
    drop(lifeline);
    Ok(Ok(match status.code() {
        Some(0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }))
}

/// A signal to `cargo test` alone does not reach this process, but a new parent shows.
fn end_with_the_parent() {
    let parent = std::os::unix::process::parent_id();
    std::thread::spawn(move || {
        while std::os::unix::process::parent_id() == parent {
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        std::process::exit(1);
    });
}

const UNSHARE: [&str; 7] = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child=KILL",
    "--",
];

/// Namespaces need root, and a container that is allowed to make them.
fn may_unshare() -> Result<(), Missing> {
    let tried = Command::new("unshare").args(UNSHARE).arg("true").output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Missing::new(format!(
                "network namespaces cannot be made here ({said}): run it as root"
            )))
        }
        Err(error) => Err(Missing::new(format!(
            "unshare does not start ({error}): install util-linux"
        ))),
    }
}

/// Makes the inside of the namespaces a machine: folders in memory, names, an address.
fn prepare() -> Result<Programs> {
    end_with_the_outside();
    let programs = Programs::from_environment()?;
    let exe = std::env::current_exe()?;
    let resolver = std::fs::read("/etc/nsswitch.conf").ok();
    for folder in ["/run", "/tmp"] {
        sh("mount", &["-t", "tmpfs", "-o", "mode=755", "none", folder])?;
    }
    sh("chmod", &["1777", "/tmp"])?;
    for folder in ["bin", "log"] {
        std::fs::create_dir_all(format!("{HOME}/{folder}"))?;
    }
    show(&exe, "mesh")?;
    if resolver.is_none() {
        bail!("/etc/nsswitch.conf is missing: names in /etc/hosts would not be found");
    }
    std::fs::write(
        HOSTS,
        format!(
            "127.0.0.1 localhost\n{NODE} registry.example.com\n{NODE} {}\n",
            crate::istiod::NAME
        ),
    )?;
    sh("mount", &["--bind", HOSTS, "/etc/hosts"])?;
    sh("ip", &["link", "set", "lo", "up"])?;
    // A second address of loopback: the API server refuses to advertise the first.
    sh("ip", &["addr", "add", &format!("{NODE}/32"), "dev", "lo"])?;
    Ok(programs)
}

/// The outer process holds this one's standard input open, whatever happens to it.
fn end_with_the_outside() {
    std::thread::spawn(|| {
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).is_ok_and(|n| n > 0) {
            if let Ok(number) = line.trim().parse() {
                let _ = NUMBER.set(number);
            }
            line.clear();
        }
        std::process::exit(1);
    });
}

/// Shows a program to users that cannot look into the home folder it lies in.
pub(crate) fn show(path: &Path, name: &str) -> Result<()> {
    let target = format!("{HOME}/bin/{name}");
    std::fs::File::create(&target)?;
    let source = path.to_string_lossy();
    sh("mount", &["--bind", &source, &target])
}

/// Runs a small command of the system to its end.
pub(crate) fn sh(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
