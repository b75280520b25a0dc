//! Servers written against a library or framework: they choose their port and say it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::process::ServerProcess;
use super::{Address, Place, Server, Started, sources};

/// A program that has been started and is not yet ready.
pub(crate) struct Launched(ServerProcess);

impl Launched {
    /// Reads the program's lines, `listening|name|address|version` and perhaps
    /// `|one request a connection`, up to `ready`.
    pub(crate) fn wait(self) -> Result<Started> {
        let output = self.0.wait_for(|output| {
            output
                .lines()
                .any(|line| line == "ready")
                .then(|| output.to_owned())
        })?;
        let mut servers = Vec::new();
        let mut missing = Vec::new();
        for line in output.lines() {
            match line.split('|').collect::<Vec<_>>()[..] {
                ["listening", name, address, version, ref notes @ ..] => servers.push(Server {
                    one_request: notes.contains(&"one request a connection"),
                    ..Server::new(
                        name,
                        version,
                        Address::Tcp(address.parse().context(line.to_owned())?),
                    )
                }),
                ["missing", name] => missing.push((name.to_owned(), RUN_INSTALL.to_owned())),
                _ => {}
            }
        }
        Ok(Started {
            servers,
            missing,
            process: self.0,
        })
    }
}

/// The remedy for most of what is missing.
pub(crate) const RUN_INSTALL: &str = "not installed; run `make servers-tools`";

/// A program: its name, what it runs, and with which arguments before the common ones.
struct Program {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    /// What must be there besides the program.
    needs: Option<PathBuf>,
}

/// Starts all that are installed; of the others the reason why not.
pub(crate) fn launch(place: &Place<'_>) -> Result<Vec<(String, Result<Launched, String>)>> {
    let mut launched = Vec::new();
    for program in all(place) {
        let outcome = match program.absent() {
            Some(why) => Err(why),
            None => Ok(program.start(place)?),
        };
        launched.push((program.name.to_owned(), outcome));
    }
    Ok(launched)
}

impl Program {
    fn absent(&self) -> Option<String> {
        let there = if self.program.is_absolute() {
            self.program.exists()
        } else {
            on_path(&self.program)
        };
        let needs = self.needs.iter().find(|needed| !needed.exists());
        if !there {
            Some(format!("no {}: {RUN_INSTALL}", self.program.display()))
        } else {
            needs.map(|needed| format!("no {}: {RUN_INSTALL}", needed.display()))
        }
    }

    fn start(&self, place: &Place<'_>) -> Result<Launched> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env("SECRET", &place.site.secret)
            // Bytes are bytes, whatever the machine's language.
            .env("LC_ALL", "C.UTF-8")
            .current_dir(place.folder);
        let name = self.name.replace(['/', ' '], "-");
        ServerProcess::start(command, place.folder, &name)
            .map(Launched)
            .with_context(|| format!("running {}", self.name))
    }
}

fn all(place: &Place<'_>) -> Vec<Program> {
    let root = place.site.root.as_path();
    let words = |words: &[&Path]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let python = |name, server: &str| Program {
        name,
        program: place.cache.join("python/bin/python"),
        arguments: words(&[&sources().join("python/serve.py"), Path::new(server), root]),
        needs: Some(place.cache.join("python.stamp")),
    };
    let ruby = |name, server: &str, needs| Program {
        name,
        program: "ruby".into(),
        arguments: words(&[&sources().join("ruby/serve.rb"), Path::new(server), root]),
        needs,
    };
    let java = |name, class: &str, jars: &[&str]| {
        let mut path = place.cache.join("java").into_os_string();
        for jar in jars.iter().flat_map(|prefix| jars_starting(prefix)) {
            path.push(":");
            path.push(jar);
        }
        Program {
            name,
            program: "java".into(),
            arguments: [
                // The JDK's server writes head and body apart, and waits between them.
                vec![
                    "-Xmx256m".into(),
                    "-Dsun.net.httpserver.nodelay=true".into(),
                ],
                vec!["-cp".into(), path],
                words(&[Path::new(class), root]),
            ]
            .concat(),
            needs: Some(place.cache.join(format!("java/{class}.class"))),
        }
    };
    vec![
        java("Tomcat", "TomcatServer", &["tomcat10-"]),
        java("Jetty", "JettyServer", &["jetty9-", "servlet-api"]),
        java("JDK httpserver", "JdkServer", &[]),
        python("Python http.server", "http.server"),
        python("Flask", "flask"),
        python("Django", "django"),
        python("Starlette", "starlette"),
        python("aiohttp", "aiohttp"),
        python("Tornado", "tornado"),
        ruby("WEBrick", "webrick", gem("webrick-")),
        ruby("Puma with Rack", "puma", Some("/usr/bin/puma".into())),
        Program {
            name: "Node.js",
            program: "node".into(),
            arguments: words(&[
                &sources().join("node/serve.cjs"),
                root,
                &place.cache.join("node"),
            ]),
            needs: None,
        },
        Program {
            name: "Go net/http",
            program: place.cache.join("go-server"),
            arguments: words(&[root]),
            needs: None,
        },
    ]
}

/// Debian's place for gems; elsewhere `ruby` finds them by itself or says that it does not.
fn gem(prefix: &str) -> Option<PathBuf> {
    let folder = Path::new("/usr/share/rubygems-integration/all/gems");
    let gems = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let found = gems.map(|entry| entry.path()).find(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    });
    Some(found.unwrap_or_else(|| folder.join(prefix)))
}

/// Debian's jars whose names begin with `prefix`.
fn jars_starting(prefix: &str) -> Vec<PathBuf> {
    let jars = std::fs::read_dir("/usr/share/java")
        .into_iter()
        .flatten()
        .flatten();
    let mut jars: Vec<PathBuf> = jars
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
                && path.extension().is_some_and(|extension| extension == "jar")
        })
        .collect();
    jars.sort();
    jars
}

/// Whether `program` is in one of `PATH`'s folders.
pub(crate) fn on_path(program: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
