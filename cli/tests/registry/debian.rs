//! Debian's `docker-registry`: the reference implementation of the distribution API.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use meshpack_harness::{Client, Port};

pub(crate) struct DebianRegistry {
    process: Child,
    port: Port,
    _folder: tempfile::TempDir,
}

impl DebianRegistry {
    pub(crate) async fn start() -> Result<Self, String> {
        let binary = tokio::task::spawn_blocking(binary)
            .await
            .map_err(|e| e.to_string())??;
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let port = Port::hold().map_err(|e| e.to_string())?;
        let address = port.address();
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("storage");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n",
            storage.display()
        );
        fs::write(&config, text).map_err(|e| e.to_string())?;
        let process = Command::new(&binary)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{}: {e}", binary.display()))?;
        let mut registry = Self {
            process,
            port,
            _folder: folder,
        };
        registry.wait().await?;
        Ok(registry)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    async fn wait(&mut self) -> Result<(), String> {
        for _ in 0..400 {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            let answer = Client::http1(self.address()).get("/v2/").await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Err("it does not answer".to_owned())
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program: installed, unpacked by an earlier run, or unpacked now.
fn binary() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join("docker-registry"));
    if let Some(installed) = installed.into_iter().find(|path| path.is_file()) {
        return Ok(installed);
    }
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docker-registry");
    let binary = home.join("usr/bin/docker-registry");
    if binary.is_file() {
        return Ok(binary);
    }
    let parent = home.parent().unwrap_or(&home);
    let scratch = tempfile::tempdir_in(parent).map_err(|e| e.to_string())?;
    run(scratch.path(), &["apt-get", "download", "docker-registry"])?;
    let package = fs::read_dir(scratch.path())
        .map_err(|e| e.to_string())?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"))
        .ok_or("apt-get downloaded nothing")?;
    let package = package.to_string_lossy().into_owned();
    run(scratch.path(), &["dpkg-deb", "-x", &package, "unpacked"])?;
    // Another test may have been faster; its copy is as good.
    let _ = fs::rename(scratch.path().join("unpacked"), &home);
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(format!("the package has no {}", binary.display()))
    }
}

fn run(folder: &Path, words: &[&str]) -> Result<(), String> {
    let [program, args @ ..] = words else {
        return Err("no program".to_owned());
    };
    let ran = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    Err(format!("{}: {}", words.join(" "), said.trim()))
}
