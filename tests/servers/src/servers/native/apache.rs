//! Apache httpd: files, an alias, and in front of php-fpm.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::Result;
use meshpack_harness::Port;

use super::php::fastcgi_socket;
use super::{Address, Outcome, Place, Server, missing, program, run, version};

pub(super) fn apache(place: &Place<'_>, _: Option<&Address>) -> Result<Outcome> {
    let modules = Path::new("/usr/lib/apache2/modules");
    let Some(apache) = program("apache2").filter(|_| modules.is_dir()) else {
        return missing();
    };
    let folder = place.folder.display();
    let root = place.site.root.display();
    let fastcgi = fastcgi_socket(place);
    let mut hosts = vec![
        ("Apache httpd files", "AllowEncodedSlashes On".to_owned()),
        (
            "Apache httpd files, encoded slashes kept",
            "AllowEncodedSlashes NoDecode".to_owned(),
        ),
        ("Apache httpd files, as it comes", String::new()),
        (
            "Apache httpd Alias and Location",
            format!(
                "AllowEncodedSlashes On
                 Alias /api/admin {root}/admin
                 <Location /admin>
                 SetEnv guarded 1
                 </Location>"
            ),
        ),
    ];
    if fastcgi.exists() {
        hosts.push((
            "Apache httpd, php-fpm scripts",
            format!(
                "AllowEncodedSlashes On
                 <FilesMatch \"\\.php$\">
                 SetHandler \"proxy:unix:{}|fcgi://localhost\"
                 </FilesMatch>
                 SetEnv SECRET {}",
                fastcgi.display(),
                place.site.secret
            ),
        ));
    }
    let ports = hosts
        .iter()
        .map(|_| Port::hold())
        .collect::<Result<Vec<_>, _>>()?;
    let load: String = [
        "mpm_event",
        "authz_core",
        "dir",
        "mime",
        "alias",
        "env",
        "proxy",
        "proxy_fcgi",
    ]
    .iter()
    .map(|name| {
        format!(
            "LoadModule {name}_module {}/mod_{name}.so\n",
            modules.display()
        )
    })
    .collect();
    let listen: String = ports
        .iter()
        .map(|port| format!("Listen {}\n", port.address()))
        .collect();
    let hosts_text: String = ports
        .iter()
        .zip(&hosts)
        .map(|(port, (_, extra))| {
            format!(
                "<VirtualHost {}>\nDocumentRoot {root}\n{extra}\n</VirtualHost>\n",
                port.address()
            )
        })
        .collect();
    fs::write(place.folder.join("mime.types"), "text/plain txt\n")?;
    let configuration = format!(
        "ServerRoot {folder}\nDefaultRuntimeDir {folder}\nPidFile {folder}/apache.pid\n\
         ServerName localhost\nErrorLog /dev/stderr\nLogLevel crit\n\
         KeepAlive On\nMaxKeepAliveRequests 0\n{load}{listen}\
         TypesConfig {folder}/mime.types\nDirectoryIndex index.html\n\
         <Directory {root}>\nRequire all granted\n</Directory>\n{hosts_text}"
    );
    let file = place.folder.join("apache.conf");
    fs::write(&file, configuration)?;
    let version = version(&apache, "-v");
    let servers = ports
        .iter()
        .zip(&hosts)
        .map(|(port, (name, _))| Server::new(name, &version, Address::Tcp(port.address())))
        .collect();
    // `-X`: one process.
    let arguments = [OsStr::new("-X"), OsStr::new("-f"), file.as_os_str()];
    let outcome = run(place, "apache", &apache, arguments, servers);
    // Its own sockets hold the ports from here on.
    drop(ports);
    outcome
}
