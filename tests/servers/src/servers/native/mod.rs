//! Servers that are programs with a configuration: on Unix sockets where they can.

mod apache;
mod nginx;
mod php;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::process::ServerProcess;
use super::programs::RUN_INSTALL;
use super::{Address, Outcome, Place, Server, Started, sources};

/// Starts one program; the address is that of an application to stand in front of.
type Start = fn(&Place<'_>, Option<&Address>) -> Result<Outcome>;

/// Name and start of each. FastCGI comes before the servers that use it.
pub(crate) const ALL: &[(&str, Start)] = &[
    ("php-fpm", php::php_fpm),
    ("nginx", nginx::nginx),
    ("Apache httpd", apache::apache),
    ("lighttpd", lighttpd),
    ("lighttpd without URL normalization", lighttpd_plain),
    ("Caddy", caddy),
    ("h2o", h2o),
    ("PHP's own server", php::php_files),
    ("PHP's own server, router", php::php_router),
];

/// Finds a program, also where Debian keeps servers.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn missing() -> Result<Outcome> {
    Ok(Outcome::Missing(RUN_INSTALL.to_owned()))
}

/// The first thing that looks like a version in what `program` prints.
fn version(program: &Path, argument: &str) -> String {
    let Ok(output) = Command::new(program).arg(argument).output() else {
        return "unknown".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let number = |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
    words.find(number).unwrap_or("unknown").to_owned()
}

/// Runs `program` and waits for all of its `servers`.
fn run<A: AsRef<OsStr>>(
    place: &Place<'_>,
    name: &str,
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    servers: Vec<Server>,
) -> Result<Outcome> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("HOME", place.folder)
        .env("LC_ALL", "C.UTF-8")
        .env("SECRET", &place.site.secret)
        .current_dir(place.folder);
    let process = ServerProcess::start(command, place.folder, name)?;
    for server in &servers {
        process.wait_for_address(&server.address)?;
    }
    Ok(Outcome::Started(Started {
        servers,
        missing: Vec::new(),
        process,
    }))
}

fn unix(place: &Place<'_>, socket: &str) -> Address {
    Address::Unix(place.folder.join(socket))
}

fn lighttpd(place: &Place<'_>, _: Option<&Address>) -> Result<Outcome> {
    lighttpd_with(place, "lighttpd files", "lighttpd", "")
}

fn lighttpd_plain(place: &Place<'_>, _: Option<&Address>) -> Result<Outcome> {
    let options = "server.http-parseopts = (\"url-normalize\" => \"disable\")\n";
    lighttpd_with(
        place,
        "lighttpd files, URL normalization off",
        "lighttpd-plain",
        options,
    )
}

fn lighttpd_with(place: &Place<'_>, name: &str, socket: &str, options: &str) -> Result<Outcome> {
    let Some(lighttpd) = program("lighttpd") else {
        return missing();
    };
    let address = unix(place, socket);
    let file = place.folder.join(format!("{socket}.conf"));
    fs::write(
        &file,
        format!(
            "server.bind = \"{}\"\nserver.document-root = \"{}\"\n\
             index-file.names = (\"index.html\")\nserver.max-keep-alive-requests = 100000\n{options}",
            place.folder.join(socket).display(),
            place.site.root.display(),
        ),
    )?;
    let server = Server::new(name, &version(&lighttpd, "-v"), address);
    let arguments = [OsStr::new("-D"), OsStr::new("-f"), file.as_os_str()];
    run(place, socket, &lighttpd, arguments, vec![server])
}

fn caddy(place: &Place<'_>, _: Option<&Address>) -> Result<Outcome> {
    let Some(caddy) = program("caddy") else {
        return missing();
    };
    let listen = |socket: &str| format!("unix/{}", place.folder.join(socket).display());
    let text = |body: &str| json!({"handler": "static_response", "status_code": 200, "body": body});
    let secret = text(&place.site.secret);
    let configuration = json!({
        "admin": {"disabled": true, "config": {"persist": false}},
        "logging": {"logs": {"default": {"level": "PANIC"}}},
        "apps": {"http": {"servers": {
            "files": {
                "listen": [listen("caddy-files")],
                "automatic_https": {"disable": true},
                "routes": [{"handle": [{"handler": "file_server", "root": place.site.root}]}],
            },
            "routes": {
                "listen": [listen("caddy-routes")],
                "automatic_https": {"disable": true},
                "routes": [
                    {"match": [{"path": ["/admin/*", "/api/admin/*"]}], "handle": [secret], "terminal": true},
                    {"handle": [text("public")]},
                ],
            },
        }}},
    });
    let file = place.folder.join("caddy.json");
    fs::write(&file, configuration.to_string())?;
    let version = version(&caddy, "version");
    let servers = [
        ("Caddy files", "caddy-files"),
        ("Caddy path matcher", "caddy-routes"),
    ]
    .map(|(name, socket)| Server::new(name, &version, unix(place, socket)))
    .to_vec();
    let arguments = [OsStr::new("run"), OsStr::new("--config"), file.as_os_str()];
    run(place, "caddy", &caddy, arguments, servers)
}

fn h2o(place: &Place<'_>, _: Option<&Address>) -> Result<Outcome> {
    let Some(h2o) = program("h2o") else {
        return missing();
    };
    let root = &place.site.root;
    let listen = |socket: &str| json!({"type": "unix", "port": place.folder.join(socket), "permission": "666"});
    let folder = |name: &str| json!({"file.dir": root.join(name)});
    // JSON is YAML.
    let mut configuration = json!({
        "num-threads": 1,
        "pid-file": place.folder.join("h2o.pid"),
        "error-log": "/dev/null",
        "hosts": {
            "files": {"listen": listen("h2o-files"), "paths": {"/": folder("")}},
            "mounts": {"listen": listen("h2o-mounts"), "paths": {
                "/admin": folder("admin"),
                "/api/admin/": folder("api/admin"),
                "/": folder("public"),
            }},
        },
    });
    let file = place.folder.join("h2o.json");
    if fs::metadata(place.folder)?.uid() == 0 {
        // Started as root it would change to another user, who cannot write here.
        configuration["user"] = json!("root");
    }
    fs::write(&file, configuration.to_string())?;
    let version = version(&h2o, "--version");
    let servers = [("h2o files", "h2o-files"), ("h2o mounts", "h2o-mounts")]
        .map(|(name, socket)| Server::new(name, &version, unix(place, socket)))
        .to_vec();
    let arguments = [OsStr::new("-c"), file.as_os_str()];
    run(place, "h2o", &h2o, arguments, servers)
}
