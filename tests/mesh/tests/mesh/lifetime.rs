//! A run that is killed in the middle leaves no process and no network behind.
//!
//! Another run is started inside this one's namespaces, where everything that it makes can
//! be seen, and killed while its mesh starts.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshpack_mesh::Cluster;

/// What exists: processes in namespaces that are not this run's, and networks.
#[derive(Debug, PartialEq, Eq)]
struct World {
    strangers: BTreeSet<String>,
    networks: BTreeSet<PathBuf>,
}

fn world() -> Result<World> {
    let mine = std::fs::read_link("/proc/self/ns/pid")?;
    let mut world = World {
        strangers: BTreeSet::new(),
        networks: BTreeSet::new(),
    };
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        // What ends while it is looked at is not there.
        let (Ok(processes), Ok(network)) = (
            std::fs::read_link(path.join("ns/pid")),
            std::fs::read_link(path.join("ns/net")),
        ) else {
            continue;
        };
        world.networks.insert(network);
        if processes != mine {
            let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            world
                .strangers
                .insert(format!("{} {}", path.display(), name.trim()));
        }
    }
    Ok(world)
}

/// Asks until `holds`; the bound only ends a failing test.
async fn wait(what: &str, holds: impl Fn(&World) -> bool) -> Result<()> {
    for _ in 0..600 {
        if holds(&world()?) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("{what}: {:?}", world()?)
}

pub(crate) async fn a_killed_run_leaves_nothing(_: &Cluster) -> Result<()> {
    let before = world()?;
    ensure!(before.strangers.is_empty(), "{before:?}");
    for signal in ["INT", "TERM", "KILL"] {
        let mut run = Command::new(std::env::current_exe()?)
            .arg("identity::")
            .env_remove("MESHPACK_MESH_ROLE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let servers = |world: &World| {
            let runs = |name: &str| world.strangers.iter().any(|one| one.contains(name));
            let servers = [
                "etcd",
                "kube-apiserver",
                "registry",
                "pilot-discovery",
                "envoy",
            ];
            // Its own network, and a pod's at least.
            servers.into_iter().all(runs) && world.networks.len() > before.networks.len() + 1
        };
        wait("the other run does not start", servers).await?;
        let number = run.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {number}")])
            .status()
            .context("sh")?;
        ensure!(sent.success());
        run.wait()?;
        wait(&format!("after SIG{signal}"), |world| *world == before).await?;
    }
    Ok(())
}
