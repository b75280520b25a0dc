//! PHP: its own server, and php-fpm for web servers.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{
    Address, Outcome, Place, Server, ServerProcess, Started, missing, program, sources, version,
};

pub(super) fn fastcgi_socket(place: &Place<'_>) -> PathBuf {
    place.folder.join("php-fpm.sock")
}

/// php-fpm, for the web servers that are started after it; no server by itself.
pub(super) fn php_fpm(place: &Place<'_>, _: Option<&Address>) -> Result<Outcome> {
    let Some(fpm) = versioned("/usr/sbin", "php-fpm") else {
        return missing();
    };
    // It has children, which the kernel ends with a process namespace of their own.
    let Some(unshare) = program("unshare").filter(|unshare| {
        Command::new(unshare)
            .args(["--pid", "--fork", "--kill-child", "true"])
            .output()
            .is_ok_and(|output| output.status.success())
    }) else {
        return Ok(Outcome::Missing(
            "needs root and `unshare`, so that its children end with the test".to_owned(),
        ));
    };
    let file = place.folder.join("php-fpm.conf");
    fs::write(
        &file,
        format!(
            "[global]\ndaemonize = no\nerror_log = /dev/stderr\nlog_level = error\n\
             [www]\nlisten = {}\nuser = root\ngroup = root\n\
             pm = static\npm.max_children = 2\ncatch_workers_output = no\n",
            fastcgi_socket(place).display()
        ),
    )?;
    let address = Address::Unix(fastcgi_socket(place));
    let mut command = Command::new(unshare);
    command
        .args(["--pid", "--fork", "--kill-child=SIGKILL"])
        .arg(fpm)
        .args(["-R", "-n", "-F", "-y"])
        .arg(file)
        .current_dir(place.folder);
    let process = ServerProcess::start(command, place.folder, "php-fpm")?;
    process.wait_for_address(&address)?;
    Ok(Outcome::Started(Started {
        servers: Vec::new(),
        missing: Vec::new(),
        process,
    }))
}

/// A program whose name ends in its version.
fn versioned(folder: &str, prefix: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).find(|path| {
        path.file_name()
            .and_then(|name| name.to_str()?.strip_prefix(prefix)?.chars().next())
            .is_some_and(|next| next.is_ascii_digit())
    })
}

pub(super) fn php_files(place: &Place<'_>, _: Option<&Address>) -> Result<Outcome> {
    php(place, "PHP's own server, files", "php-files", None)
}

pub(super) fn php_router(place: &Place<'_>, _: Option<&Address>) -> Result<Outcome> {
    let router = sources().join("php/router.php");
    php(
        place,
        "PHP's own server, parse_url",
        "php-router",
        Some(&router),
    )
}

fn php(place: &Place<'_>, name: &str, log: &str, router: Option<&Path>) -> Result<Outcome> {
    let Some(php) = program("php") else {
        return missing();
    };
    let version = version(&php, "--version");
    let mut command = Command::new(php);
    command
        .args(["-n", "-S", "127.0.0.1:0", "-t"])
        .arg(&place.site.root)
        .args(router)
        .env("SECRET", &place.site.secret)
        .current_dir(place.folder);
    let process = ServerProcess::start(command, place.folder, log)?;
    let address = process.wait_for(|output| {
        let address = output.split("(http://").nth(1)?.split(')').next()?;
        address.parse::<SocketAddr>().ok()
    })?;
    let address = Address::Tcp(address);
    process
        .wait_for_address(&address)
        .context("PHP's own server says where it listens and does not")?;
    let server = Server::new(name, &version, address);
    Ok(Outcome::Started(Started {
        servers: vec![server],
        missing: Vec::new(),
        process,
    }))
}
